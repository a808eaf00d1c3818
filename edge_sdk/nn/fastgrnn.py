"""FastGRNN: a gated recurrent cell of two scalars more than a plain RNN.

Kusupati et al. 2018, "FastGRNN: A Fast, Accurate, Stable and Tiny Kilobyte Sized
Gated Recurrent Neural Network", arXiv:1901.02358, equations 3-4:

    p  = x W + h U
    z  = gate(p + bias_gate)
    c  = update(p + bias_update)
    h' = z h + (sigmoid(zeta) (1 - z) + sigmoid(nu)) c

One p serves gate and update. W = W1 W2 and U = U1 U2 may be low-rank (section 3.2.1),
thresholded (3.2.2) and quantized (3.2.3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from edge_sdk.errors import ShapeError

NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "quant_sigmoid": lambda x: torch.clamp((x + 1.0) / 2.0, 0.0, 1.0),
    "quant_sigmoid4": lambda x: torch.clamp((x + 2.0) / 4.0, 0.0, 1.0),
    "quant_tanh": lambda x: torch.clamp(x, -1.0, 1.0),
}
"""The names of the paper's and EdgeML's non-linearities."""


class FastGRNNCell(nn.Module):
    """One step, (x, h) -> h'.

    Parameters are EdgeML's: W (D, H), or W1 (D, r) and W2 (r, H); U likewise; bias_gate
    and bias_update (1, H); zeta and nu (1, 1), before the sigmoid.
    """

    def __init__(
        self, n_inputs: int, n_hidden: int, *, rank_w: int | None = None,
        rank_u: int | None = None, gate: str = "sigmoid", update: str = "tanh",
        zeta: float = 1.0, nu: float = -4.0,
    ) -> None:
        """Make a cell of random weights.

        Args:
            n_inputs: D, features in a frame.
            n_hidden: H, numbers in the state.
            rank_w, rank_u: Ranks; None for whole matrices.
            gate, update: Names in NONLINEARITIES.
            zeta, nu: Initial values, before the sigmoid.

        Raises:
            ShapeError: A rank above a dimension, or no such non-linearity.
        """
        super().__init__()
        for name, rank, rows in (("rank_w", rank_w, n_inputs), ("rank_u", rank_u, n_hidden)):
            if rank is not None and not 1 <= rank <= min(rows, n_hidden):
                raise ShapeError(f"a rank from 1 to {min(rows, n_hidden)}", str(rank),
                                 where=f"`{name}`", hint="None for a whole matrix")
        for name, kind in (("gate", gate), ("update", update)):
            if kind not in NONLINEARITIES:
                raise ShapeError(f"one of {', '.join(NONLINEARITIES)}", repr(kind),
                                 where=f"`{name}`", hint="the paper's are sigmoid and tanh")
        self.n_inputs, self.n_hidden = n_inputs, n_hidden
        self.rank_w, self.rank_u = rank_w, rank_u
        self.gate, self.update = gate, update
        for name, rank, rows in (("W", rank_w, n_inputs), ("U", rank_u, n_hidden)):
            shapes = {name: (rows, n_hidden)} if rank is None else \
                {f"{name}1": (rows, rank), f"{name}2": (rank, n_hidden)}
            for key, shape in shapes.items():
                scale = shape[0] ** -0.5
                setattr(self, key, nn.Parameter(torch.randn(shape) * scale))
        self.bias_gate = nn.Parameter(torch.ones(1, n_hidden))
        self.bias_update = nn.Parameter(torch.zeros(1, n_hidden))
        self.zeta = nn.Parameter(torch.full((1, 1), zeta))
        self.nu = nn.Parameter(torch.full((1, 1), nu))

    def weights(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the factors of W and of U: one tensor each, or two where low-rank."""
        w = (self.W,) if self.rank_w is None else (self.W1, self.W2)
        u = (self.U,) if self.rank_u is None else (self.U1, self.U2)
        return w, u

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """Return h' (B, H) of x (B, D) and h (B, H)."""
        w, u = self.weights()
        return self.advance(apply(x, w), h, u)

    def advance(self, wx: Tensor, h: Tensor, u: tuple[Tensor, ...]) -> Tensor:
        """Return h' of wx = x W (B, H) and h (B, H)."""
        p = wx + apply(h, u)
        z = NONLINEARITIES[self.gate](p + self.bias_gate)
        c = NONLINEARITIES[self.update](p + self.bias_update)
        return z * h + (torch.sigmoid(self.zeta) * (1.0 - z) + torch.sigmoid(self.nu)) * c

    def start(self, n: int) -> Tensor:
        """Return the state before the first frame: zeros, (n, H)."""
        return self.bias_gate.new_zeros(n, self.n_hidden)

    def export_arrays(self) -> dict[str, Any]:
        """Return the arguments of `edge_sdk.fastgrnn.Weights`."""
        w, u = self.weights()
        return {
            "w": tuple(map(_array, w)), "u": tuple(map(_array, u)),
            "bias_gate": _array(self.bias_gate).reshape(-1),
            "bias_update": _array(self.bias_update).reshape(-1),
            "zeta": float(torch.sigmoid(self.zeta).detach()),
            "nu": float(torch.sigmoid(self.nu).detach()),
            "gate": self.gate, "update": self.update,
        }


class FastGRNNClassifier(nn.Module):
    """A cell with normalization before it and a linear head behind it.

    `forward` reads whole sequences, `step` one frame; both give the same numbers.
    """

    def __init__(self, cell: FastGRNNCell, n_classes: int) -> None:
        super().__init__()
        self.cell = cell
        self.head = nn.Linear(cell.n_hidden, n_classes)
        self.register_buffer("mean", torch.zeros(cell.n_inputs))
        self.register_buffer("scale", torch.ones(cell.n_inputs))
        self.labels: tuple[str, ...] = ()
        self.preprocessing: dict[str, Any] = {}

    def states(self, x: Tensor) -> Tensor:
        """Return the state after each frame, (B, T, H), of x (B, T, D).

        Raises:
            ShapeError: Another shape, or T is 0.
        """
        if x.ndim != 3 or x.shape[1] == 0 or x.shape[2] != self.cell.n_inputs:
            raise ShapeError(f"frames (B, T >= 1, {self.cell.n_inputs})", str(list(x.shape)),
                             where="`x`", hint="a sequence of length 0 has no answer")
        w, u = self.cell.weights()
        wx = apply((x - self.mean) * self.scale, w)
        h, found = self.cell.start(x.shape[0]), []
        for t in range(x.shape[1]):
            h = self.cell.advance(wx[:, t], h, u)
            found.append(h)
        return torch.stack(found, 1)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits (B, C) after the last frame of x (B, T, D).

        Args:
            x: Padded at the end where lengths differ.
            lengths: (B,) int64, 1 to T: whole frames of each; T by default.
        """
        states = self.states(x)
        if lengths is None:
            return self.head(states[:, -1])
        return self.head(states[torch.arange(len(x)), lengths - 1])

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return (h' (B, H), logits (B, C)) of a frame x (B, D) and h (B, H)."""
        h = self.cell((x - self.mean) * self.scale, h)
        return h, self.head(h)

    def export_arrays(self) -> dict[str, Any]:
        """Return the arguments of `edge_sdk.fastgrnn.Weights`."""
        return {
            **self.cell.export_arrays(),
            "head": _array(self.head.weight.T), "head_bias": _array(self.head.bias),
            "mean": _array(self.mean), "scale": _array(self.scale),
            "labels": self.labels, "preprocessing": self.preprocessing,
        }


def apply(x: Tensor, factors: tuple[Tensor, ...]) -> Tensor:
    """Return x times one matrix, or two."""
    for factor in factors:
        x = x @ factor
    return x


def _array(tensor: Tensor) -> Any:
    return tensor.detach().cpu().contiguous().numpy()
