"""The finish: a small critic that sees patches of mouths and says whether they were drawn."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WEIGHT = 0.02  # of the critic's opinion beside the picture's own loss
RATE = 4e-4


class PatchCritic(nn.Module):
    """Judges overlapping patches of about 22 pixels, the inside of the mouth beside the picture."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(4, width, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 3, 1, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 3, 1, 1),
        )  # fmt: skip

    def forward(self, picture: Tensor, inside: Tensor) -> Tensor:
        """Map (B, 3, H, W) and (B, 1, H, W) to opinions (B, 1, H/4, W/4); high is real."""
        return self.layers(torch.cat([picture, inside], 1))


class Critic:
    """A fresh critic and what teaches it."""

    def __init__(self, device: str) -> None:
        self.network = PatchCritic().to(device)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=RATE, betas=(0.5, 0.99))


def critic_loss(critic: PatchCritic, real: Tensor, drawn: Tensor, inside: Tensor) -> Tensor:
    """Return the hinge loss of the critic."""
    yes, no = critic(real, inside), critic(drawn.detach(), inside)
    return F.relu(1 - yes).mean() + F.relu(1 + no).mean()


def opinion(critic: PatchCritic, drawn: Tensor, inside: Tensor, gate: Tensor) -> Tensor:
    """Return what the drawn picture should lower: the critic's doubt where the network acts."""
    weight = F.avg_pool2d(gate, 4)
    doubt = -critic(drawn, inside)
    return (doubt * weight).sum() / weight.sum().clamp_min(1.0)
