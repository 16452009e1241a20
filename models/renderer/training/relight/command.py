"""``visavis train renderer``: synthetic people first, then the refiner."""

from __future__ import annotations


def main(argv: list[str] | None = None) -> int:
    """Hand over: with ``--make-people`` to the people's tool, which needs no torch."""
    arguments = list(argv or [])
    if "--make-people" in arguments:
        from visavis.models.renderer.training.people.command import main as make_people

        return int(make_people([a for a in arguments if a != "--make-people"]))
    from visavis.models.renderer.training.relight.train import main as train

    return train(arguments)
