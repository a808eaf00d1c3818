"""The torch modules that ExecuTorch and LiteRT trace: one frame, a chunk of frames, any number.

They are made from `Weights`, so what a call could compute once is computed here: zeta and
nu have passed their sigmoid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from edge_sdk.fastgrnn.weights import Weights
from edge_sdk.nn.fastgrnn import NONLINEARITIES, apply


class Step(nn.Module):
    """One frame: x (1, D) and h (1, H) to h' (1, H) and logits (1, C)."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.bias_gate: Tensor
        self.bias_update: Tensor
        self.head: Tensor
        self.head_bias: Tensor
        for name, array in weights.arrays().items():
            self.register_buffer(name, torch.from_numpy(array.copy()))
        self.low_rank = [rank is not None for rank in weights.ranks]
        self.normalized = weights.mean is not None
        self.gate, self.update = NONLINEARITIES[weights.gate], NONLINEARITIES[weights.update]
        self.zeta, self.total = weights.zeta, weights.zeta + weights.nu

    def factors(self, name: str) -> tuple[Tensor, ...]:
        """Return the factors of W or U."""
        if self.low_rank["wu".index(name)]:
            return getattr(self, f"{name}1"), getattr(self, f"{name}2")
        return (getattr(self, name),)

    def inward(self, x: Tensor) -> Tensor:
        """Return x W of raw features (T, D): (T, H)."""
        if self.normalized:
            x = (x - self.mean) * self.scale
        return apply(x, self.factors("w"))

    def advance(self, wx: Tensor, h: Tensor, u: tuple[Tensor, ...]) -> Tensor:
        """Return h' of wx = x W (1, H) and h (1, H): equations 3-4, the factors of c joined."""
        p = wx + apply(h, u)
        z, c = self.gate(p + self.bias_gate), self.update(p + self.bias_update)
        return z * h + (self.total - self.zeta * z) * c

    def outward(self, states: Tensor) -> Tensor:
        """Return logits (T, C) of states (T, H)."""
        return states @ self.head + self.head_bias

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return (h', logits)."""
        h = self.advance(self.inward(x), h, self.factors("u"))
        return h, self.outward(h)


class Chunk(Step):
    """As many frames as were traced, unrolled: x W of all of them is one product."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return (h' (1, H), logits (T, C))."""
        wx, u, found = self.inward(x), self.factors("u"), []
        for t in range(x.shape[0]):
            h = self.advance(wx[t : t + 1], h, u)
            found.append(h)
        return h, self.outward(torch.cat(found))


class Scan(Step):
    """Any number of frames: torch's scan carries the state from one to the next."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return (h' (1, H), logits (T, C))."""
        u = self.factors("u")

        def body(h: Tensor, wx: Tensor) -> tuple[Tensor, Tensor]:
            h = self.advance(wx.unsqueeze(0), h, u)
            return h, h.clone()  # a carry and an output may not be one tensor

        h, states = scan(body, h, self.inward(x), dim=0)
        return h, self.outward(states.squeeze(1))
