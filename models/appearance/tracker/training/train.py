"""Train the five networks, one after another, and export them.

A run is as long as it is told to be, in minutes: the learning rate falls with the clock, so that a
slow machine gives a worse network and not an unfinished one. It goes on from ``PART.pt``.
"""

from __future__ import annotations

import copy
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from visavis.models.appearance.tracker.parts import EYE, LIPS
from visavis.models.appearance.tracker.training.nets import SIZES, Finder, Landmarks, Matte
from visavis.models.appearance.tracker.training.samples import Faces, Looks
from visavis.models.appearance.tracker.training.scenes import Mattes, Portraits, Scenes

_SAY_S = 60.0  # between two lines
PARTS = ("face", "lips", "eye", "find", "matte")
_BATCH = {"face": 32, "lips": 32, "eye": 32, "find": 16, "matte": 12}
_RATE = {"face": 1.2e-3, "lips": 1.2e-3, "eye": 1.2e-3, "find": 1.5e-3, "matte": 2e-3}
_WIDTHS = {
    "face": (24, 48, 96, 160), "lips": (20, 40, 80, 128), "eye": (20, 40, 72, 112)
}  # fmt: skip
_HIDDEN = {"face": 192, "lips": 128, "eye": 128}
Sample = Callable[[np.random.Generator], tuple[NDArray, NDArray, Any]]


def shape_basis(looks: Looks, hidden: int) -> tuple[NDArray, NDArray]:
    """Return the mean shape and principal components of what a network sees, in sides."""
    rng = np.random.default_rng(3)
    rows = []
    while len(rows) < 2500:
        _, target, face = looks.sample(rng)
        if face:
            rows.append(target)
    shapes = np.stack(rows)
    mean = shapes.mean(0)
    _, deviation, axes = np.linalg.svd(shapes - mean, full_matrices=False)
    basis = axes[:hidden] * (deviation[:hidden, None] / np.sqrt(len(rows)))
    return mean, basis


def landmark_weights(part: str) -> Tensor:
    """Return ``(K, 1)``: what counts more where the fit looks hardest; the mean is 1."""
    if part != "face":
        return torch.ones(len(EYE if part == "eye" else LIPS), 1)
    weight = np.ones(478, np.float32)
    weight[list(LIPS)] = 1.5
    weight[list(EYE)] = 1.5
    return torch.from_numpy(weight / weight.mean())[:, None]


def shape_loss(part: str) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the loss of a landmark network: distances, and where asked whether it is a face."""
    weight = landmark_weights(part)
    count, dims = len(weight), 3 if part == "face" else 2

    def loss(out: Tensor, target: Tensor, face: Tensor) -> Tensor:
        error = (out[:, : count * dims] - target).view(-1, count, dims)
        distance = torch.sqrt((error[..., :2] ** 2).sum(-1, keepdim=True) + 1e-6)
        each = (distance * weight).mean((1, 2))
        if dims == 3:
            each = each + 0.15 * error[..., 2].abs().mean(1)
        total = 100 * (each * face).sum() / face.sum().clamp(min=1)
        if part == "face":
            logit = out[:, -1]
            total = total + 0.5 * nn.functional.binary_cross_entropy_with_logits(logit, face)
        return total

    return loss


def map_loss(out: Tensor, target: Tensor, _count: Tensor) -> Tensor:
    """Focal loss of the centres (Law and Deng 2018) and the distance of offsets and sizes."""
    heat, known = target[:, 0], target[:, 4]
    p = torch.sigmoid(out[:, 0]).clamp(1e-5, 1 - 1e-5)
    centre = heat > 0.999
    hit = -((1 - p) ** 2) * torch.log(p) * centre
    miss = -((1 - heat) ** 4) * p**2 * torch.log(1 - p) * ~centre
    focal = (hit + miss).sum() / centre.sum().clamp(min=1)
    box = ((out[:, 1:] - target[:, 1:4]).abs().sum(1) * known).sum() / known.sum().clamp(min=1)
    return focal + 0.7 * box


def matte_loss(out: Tensor, target: Tensor, _one: Tensor) -> Tensor:
    """Cross entropy, more along the edge, and overlap (Milletari et al. 2016)."""
    soft = nn.functional.avg_pool2d(target, 9, 1, 4)
    edge = 1 + 4 * ((soft > 0.05) & (soft < 0.95)).float()
    entropy = nn.functional.binary_cross_entropy_with_logits(out, target, weight=edge)
    p = torch.sigmoid(out)
    overlap = 2 * (p * target).sum((1, 2, 3)) + 1
    dice = 1 - overlap / ((p**2).sum((1, 2, 3)) + (target**2).sum((1, 2, 3)) + 1)
    return entropy + dice.mean()


def batches(sample: Sample, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield batches that a thread makes ahead."""
    ahead: queue.Queue[tuple[Tensor, ...]] = queue.Queue(maxsize=6)

    def fill() -> None:
        rng = np.random.default_rng(seed)
        while True:
            rows = [sample(rng) for _ in range(size)]
            pictures = torch.from_numpy(np.stack([r[0] for r in rows])).permute(0, 3, 1, 2)
            targets = torch.from_numpy(np.stack([r[1] for r in rows]))
            third = torch.from_numpy(np.array([r[2] for r in rows], np.float32))
            ahead.put((pictures, targets, third))

    threading.Thread(target=fill, daemon=True).start()
    while True:
        yield ahead.get(timeout=300)  # type: ignore[misc]


def build(part: str, data: Path, faces: Path) -> tuple[nn.Module, Sample, Callable[..., Tensor]]:
    """Return a part's network, what makes its samples, and its loss."""
    if part in _WIDTHS:
        looks = Looks(Faces.load(data, faces), part)
        mean, basis = shape_basis(looks, _HIDDEN[part])
        net = Landmarks(_WIDTHS[part], SIZES[part], mean, basis, sure=part == "face")
        return net, looks.sample, shape_loss(part)
    portraits = Portraits.load(data, faces)
    if part == "find":
        return Finder(), Scenes(portraits).sample, map_loss
    return Matte(), Mattes(portraits).sample, matte_loss


def train(part: str, faces: Path, out: Path, minutes: float) -> None:
    """Train one network for so many minutes and export the mean of its last weights.

    Args:
        part: of ``PARTS``.
        faces: folder of portraits.
        out: with ``data`` of ``label`` and ``animate``; gets ``PART.pt`` and ``PART.onnx``.
        minutes: how long.
    """
    net, sample, loss_of = build(part, out / "data", faces)
    net = net.to(memory_format=torch.channels_last)
    kept = out / f"{part}.pt"
    steps, seen = 0, 0
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        net.load_state_dict(state["net"])
        seen = int(state["seen"])
    mean = copy.deepcopy(net).eval()
    rate = _RATE[part] * (1.0 if seen == 0 else 0.5)
    optimiser = torch.optim.AdamW(net.parameters(), rate, weight_decay=1e-4)
    began, said, running = time.monotonic(), time.monotonic(), 0.0
    net.train()
    for pictures, targets, third in batches(sample, _BATCH[part], seen + 1):
        done = (time.monotonic() - began) / (60 * minutes)
        if done >= 1:
            break
        warm = min(1.0, (steps + 1) / 100)
        optimiser.param_groups[0]["lr"] = rate * warm * (0.5 * (1 + np.cos(np.pi * done)) + 0.003)
        inputs = pictures.float().contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            answer = net(inputs)
        loss = loss_of(answer.float(), targets, third)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        steps, seen = steps + 1, seen + len(pictures)
        _follow(mean, net, min(0.998, steps / (steps + 20)))
        value = float(loss.detach())
        running += 0.02 * (value - running) if steps > 1 else value
        if time.monotonic() - said > _SAY_S:
            said = time.monotonic()
            pace = steps * len(pictures) / (said - began)
            print(f"{part} {done:4.0%} seen {seen} loss {running:.3f} {pace:.0f}/s", flush=True)
            torch.save({"net": mean.state_dict(), "seen": seen}, kept)
    torch.save({"net": mean.state_dict(), "seen": seen}, kept)
    export(part, mean, out, seen)


@torch.no_grad()
def _follow(mean: nn.Module, net: nn.Module, keep: float) -> None:
    for a, b in zip(mean.state_dict().values(), net.state_dict().values(), strict=True):
        if a.is_floating_point():
            a.lerp_(b, 1 - keep)
        else:
            a.copy_(b)


def export(part: str, net: nn.Module, out: Path, seen: int) -> None:
    """Write ``PART.onnx``, float32, for any number of pictures."""
    import onnx

    net = net.eval().to(memory_format=torch.contiguous_format)
    picture = torch.zeros(1, 3, SIZES[part], SIZES[part])
    path = out / f"{part}.onnx"
    torch.onnx.export(
        net, (picture,), str(path), input_names=["picture"], output_names=["out"],
        dynamic_axes={"picture": {0: "n"}, "out": {0: "n"}}, opset_version=17, dynamo=False,
    )  # fmt: skip
    model = _halved(onnx.load(str(path)))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB after {seen} samples", flush=True)


def _halved(model: Any) -> Any:
    """Store weights in half precision; they are widened when the graph is loaded, once."""
    from onnx import TensorProto, helper, numpy_helper

    graph, widened = model.graph, []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < 512:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        widened.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*widened, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model
