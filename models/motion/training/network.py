"""The motion predictor's network: two causal convolutions and a few GRU layers; needs torch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from visavis.models.motion.curves import ROUNDING, rounding_of_classes
from visavis.models.motion.features import FEATURES
from visavis.models.motion.layout import LOOK_AHEADS_MS, OUTPUTS, NetConfig

ROUNDING_BY_PHONES = 0.7  # how much of the rounding is the phone head's opinion


class MotionNet(nn.Module):
    """Features to curves, closure and phone classes for every look-ahead at once.

    The output of look-ahead ``L`` at hop ``k`` belongs to hop ``k - L / 10 ms``: the network has
    heard that much more. One trunk serves all.
    """

    def __init__(self, config: NetConfig | None = None) -> None:
        super().__init__()
        self.config = config or NetConfig()
        width, kernel, hidden = self.config.width, self.config.kernel, self.config.hidden
        self.conv1 = nn.Conv1d(FEATURES, width, kernel)
        self.conv2 = nn.Conv1d(width, width, kernel)
        for i in range(self.config.layers):
            self.add_module(f"gru{i + 1}", nn.GRU(hidden if i else width, hidden, batch_first=True))
        self.head = nn.Linear(self.config.layers * hidden, len(LOOK_AHEADS_MS) * OUTPUTS)

    def forward(
        self, x: Tensor, conv1: Tensor, conv2: Tensor, hidden: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Run hops ``(B, T, FEATURES)`` after the given state.

        Returns:
            ``(B, T, len(LOOK_AHEADS_MS), OUTPUTS)`` before their squashing, and the new state.
        """
        a = torch.cat([conv1, x], dim=1)
        y = nn.functional.gelu(self.conv1(a.transpose(1, 2)).transpose(1, 2))
        b = torch.cat([conv2, y], dim=1)
        y = y + nn.functional.gelu(self.conv2(b.transpose(1, 2)).transpose(1, 2))
        heard, left = [], []
        for i in range(self.config.layers):
            start = hidden[:, i].unsqueeze(0).contiguous()
            y, last = self.get_submodule(f"gru{i + 1}")(y, start)
            heard.append(y)
            left.append(last[0])
        out = self.head(torch.cat(heard, dim=-1))
        out = out.unflatten(-1, (len(LOOK_AHEADS_MS), OUTPUTS))
        keep = self.config.kernel - 1
        return out, a[:, -keep:], b[:, -keep:], torch.stack(left, dim=1)

    def start(self, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the state of ``batch`` slots that have heard nothing."""
        shapes = self.config.states()
        conv1, conv2, hidden = (torch.zeros(batch, *shapes[n]) for n in shapes)
        return conv1, conv2, hidden


def grown(state: dict[str, Tensor], into: MotionNet) -> dict[str, Tensor]:
    """Return the weights of a network with fewer GRU layers as a start for ``into``.

    What is new speaks to nobody yet (its columns of the head are zero), so ``into`` says at first
    what the smaller network said (Chen et al., Net2Net, 2016).
    """
    own = {k: v.clone() for k, v in into.state_dict().items()}
    known = state["head.weight"].shape[1]
    for name, value in state.items():
        if name == "head.weight":
            own[name][:, :known] = value
            own[name][:, known:] = 0.0
        else:
            own[name] = value
    return own


class _StreamingGraph(nn.Module):
    """What is exported: squashed outputs of the look-ahead each slot asks for.

    Rounding listens to the phone head as well: a curve learned by its error hedges where a
    classifier decides. Phones that do not hold the lips leave the curve as it is.
    """

    def __init__(self, net: MotionNet, curves: int) -> None:
        super().__init__()
        self.net = net
        self.curves = curves
        shapes, firm = rounding_of_classes()
        self.register_buffer("shaped", torch.from_numpy(shapes * firm[:, None]))
        self.register_buffer("firm", torch.from_numpy(firm[:, None]))

    def forward(
        self, features: Tensor, look_ahead: Tensor, conv1: Tensor, conv2: Tensor, hidden: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        out, conv1, conv2, hidden = self.net(features, conv1, conv2, hidden)
        mixed = (out * look_ahead[:, None, :, None]).sum(dim=2)
        curves = mixed[..., : self.curves].clamp(0.0, 1.0)
        closure = torch.sigmoid(mixed[..., self.curves])
        phones = torch.softmax(mixed[..., self.curves + 1 :], dim=-1)
        lips = curves[..., ROUNDING]
        lips = lips + ROUNDING_BY_PHONES * (phones @ self.shaped - (phones @ self.firm) * lips)
        curves = torch.cat(
            [curves[..., : ROUNDING.start], lips, curves[..., ROUNDING.stop :]], dim=-1
        )
        return curves, closure, phones, conv1, conv2, hidden


def export_onnx(net: MotionNet, curves: int, path: Path) -> None:
    """Write the streaming graph; batch and hops stay free, state goes in and comes out."""
    names = list(net.config.states())
    inputs = (torch.zeros(2, 4, FEATURES), torch.zeros(2, len(LOOK_AHEADS_MS)), *net.start(2))
    free = {n: {0: "batch"} for n in ("look_ahead", *names, *(f"{n}_out" for n in names))}
    free |= {n: {0: "batch", 1: "hops"} for n in ("features", "curves", "closure", "phones")}
    torch.onnx.export(
        _StreamingGraph(net, curves).eval(),
        inputs,
        str(path),
        input_names=["features", "look_ahead", *names],
        output_names=["curves", "closure", "phones", *(f"{n}_out" for n in names)],
        dynamic_axes=free,
        opset_version=17,
        dynamo=False,
    )
