"""The terminal's face: level, latency, frames, what is wrong, and the keys."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from visavis.models.motion.flow import MANNERS
from visavis.streamer.presenter.devices.keys import Keys
from visavis.streamer.presenter.presenter import Presenter
from visavis.streamer.worker.pipeline.view import FRAMINGS

_PERIOD_S = 0.25
_BAR = 24  # characters of the level
_LOG_S = 5.0  # between lines where there is no terminal
HELP = "m mute   space idle   a avatar   o mood   f framing   n next slide   q quit"


@dataclass
class Choices:
    """What keys step through.

    Attributes:
        avatars: ``(name, bundle)`` of every avatar that is ready.
        avatar: index of the one shown.
        mood: index of the mood.
        framing: index of the framing.
        refusal: why a bundle may not be shown now, in a sentence; empty if it may.
        worn: indices of all avatars that were shown.
    """

    avatars: list[tuple[str, str]]
    avatar: int = 0
    mood: int = 0
    framing: int = 1
    refusal: Callable[[str], str] = lambda bundle: ""
    worn: set[int] = field(default_factory=set[int])
    _asked: int = 0  # the last one that was asked for; it may have been refused

    def __post_init__(self) -> None:
        self.worn.add(self.avatar)
        self._asked = self.avatar

    def step(self) -> str:
        """Go to the next avatar; return why it stays at the present one, or nothing.

        Asked again, it goes on behind the one that was refused.
        """
        self._asked = (self._asked + 1) % len(self.avatars)
        name, bundle = self.avatars[self._asked]
        if self._asked != self.avatar and (why := self.refusal(bundle)):
            return f"{name} is not shown: {why}"
        self.avatar = self._asked
        self.worn.add(self.avatar)
        return ""


class Face:
    """Shows figures and does what keys say until the presentation ends.

    Args:
        presenter: what is shown.
        choices: what keys step through.
        where: sentences about where picture and sound go.
        slide: told when ``n`` is pressed.
        console: where to draw.

    Attributes:
        said: what was said last of something that could not be shown; empty for nothing.
    """

    def __init__(
        self,
        presenter: Presenter,
        choices: Choices,
        where: list[str],
        slide: Callable[[], None] = lambda: None,
        console: Console | None = None,
    ) -> None:
        self._presenter = presenter
        self._choices = choices
        self._where = where
        self._slide = slide
        self._console = console or Console(stderr=True)
        self.said = ""

    def run(self, going: Callable[[], bool], keys: Keys) -> None:
        """Show and listen while ``going``."""
        if not self._console.is_terminal:
            self._log(going, keys)
            return
        with Live(self.draw(), console=self._console, refresh_per_second=4) as live:
            while going():
                self.press(keys.wait(_PERIOD_S))
                live.update(self.draw())

    def _log(self, going: Callable[[], bool], keys: Keys) -> None:
        """Write a line now and then, for services and logs."""
        for line in self._where:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        last, problems = time.monotonic(), ""
        while going():
            self.press(keys.wait(_PERIOD_S))
            now = " ".join(self._presenter.problems())
            if now != problems:
                problems = now
                said = now or "All devices are back."
                self._console.print(said, highlight=False, markup=False, soft_wrap=True)
            if time.monotonic() - last >= _LOG_S:
                last = time.monotonic()
                self._console.print(self.line(), highlight=False, markup=False, soft_wrap=True)

    def press(self, key: str) -> None:
        """Do what a key says."""
        presenter, choices = self._presenter, self._choices
        if key == "q" or key == "\x03":
            presenter.stop()
        elif key == "m":
            presenter.muted = not presenter.muted
        elif key == " ":
            presenter.source.paused = not presenter.source.paused
        elif key == "n":
            self._slide()
        elif key == "o":
            choices.mood = (choices.mood + 1) % len(MANNERS)
            presenter.avatar.mood(MANNERS[choices.mood])
        elif key == "f" and not presenter.avatar.loading:
            choices.framing = (choices.framing + 1) % len(FRAMINGS)
            presenter.avatar.change(self._tell, framing=FRAMINGS[choices.framing])
        elif key == "a" and len(choices.avatars) > 1 and not presenter.avatar.loading:
            before, self.said = choices.avatar, choices.step()
            if choices.avatar != before:
                presenter.avatar.change(self._tell, bundle=choices.avatars[choices.avatar][1])

    def _tell(self, sentence: str) -> None:
        self.said = sentence

    def line(self) -> str:
        """Return the figures in one line."""
        figures, presenter = self._presenter.figures, self._presenter
        late = 100 * sum(figures.lately) / len(figures.lately) if figures.lately else 0.0
        draw = statistics.median(figures.draw_ms) if figures.draw_ms else 0.0
        return (
            f"delay {presenter.delay_ms:.0f} ms, {figures.fps(time.monotonic()):.1f} fps, "
            f"{late:.1f} % late, drawing {draw:.1f} ms, level {figures.level:.2f}"
        )

    def draw(self) -> Group:
        """Return the face."""
        presenter, choices = self._presenter, self._choices
        table = Table.grid(padding=(0, 2))
        filled = min(_BAR, round(_BAR * presenter.figures.level))
        colour = "red" if presenter.figures.level > 0.95 else "green"
        bar = Text("█" * filled, colour) + Text("░" * (_BAR - filled), "dim")
        state = "muted" if presenter.muted else "idle" if presenter.source.paused else "live"
        style = "bold green" if state == "live" else "bold yellow"
        table.add_row(Text(state, style), bar, Text(self.line().rpartition(",")[0]))
        name = choices.avatars[choices.avatar][0] if choices.avatars else ""
        what = f"{name}, {MANNERS[choices.mood]}, {FRAMINGS[choices.framing]}"
        if presenter.avatar.loading:
            what += " (loading)"
        rows = [table, Text(what), *(Text(line, "dim") for line in self._where)]
        rows += [Text(problem, "yellow") for problem in presenter.problems()]
        if self.said:
            rows.append(Text(self.said, "yellow"))
        return Group(*rows, Text(HELP, "dim"))
