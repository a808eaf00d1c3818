"""`Weights`: a FastGRNN as plain arrays, the form in which every other one is made from it.

FastGRNN (Kusupati et al. 2018, arXiv:1901.02358, equations 3-4), as in EdgeML:

    p  = x W + h U                       W = W1 W2 and U = U1 U2 where low-rank
    z  = gate(p + bias_gate)
    c  = update(p + bias_update)
    h' = z h + (zeta (1 - z) + nu) c
    logits = h' head + head_bias

where x is a row of `(features - mean) * scale`. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import CheckpointError, ShapeError

Floats = NDArray[np.float32]

NONLINEARITIES = ("sigmoid", "tanh", "relu", "quant_sigmoid", "quant_sigmoid4", "quant_tanh")
"""quant_tanh clips x to -1..1; quant_sigmoid (x + 1) / 2 and quant_sigmoid4 (x + 2) / 4 to 0..1."""


@dataclass(frozen=True)
class Weights:
    """A cell with what stands before and behind it. Arrays are float32, C-contiguous.

    Attributes:
        w: (W,) of shape (D, H), or low-rank (W1, W2) of shapes (D, r), (r, H).
        u: (U,) of shape (H, H), or low-rank (U1, U2) of shapes (H, r), (r, H).
        bias_gate, bias_update: (H,).
        zeta, nu: After the sigmoid: 0 to 1.
        gate, update: One of NONLINEARITIES.
        head, head_bias: (H, C) and (C,); None for a bare cell.
        mean, scale: (D,): x = (features - mean) * scale. None: the features are x.
        labels: C names, or none.
        preprocessing: What makes features from raw data; a front end is
            {"log_mel": {"rate_hz", "n_bands", "low_hz", "floor_log2"}}, its features in
            octaves: the integers of `edge_sdk.audio.log_mel` / 2**9.
    """

    w: tuple[Floats, ...]
    u: tuple[Floats, ...]
    bias_gate: Floats
    bias_update: Floats
    zeta: float
    nu: float
    gate: str = "sigmoid"
    update: str = "tanh"
    head: Floats | None = None
    head_bias: Floats | None = None
    mean: Floats | None = None
    scale: Floats | None = None
    labels: tuple[str, ...] = ()
    preprocessing: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, array in self.arrays().items():
            if not isinstance(array, np.ndarray) or array.dtype != np.float32 or \
                    not array.flags.c_contiguous:
                raise ShapeError("float32, C-contiguous", _got(array), where=f"`{name}`",
                                 hint="np.ascontiguousarray(array, np.float32)")
            if not np.isfinite(array).all():
                raise CheckpointError("finite weights", "NaN or infinity", where=f"`{name}`",
                                      hint="train again with a lower learning rate")
        self._check_shapes()
        for name, number in (("zeta", self.zeta), ("nu", self.nu)):
            if not 0.0 <= number <= 1.0:
                raise CheckpointError(f"{name} from 0 to 1", str(number), where=f"`{name}`",
                                      hint="checkpoints hold it before the sigmoid")
        for name, kind in (("gate", self.gate), ("update", self.update)):
            if kind not in NONLINEARITIES:
                raise CheckpointError(f"one of {', '.join(NONLINEARITIES)}", repr(kind),
                                      where=f"`{name}`", hint="other cells are not FastGRNN's")

    def _check_shapes(self) -> None:
        d, h = self.n_inputs, self.n_hidden
        for name, factors, rows in (("w", self.w, d), ("u", self.u, h)):
            shapes = [list(f.shape) for f in factors]
            r = factors[0].shape[1] if len(factors) == 2 and factors[0].ndim == 2 else h
            wanted = [[rows, h]] if len(factors) == 1 else [[rows, r], [r, h]]
            if shapes != wanted or min(rows, r, h) < 1:
                raise ShapeError(f"({rows}, {h}), or ({rows}, r) and (r, {h})", str(shapes),
                                 where=f"`{name}`", hint="transposed? EdgeML's CUDA cell stores "
                                 "transposes; see edge_sdk.importers.edgeml")
            if len(factors) == 2 and r > min(rows, h):
                raise ShapeError(f"a rank of at most {min(rows, h)}", str(r), where=f"`{name}`",
                                 hint="multiply the factors: the full matrix is smaller")
        vectors = [("bias_gate", self.bias_gate, h), ("bias_update", self.bias_update, h)]
        if (self.head is None) != (self.head_bias is None):
            raise ShapeError("head and head_bias, or neither", "one", where="`head`",
                             hint="a head without bias: pass zeros")
        if self.head is not None and self.head_bias is not None:
            classes = self.head_bias.size
            if self.head.shape != (h, classes) or classes < 1:
                raise ShapeError(f"({h}, {classes})", str(list(self.head.shape)), where="`head`",
                                 hint="torch's Linear stores the transpose")
            vectors.append(("head_bias", self.head_bias, classes))
            if self.labels and len(self.labels) != classes:
                raise ShapeError(f"{classes} labels", str(len(self.labels)), where="`labels`",
                                 hint="one for each class, or none")
        if (self.mean is None) != (self.scale is None):
            raise ShapeError("mean and scale, or neither", "one", where="`mean`",
                             hint="mean zeros, or scale ones")
        if self.mean is not None and self.scale is not None:
            vectors += [("mean", self.mean, d), ("scale", self.scale, d)]
        for name, array, size in vectors:
            if array.shape != (size,):
                raise ShapeError(f"({size},)", str(list(array.shape)), where=f"`{name}`",
                                 hint="EdgeML's biases are (1, H): reshape(-1)")

    @property
    def n_inputs(self) -> int:
        """D: features in a frame."""
        return int(self.w[0].shape[0])

    @property
    def n_hidden(self) -> int:
        """H: numbers in the state."""
        return int(self.bias_gate.size)

    @property
    def n_classes(self) -> int:
        """C: classes of the head, 0 without one."""
        return 0 if self.head_bias is None else int(self.head_bias.size)

    @property
    def ranks(self) -> tuple[int | None, int | None]:
        """The ranks of W and U, None where the matrix is whole."""
        first, second = (f[0].shape[1] if len(f) == 2 else None for f in (self.w, self.u))
        return first, second

    def arrays(self) -> dict[str, Floats]:
        """Return the arrays there are, by name: w or w1, w2; u or u1, u2; bias_gate, ..."""
        named: dict[str, Floats | None] = {}
        for name, factors in (("w", self.w), ("u", self.u)):
            names = [name] if len(factors) == 1 else [f"{name}{i + 1}" for i in range(len(factors))]
            named |= dict(zip(names, factors, strict=True))
        named |= {"bias_gate": self.bias_gate, "bias_update": self.bias_update,
                  "head": self.head, "head_bias": self.head_bias, "mean": self.mean,
                  "scale": self.scale}
        return {name: array for name, array in named.items() if array is not None}

    def without_head(self) -> Weights:
        """Return the bare cell, normalization kept."""
        return replace(self, head=None, head_bias=None, labels=())


def from_module(module: Any) -> Weights:
    """Return the weights of an `edge_sdk.nn.fastgrnn` module (its `export_arrays()`).

    Raises:
        ShapeError: It is no such module.
        CheckpointError: A weight is NaN or infinite.
    """
    if not hasattr(module, "export_arrays"):
        raise ShapeError("a FastGRNNCell or FastGRNNClassifier of edge_sdk.nn.fastgrnn",
                         type(module).__name__, where="`module`",
                         hint="other checkpoints: edge_sdk.importers.edgeml")
    return Weights(**module.export_arrays())


def _got(array: Any) -> str:
    if isinstance(array, np.ndarray):
        return f"{array.dtype} {list(array.shape)}"
    return type(array).__name__
