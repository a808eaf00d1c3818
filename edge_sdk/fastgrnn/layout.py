"""`Weights` as the sections of a `.grnn` file (runtime/FORMAT.md, kind 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk import corefile
from edge_sdk.errors import ShapeError
from edge_sdk.fastgrnn.weights import NONLINEARITIES, Floats, Weights

LARGEST = 65536
"""Inputs, hidden units, classes."""
DENSE = 0xFFFFFFFF
"""In place of the number of nonzeros."""

Bytes = NDArray[np.uint8]


def pack(weights: Weights, *, sparse: bool, early: Mapping[str, Any] | None) -> Bytes:
    """Return the bytes of a file.

    Raises:
        ShapeError: More than 65536 inputs, hidden units or classes.
    """
    sizes = weights.n_inputs, weights.n_hidden, weights.n_classes
    if max(sizes) > LARGEST:
        raise ShapeError(f"up to {LARGEST} inputs, hidden units and classes", str(sizes),
                         where="`weights`", hint="FastGRNN is for small models")
    factors = [*_pair(weights.w), *_pair(weights.u), weights.head]
    stored = [_factor(factor, sparse) for factor in factors]
    sections = [
        corefile.section("CELL", _cell(weights, [nonzeros for nonzeros, _ in stored])),
        corefile.section("WGHT", np.concatenate([data for _, data in stored])),
        corefile.section("BIAS", np.concatenate([
            _lanes(weights.bias_gate), _lanes(weights.bias_update),
            *([] if weights.head_bias is None else [_lanes(weights.head_bias)])])),
    ]
    if weights.mean is not None and weights.scale is not None:
        norm = np.concatenate([_lanes(weights.mean), _lanes(weights.scale)])
        sections.append(corefile.section("NORM", norm))
    notes = [("labl", list(weights.labels)), ("prep", weights.preprocessing),
             ("erly", dict(early or {}))]
    sections += [corefile.json_section(tag, value) for tag, value in notes if value]
    return corefile.pack(corefile.FASTGRNN, weights.n_inputs, weights.n_hidden, sections)


def _pair(factors: tuple[Floats, ...]) -> list[Floats | None]:
    return [None, *factors] if len(factors) == 1 else list(factors)


def _cell(weights: Weights, nonzeros: list[int]) -> Bytes:
    first, second = weights.ranks
    kinds = [NONLINEARITIES.index(name) for name in (weights.gate, weights.update)]
    numbers = [first or 0, second or 0, weights.n_classes, *kinds, 0, *nonzeros, 0]
    ends = np.array([weights.zeta, weights.nu, 0, 0], np.float32)
    return np.concatenate([np.array(numbers, np.uint32).view(np.uint8), ends.view(np.uint8)])


def _lanes(vector: Floats) -> Floats:
    return np.pad(vector, (0, -len(vector) % 16))


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
