"""`Weights` as the sections of a `.grnn` file (runtime/FORMAT.md, kind 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_sdk import corefile
from edge_sdk.errors import ShapeError
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
