"""The flow's network: a recurrent memory and a velocity field that takes any step size; torch.

Shortcut models (Frans et al., 2024): the field is told how far the next step goes, so that one
network serves one, two and four steps. The smallest step learns from the data (flow matching),
every larger one from two of half its size.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from visavis.models.motion.flow import CHANNELS, CONDITIONS, KEEP, STEPS, FlowConfig

SMALLEST = 8  # steps that the smallest step size divides the way into
_WAVES = 8


class FlowNet(nn.Module):
    """Memory of commands and conditions, and the velocity of the next innovation."""

    spread: Tensor

    def __init__(self, config: FlowConfig | None = None, spread: np.ndarray | None = None) -> None:
        super().__init__()
        self.config = config or FlowConfig()
        c = self.config
        known = torch.ones(CHANNELS) if spread is None else torch.from_numpy(spread).float()
        self.register_buffer("spread", known)  # of an innovation, per channel, in units
        self.encode = nn.Linear(CHANNELS + CONDITIONS, c.inner)
        self.feed = nn.Linear(c.inner, 3 * c.hidden)
        self.recur = nn.Linear(c.hidden, 3 * c.hidden)
        self.enter = nn.Linear(CHANNELS + c.hidden + CHANNELS + CONDITIONS, c.width)
        self.clock = nn.Linear(2 * _WAVES + 1, 2 * c.width)
        self.middle = nn.Linear(c.width, c.width)
        self.middle2 = nn.Linear(c.width, c.width)
        self.leave = nn.Linear(c.width, CHANNELS)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def remember(self, command: Tensor, condition: Tensor, hidden: Tensor) -> Tensor:
        """One step of a gated recurrent unit, written out so that every engine has its parts."""
        seen = nn.functional.silu(self.encode(torch.cat([command, condition], dim=-1)))
        return self._gate(self.feed(seen), hidden)

    def _gate(self, fed: Tensor, hidden: Tensor) -> Tensor:
        r1, z1, n1 = fed.chunk(3, dim=-1)
        r2, z2, n2 = self.recur(hidden).chunk(3, dim=-1)
        update = torch.sigmoid(z1 + z2)
        fresh = torch.tanh(n1 + torch.sigmoid(r1 + r2) * n2)
        return fresh + update * (hidden - fresh)

    def memories(self, commands: Tensor, conditions: Tensor) -> Tensor:
        """Run whole sequences ``(B, T, ...)``; commands are those before each tick."""
        seen = nn.functional.silu(self.encode(torch.cat([commands, conditions], dim=-1)))
        start = seen.new_zeros(1, len(seen), self.config.hidden)
        parts = [self.feed.weight, self.recur.weight, self.feed.bias, self.recur.bias]
        # torch's own recurrence over the same parts: `_gate`, but fast.
        out, _ = torch._VF.gru(seen, start, parts, True, 1, 0.0, True, False, True)
        return out

    def velocity(self, x: Tensor, time: Tensor, step: Tensor, context: Tensor) -> Tensor:
        """Return the mean velocity from ``time`` over ``step``; both ``(..., 1)`` in [0, 1].

        Args:
            x: ``(..., CHANNELS)`` innovation on its way from noise.
            time: 0 noise, 1 data.
            step: how far the next step goes; 0 is the instantaneous velocity.
            context: ``(..., hidden + CHANNELS + CONDITIONS)`` memory, last command, condition.
        """
        waves = torch.arange(1, _WAVES + 1, dtype=x.dtype, device=x.device) * (np.pi / 2)
        clock = torch.cat([torch.sin(time * waves), torch.cos(time * waves), step], dim=-1)
        gain, shift = self.clock(clock).chunk(2, dim=-1)
        y = self.enter(torch.cat([x, context], dim=-1))
        y = nn.functional.silu(y * (1 + gain) + shift)
        y = y + nn.functional.silu(self.middle(y))
        y = y + nn.functional.silu(self.middle2(y))
        return self.leave(y)

    def sample(self, noise: Tensor, context: Tensor, steps: int) -> Tensor:
        """Carry noise to an innovation in so many steps."""
        x, size = noise, 1.0 / steps
        for i in range(steps):
            time = torch.full_like(x[..., :1], i * size)
            x = x + size * self.velocity(x, time, torch.full_like(time, size), context)
        return x


class _TickGraph(nn.Module):
    """What is exported: one tick with the number of steps each slot asks for."""

    def __init__(self, net: FlowNet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, condition: Tensor, command: Tensor, hidden: Tensor, noise: Tensor, steps: Tensor
    ) -> tuple[Tensor, Tensor]:
        hidden = self.net.remember(command, condition, hidden)
        context = torch.cat([hidden, command, condition], dim=-1)
        innovation = torch.zeros_like(noise)
        for i, count in enumerate(STEPS):
            innovation = innovation + steps[:, i : i + 1] * self.net.sample(noise, context, count)
        return KEEP * command + innovation * self.net.spread, hidden


def export_onnx(net: FlowNet, path: Path) -> None:
    """Write the graph of one tick; only the batch stays free."""
    inputs = (
        torch.zeros(2, CONDITIONS), torch.zeros(2, CHANNELS), torch.zeros(2, net.config.hidden),
        torch.zeros(2, CHANNELS), torch.ones(2, len(STEPS)),
    )  # fmt: skip
    names = ["condition", "command", "hidden", "noise", "steps"]
    outputs = ["command_out", "hidden_out"]
    torch.onnx.export(
        _TickGraph(net).eval(), inputs, str(path), input_names=names, output_names=outputs,
        dynamic_axes={n: {0: "batch"} for n in (*names, *outputs)},
        opset_version=17, dynamo=False,
    )  # fmt: skip
