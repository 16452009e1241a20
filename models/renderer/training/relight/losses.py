"""What the training asks of a picture; every term looks only where the network may act."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def charbonnier(picture: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean of ``sqrt(d^2 + eps^2)``."""
    distance = torch.sqrt((picture - target) ** 2 + 1e-4)
    return (distance * weight).sum() / (3 * weight.sum()).clamp_min(1.0)


def gradients(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return forward differences, padded to the picture's size."""
    dx = F.pad(picture[..., 1:] - picture[..., :-1], (0, 1, 0, 0))
    dy = F.pad(picture[..., 1:, :] - picture[..., :-1, :], (0, 0, 0, 1))
    return dx, dy


def edges(picture: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the L1 distance of the gradients."""
    total = picture.new_zeros(())
    for ours, theirs in zip(gradients(picture), gradients(target), strict=True):
        total = total + ((ours - theirs).abs() * weight).sum()
    return total / (6 * weight.sum()).clamp_min(1.0)


def texture(picture: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the distance of local contrast: a blurred picture fails it, a shifted one does not."""

    def contrast(image: Tensor) -> Tensor:
        dx, dy = gradients(image.mean(1, keepdim=True))
        energy = F.avg_pool2d(dx**2 + dy**2, 7, 1, 3)
        return torch.sqrt(energy + 1e-4)

    distance = (contrast(picture) - contrast(target)).abs()
    return (distance * weight).sum() / weight.sum().clamp_min(1.0)


def coarse(picture: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the distance of light and hue, at an eighth of the resolution."""
    w = F.avg_pool2d(weight, 8)
    ours, theirs = F.avg_pool2d(picture * weight, 8), F.avg_pool2d(target * weight, 8)
    return (ours - theirs).abs().sum() / (3 * w.sum()).clamp_min(1.0)


def picture_loss(picture: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the whole of what makes a picture right."""
    return (
        charbonnier(picture, target, weight)
        + 0.5 * edges(picture, target, weight)
        + 0.5 * texture(picture, target, weight)
        + 0.5 * coarse(picture, target, weight)
    )
