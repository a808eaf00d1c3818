"""Random image augmentation on the CPU or GPU, reproducible from one generator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Affine:
    """Ranges of a random affine map; each value is drawn uniformly from +- the range.

    Attributes:
        rotation_rad: Rotation in radians.
        scale: Relative change of size.
        shear: Horizontal shear.
        shift: Translation, as a fraction of half the image.
        flip: Mirror half of the images.
    """

    rotation_rad: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    flip: bool = False

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return `images` (n, c, h, w), each warped by its own map; zeros beyond the border."""
        n = images.shape[0]
        noise = torch.rand(6, n, generator=generator) * 2 - 1
        angle, zoom, shear = noise[0] * self.rotation_rad, 1 + noise[1] * self.scale, \
            noise[2] * self.shear
        mirror = torch.where(noise[5] < 0, -1.0, 1.0) if self.flip else torch.ones(n)
        cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
        rows = [
            torch.stack([mirror * cos, shear - sin, noise[3] * self.shift], 1),
            torch.stack([mirror * sin, cos, noise[4] * self.shift], 1),
        ]
        theta = torch.stack(rows, 1).to(images.device)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, align_corners=False)
