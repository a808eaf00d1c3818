"""`SparseMatrix`: a weight without its zeros, and what layers compute with it."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_sdk import _native
from edge_sdk.errors import CheckpointError, EdgeError, FormatError, ShapeError

Values = Literal["float32", "int8"]
Activation = Literal["relu", "relu6"]

KINDS: tuple[Values, Values] = ("float32", "int8")
"""The types of values, by their number in packed bytes."""

_BOUNDS: dict[str | None, tuple[float, float]] = {
    None: (-math.inf, math.inf), "relu": (0.0, math.inf), "relu6": (0.0, 6.0)}


class SparseMatrix:
    """A weight (rows, cols), packed as runtime/FORMAT.md says; immutable.

    Its products run on the core's kernels, one thread each, and other Python threads run
    meanwhile. Every output is the sum over its row's entries in the order of the columns,
    each product rounded before it is added; then come scale, bias and activation. So it
    is the same bits on every processor, whatever else is computed in the same call.
    """

    def __init__(self, data: NDArray[np.uint8]) -> None:
        """Open packed bytes, (size,) uint8; `pack` and `from_bytes` are how to come by one.

        Raises:
            FormatError: No packed weight, or damaged.
            VersionError: Written by a newer version.
        """
        self._core = _native.Sparse(data)
        (self.rows, self.cols, self.n_kept, self.n_stored, values,
         self.delta_bits) = self._core.info
        self.values: Values = KINDS[values]

    @classmethod
    def pack(cls, weight: Any, *, values: Values = "float32",
             delta_bits: int | None = None) -> SparseMatrix:
        """Pack what is not zero.

        Args:
            weight: Floats (rows, cols), or (out, in, height, width) of a convolution, which
                becomes (out, in * height * width).
            values: "float32", exact, or "int8": w / scale rounded half to even, where
                scale = max |w| of the row / 127; what rounds to zero is left out.
            delta_bits: 8 or 16, of the distance between columns; None: what is smaller.

        Raises:
            ShapeError: Another shape, no floats, other values or bits, or too large.
            CheckpointError: NaN or infinity.
        """
        dense = _as_weight(weight)
        if values not in KINDS:
            raise ShapeError("values 'float32' or 'int8'", repr(values), where="`values`",
                             hint="int8 is a quarter of the bytes of values, and rounds them")
        if delta_bits not in (None, 8, 16):
            raise ShapeError("delta_bits 8, 16 or None", repr(delta_bits), where="`delta_bits`",
                             hint="leave it out for what is smaller")
        kind = KINDS.index(values)
        if delta_bits is None:
            sizes = {bits: _native.sparse_pack_size(dense, kind, bits) for bits in (8, 16)}
            delta_bits = min(sizes, key=lambda bits: sizes[bits])
        return cls(_native.sparse_pack(dense, kind, delta_bits))

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview | NDArray[np.uint8]) -> SparseMatrix:
        """Open a copy of packed bytes.

        Raises:
            FormatError: No packed weight, or damaged.
            VersionError: Written by a newer version.
        """
        try:
            return cls(np.frombuffer(data, np.uint8))
        except (TypeError, ValueError, BufferError):
            raise FormatError("the bytes of a packed weight", type(data).__name__, where="`data`",
                              hint="pass what SparseMatrix.bytes gave") from None

    @cached_property
    def bytes(self) -> bytes:
        """The packed bytes."""
        return self._core.bytes()

    @property
    def nbytes(self) -> int:
        """How many bytes it is packed into."""
        return self._core.size

    @property
    def sparsity(self) -> float:
        """The share of zeros, 0 to 1."""
        return 1.0 - float(self.n_kept) / (self.rows * self.cols)

    def dense(self) -> NDArray[np.float32]:
        """Return the weight with its zeros, (rows, cols) float32; int8 times its scales."""
        return self._core.unpack()

    def linear(self, x: NDArray[np.float32], bias: NDArray[np.float32] | None = None, *,
               activation: Activation | None = None, isa: str | None = None,
               ) -> NDArray[np.float32]:
        """Return activation(x W^T + bias), (..., rows) float32.

        Args:
            x: float32 (..., cols).
            bias: float32 (rows,).
            activation: None, "relu" or "relu6".
            isa: For tests: one of `edge_sdk._native.isas()`.

        Raises:
            ShapeError: Another shape or dtype, or no token.
        """
        if activation is None and isa is None and type(x) is np.ndarray and x.ndim == 2 and len(x):
            # One token takes a few microseconds: nothing that the core looks at is looked at here.
            try:
                return self._core.linear(x, bias)
            except (TypeError, EdgeError):
                return self._linear(x, bias, activation, isa)
        return self._linear(x, bias, activation, isa)

    def _linear(
        self, x: Any, bias: Any, activation: str | None, isa: str | None,
    ) -> NDArray[np.float32]:
        """Make of the arguments what the core takes, or say what they should be."""
        x = _as_floats(x, "`x`")
        if x.ndim < 1 or x.shape[-1] != self.cols or x.size == 0:
            raise ShapeError(f"float32 (..., {self.cols})", str(x.shape), where="`x`",
                             hint="the last axis is the weight's columns")
        low, high = _bounds(activation)
        flat = np.ascontiguousarray(x.reshape(-1, self.cols))
        y = self._core.linear(flat, self._bias(bias), low, high, isa)
        return y.reshape(*x.shape[:-1], self.rows)

    def conv2d(self, x: NDArray[np.float32], *, kernel_size: int | tuple[int, int],
               stride: int | tuple[int, int] = 1, padding: int | tuple[int, int] = 0,
               bias: NDArray[np.float32] | None = None, activation: Activation | None = None,
               isa: str | None = None) -> NDArray[np.float32]:
        """Return activation(conv2d(x, W) + bias), (n, rows, out_height, out_width) float32.

        One group, no dilation; W is PyTorch's (rows, channels, height, width), flattened.

        Args:
            x: float32 (n, channels, height, width).
            kernel_size: As `stride` and `padding` one number, or (down, across).
            stride: At least 1.
            padding: Rows and columns of zeros on each side.
            bias: float32 (rows,).
            activation: None, "relu" or "relu6".
            isa: For tests: one of `edge_sdk._native.isas()`.

        Raises:
            ShapeError: Another shape or dtype, a kernel that is not the weight's or is
                larger than the padded image, or no image.
        """
        x = _as_floats(x, "`x`")
        kernel = _pair(kernel_size, "`kernel_size`", 1)
        taps = kernel[0] * kernel[1]
        if x.ndim != 4 or x.size == 0 or x.shape[1] * taps != self.cols:
            raise ShapeError(f"float32 (n, channels, height, width), channels * {taps} being "
                             f"{self.cols}", str(x.shape), where="`x`",
                             hint="the weight's columns are channels * kernel height * width")
        low, high = _bounds(activation)
        return self._core.conv2d(
            np.ascontiguousarray(x), kernel, _pair(stride, "`stride`", 1),
            _pair(padding, "`padding`", 0), self._bias(bias), low, high, isa)

    def _bias(self, bias: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        if bias is None:
            return None
        bias = _as_floats(bias, "`bias`")
        if bias.shape != (self.rows,):
            raise ShapeError(f"float32 ({self.rows},)", str(bias.shape), where="`bias`",
                             hint="one number for each row of the weight")
        return np.ascontiguousarray(bias)

    def __repr__(self) -> str:
        return (f"SparseMatrix({self.rows}x{self.cols}, {self.n_kept} kept, {self.values}, "
                f"{self.delta_bits}-bit deltas, {self.nbytes} bytes)")


def _as_weight(weight: Any) -> NDArray[np.float32]:
    array = np.asarray(weight)
    if array.dtype.kind != "f" or array.ndim not in (2, 4) or array.size == 0:
        raise ShapeError("floats (rows, cols) or (out, in, height, width)",
                         f"{array.dtype} {array.shape}", where="`weight`",
                         hint="pass a Linear's or a Conv2d's weight")
    if array.size > _native.SPARSE_MAX:
        raise ShapeError(f"at most {_native.SPARSE_MAX} weights", str(array.size),
                         where="`weight`", hint="split the layer")
    with np.errstate(over="ignore"):
        dense = np.ascontiguousarray(array, np.float32).reshape(array.shape[0], -1)
    if not np.isfinite(dense).all():
        raise CheckpointError("finite weights", "NaN or infinity", where="`weight`",
                              hint="look where training went wrong")
    return dense


def _as_floats(x: Any, where: str) -> NDArray[np.float32]:
    if not isinstance(x, np.ndarray) or x.dtype != np.float32:
        raise ShapeError("a float32 array", str(getattr(x, "dtype", type(x).__name__)),
                         where=where, hint="np.asarray(x, np.float32)")
    return x


def _pair(value: int | tuple[int, int], where: str, least: int) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else value
    if len(pair) != 2 or not all(isinstance(v, int) and least <= v <= _native.SPARSE_MAX
                                 for v in pair):
        raise ShapeError(f"one or two numbers of at least {least}", repr(value), where=where,
                         hint="an int, or (down, across)")
    return pair


def _bounds(activation: str | None) -> tuple[float, float]:
    if activation not in _BOUNDS:
        raise ShapeError("activation None, 'relu' or 'relu6'", repr(activation),
                         where="`activation`", hint="compute others afterwards")
    return _BOUNDS[activation]
