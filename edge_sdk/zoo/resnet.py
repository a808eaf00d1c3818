"""A small residual network for 32 x 32 images (He et al. 2016, arXiv:1512.03385)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, (n, c_in, h, w) to (n, c_out, h / s, w / s)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(c_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or c_in != c_out:
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False),
                                          nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(block(x) + shortcut(x))."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class SmallResNet(nn.Module):
    """A stem of stride 2, a block for each width, an average, a classifier.

    Args:
        widths: Channels of each block; every block but the first halves height and width.
        n_classes: Of the classifier.
    """

    def __init__(self, widths: Sequence[int] = (32, 64, 128), n_classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        self.blocks = nn.Sequential(*(
            Block(before, width, 1 if i == 0 else 2)
            for i, (before, width) in enumerate(zip((widths[0], *widths), widths, strict=False))))
        self.head = nn.Linear(widths[-1], n_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (n, n_classes) of images (n, 3, h, w)."""
        x = self.blocks(F.relu(self.norm(self.stem(image))))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits
