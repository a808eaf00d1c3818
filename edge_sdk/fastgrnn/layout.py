"""`Weights` as the sections of a `.grnn` file (runtime/FORMAT.md, kind 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_sdk import corefile
from edge_sdk.errors import FormatError, ShapeError
from edge_sdk.fastgrnn.weights import NONLINEARITIES, Floats, Weights

if TYPE_CHECKING:
    from edge_sdk.fastgrnn.integer import QuantizedWeights

T = TypeVar("T")

LARGEST = 65536
"""Inputs, hidden units, classes."""
DENSE = 0xFFFFFFFF
"""In place of the number of nonzeros."""

Bytes = NDArray[np.uint8]


def pack(weights: Weights | QuantizedWeights, *, sparse: bool,
         early: Mapping[str, Any] | None) -> Bytes:
    """Return the bytes of a file.

    Raises:
        ShapeError: More than 65536 inputs, hidden units or classes.
    """
    sizes = weights.n_inputs, weights.n_hidden, weights.n_classes
    if max(sizes) > LARGEST:
        raise ShapeError(f"up to {LARGEST} inputs, hidden units and classes", str(sizes),
                         where="`weights`", hint="FastGRNN is for small models")
    sections = _floats(weights, sparse) if isinstance(weights, Weights) else _integers(weights)
    notes = [("labl", list(weights.labels)), ("prep", weights.preprocessing),
             ("erly", dict(early or {}))]
    sections += [corefile.json_section(tag, value) for tag, value in notes if value]
    return corefile.pack(corefile.FASTGRNN, weights.n_inputs, weights.n_hidden, sections)


def _floats(weights: Weights, sparse: bool) -> list[corefile.Section]:
    stored = [_factor(factor, sparse)
              for factor in (*_pair(weights.w), *_pair(weights.u), weights.head)]
    nonzeros = [count for count, _ in stored]
    return [
        corefile.section("CELL", _cell(weights, 0, nonzeros, weights.zeta, weights.nu)),
        corefile.section("WGHT", np.concatenate([data for _, data in stored])),
        *_vectors("BIAS", weights.bias_gate, weights.bias_update, weights.head_bias),
        *_vectors("NORM", weights.mean, weights.scale),
    ]


def _integers(weights: QuantizedWeights) -> list[corefile.Section]:
    one = 2.0**-15
    rows = [part for matrix in (*_pair(weights.w), *_pair(weights.u), weights.head)
            if matrix is not None for part in (_aligned(matrix.q), _aligned(matrix.shift))]
    fixed = [weights.input_bits, weights.x_bits, weights.state_bits, weights.logit_bits,
             weights.x_shift, weights.w_bits or 0, weights.u_bits or 0, weights.zeta, weights.nu,
             0, 0, 0]
    return [
        corefile.section("CELL", _cell(weights, 1, [DENSE] * 5, weights.zeta * one,
                                       weights.nu * one)),
        corefile.section("FIXD", np.array(fixed, np.int32)),
        corefile.section("WGHT", np.concatenate(rows)),
        *_vectors("BIAS", weights.bias_gate, weights.bias_update, weights.head_bias),
        *_vectors("NORM", weights.mean, weights.multiplier),
    ]


def unpack_integers(data: Bytes, d: int, h: int, labels: tuple[str, ...],
                    preprocessing: Mapping[str, Any]) -> QuantizedWeights:
    """Return the integers of a file that the core has verified, of D inputs and H hidden.

    Raises:
        FormatError: Its arithmetic is float32.
    """
    from edge_sdk.fastgrnn.fixed_point import QuantizedMatrix
    from edge_sdk.fastgrnn.integer import QuantizedWeights

    parts = {entry.tag: data[entry.offset : entry.offset + entry.size]
             for entry in corefile.table(data)}
    if "FIXD" not in parts:
        raise FormatError("a file of integers", "one of float32", where="CELL",
                          hint="FastGRNN.build(quantize(weights, ...)) makes one")
    rank_w, rank_u, classes, gate, update, *_ = parts["CELL"][:48].view(np.uint32).tolist()
    weights, bias, norm = (Reader(parts.get(tag, np.empty(0, np.uint8)))
                           for tag in ("WGHT", "BIAS", "NORM"))

    def matrix(n_in: int, n_out: int) -> QuantizedMatrix:
        q = weights.take(np.int8, n_in * n_out, 64).reshape(n_out, n_in)
        return QuantizedMatrix(q, weights.take(np.int8, n_out, 64))

    def factors(n_in: int, rank: int) -> tuple[QuantizedMatrix, ...]:
        return (matrix(n_in, rank), matrix(rank, h)) if rank else (matrix(n_in, h),)

    bits = parts["FIXD"].view(np.int32).tolist()
    return QuantizedWeights(
        w=factors(d, rank_w), u=factors(h, rank_u), head=matrix(h, classes) if classes else None,
        bias_gate=bias.take(np.int16, h, 32), bias_update=bias.take(np.int16, h, 32),
        head_bias=bias.take(np.int32, classes, 64) if classes else None,
        mean=norm.take(np.int16, d, 32) if "NORM" in parts else None,
        multiplier=norm.take(np.int16, d, 32) if "NORM" in parts else None,
        gate=NONLINEARITIES[gate], update=NONLINEARITIES[update], input_bits=bits[0],
        x_bits=bits[1], state_bits=bits[2], logit_bits=bits[3], x_shift=bits[4],
        w_bits=bits[5] if rank_w else None, u_bits=bits[6] if rank_u else None, zeta=bits[7],
        nu=bits[8], labels=labels, preprocessing=dict(preprocessing))


class Reader:
    """Takes arrays one behind the other, each filled up to so many bytes."""

    def __init__(self, data: Bytes) -> None:
        self._data, self._at = data, 0

    def take(self, kind: Any, n: int, align: int) -> NDArray[Any]:
        """Return the next `n` numbers."""
        size = n * np.dtype(kind).itemsize
        found: NDArray[Any] = self._data[self._at : self._at + size].view(kind).copy()
        self._at += size + -size % align
        return found


def _pair(factors: tuple[T, ...]) -> list[T | None]:
    return [None, *factors] if len(factors) == 1 else list(factors)


def _cell(weights: Weights | QuantizedWeights, arithmetic: int, nonzeros: list[int],
          zeta: float, nu: float) -> Bytes:
    first, second = weights.ranks
    kinds = [NONLINEARITIES.index(name) for name in (weights.gate, weights.update)]
    numbers = [first or 0, second or 0, weights.n_classes, *kinds, arithmetic, *nonzeros, 0]
    ends = np.array([zeta, nu, 0, 0], np.float32)
    return np.concatenate([np.array(numbers, np.uint32).view(np.uint8), ends.view(np.uint8)])


def _vectors(tag: str, *vectors: NDArray[Any] | None) -> list[corefile.Section]:
    """Return a section of vectors, each filled up to 16 numbers; none if there are none."""
    there = [np.pad(vector, (0, -len(vector) % 16)).view(np.uint8)
             for vector in vectors if vector is not None]
    return [corefile.section(tag, np.concatenate(there))] if there else []


def _factor(factor: Floats | None, sparse: bool) -> tuple[int, Bytes]:
    """Return (nonzeros or DENSE, bytes), each part of them filled up to 64."""
    if factor is None:
        return DENSE, np.empty(0, np.uint8)
    n_in, n_out = factor.shape
    dense = np.pad(factor, ((0, -n_in % 2), (0, -n_out % 8)))
    if sparse:
        rows, columns = np.nonzero(factor)
        starts = np.searchsorted(rows, np.arange(n_in + 1)).astype(np.uint32)
        indices = columns.astype(np.uint8 if n_out <= 256 else np.uint16)
        parts = np.concatenate([_aligned(factor[rows, columns]), _aligned(starts),
                                _aligned(indices)])
        if parts.nbytes < dense.nbytes:
            return len(rows), parts
    return DENSE, _aligned(dense)


def _aligned(array: NDArray[Any]) -> Bytes:
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return np.pad(raw, (0, -raw.size % 64))
