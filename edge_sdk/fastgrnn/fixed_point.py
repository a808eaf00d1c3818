"""16-bit fixed point: rounding, tables, and int8 matrices. `integer` says how they make a cell.

"b bits" means b bits after the point: the integer v stands for v / 2**b. All functions
compute in int64 and assert that C's int32 would not have overflowed. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import UnsupportedModel

SUM_BITS = 12
"""Bits of x W, h U and the cell's biases."""
ONE_BITS = 15
"""Bits of zeta, nu and of what a tanh gives; 1.0 saturates to 32767."""
MAX_SHIFT = 30

TANH_STEP_BITS = 4
TANH_ENTRIES = 129
"""tanh at 0, 1/16, ... 8."""
TANH_TABLE_BYTES = 2 * TANH_ENTRIES

LOWEST, HIGHEST = -32768, 32767
"""The range of int16."""

Integers = NDArray[np.int64]
Int8s = NDArray[np.int8]
Int16s = NDArray[np.int16]
Int32s = NDArray[np.int32]


def saturate(values: Integers) -> Integers:
    """Clip to the range of int16."""
    return np.clip(values, LOWEST, HIGHEST)


def round_shift(values: Integers, shift: Integers | int) -> Integers:
    """Return values / 2**shift, rounded half up; a negative shift multiplies."""
    right, left = np.maximum(shift, 0), np.maximum(np.negative(shift), 0)
    half = np.where(right > 0, 1 << np.maximum(right - 1, 0), 0)
    rounded = int32(values + half)
    return int32((rounded >> right) * (1 << left))


def int32(values: Integers) -> Integers:
    """Assert that C's int32 would not have overflowed."""
    assert np.all(np.abs(values) < 1 << 31), "int32 overflow: the proof is wrong"
    return values


# --- the non-linearities ----------------------------------------------------------------


@lru_cache(maxsize=1)
def tanh_table() -> Int16s:
    """Return tanh at multiples of 1/16 from 0 to 8, 15 bits, (129,) int16.

    A chord lies below the curve; every entry is raised by half of the widest gap
    there, step**2 / 16 * |tanh''|, which halves the largest error of interpolation.
    """
    at = np.arange(TANH_ENTRIES) / 2.0**TANH_STEP_BITS
    exact = np.tanh(at)
    gap = 2.0 * exact * (1.0 - exact**2) * 4.0**-TANH_STEP_BITS / 16.0
    table: Int16s = np.minimum(np.rint((exact + gap) * 2**ONE_BITS), HIGHEST).astype(np.int16)
    return table


def tanh_15(values: Integers, bits: int) -> Integers:
    """Return tanh of integers of `bits` bits, 15 bits: the table, interpolated, odd.

    8 and beyond count as 8 - 2**-bits.
    """
    table, step = tanh_table().astype(np.int64), bits - TANH_STEP_BITS
    size = np.minimum(np.abs(values), (8 << bits) - 1)
    index, part = size >> step, size & ((1 << step) - 1)
    found = table[index] + round_shift((table[index + 1] - table[index]) * part, step)
    signed: Integers = np.where(values < 0, -found, found)
    return signed


def nonlinearity(name: str, p: Integers) -> Integers:
    """Return a non-linearity of p (12 bits) with `output_bits(name)` bits.

    sigmoid(p) = (1 + tanh(p / 2)) / 2, rounded half up. Where 1.0 does not fit it is 32767;
    a quant_tanh's -1.0 is -32767.
    """
    one = 1 << SUM_BITS
    if name == "tanh":
        return tanh_15(p, SUM_BITS)
    if name == "sigmoid":
        # The same integer with one bit more after the point is p / 2.
        halves = round_shift(tanh_15(p, SUM_BITS + 1) + (1 << ONE_BITS), 1)
        return np.minimum(halves, HIGHEST)
    if name == "quant_tanh":
        return np.clip(np.clip(p, -one, one) * 8, -HIGHEST, HIGHEST)
    if name == "quant_sigmoid":
        return np.minimum((np.clip(p, -one, one) + one) * 4, HIGHEST)
    if name == "quant_sigmoid4":
        return np.minimum((np.clip(p, -2 * one, 2 * one) + 2 * one) * 2, HIGHEST)
    return np.clip(p, 0, HIGHEST)  # relu


def output_bits(name: str) -> int:
    """Return the bits of `nonlinearity`."""
    return SUM_BITS if name == "relu" else ONE_BITS


def gate_bits(name: str) -> int:
    """Return the bits of z: 14 where 1 - z reaches 2, so that no product overflows."""
    return ONE_BITS - 1 if name in ("tanh", "quant_tanh") else output_bits(name)


def mix_bits(name: str) -> int:
    """Return the bits of t = zeta (1 - z) + nu for this gate, which reaches 2, 3, or -7."""
    return {15: 14, 14: 13, 12: 12}[gate_bits(name)]


# --- matrices ---------------------------------------------------------------------------


@dataclass(frozen=True)
class SparseRows:
    """Rows as pairs of a value and how much further on its input is; zeros are left out.

    An output's input starts at 0; each pair first adds `delta` to it, then `value` times
    that input to the sum. Values are zero only where an input is further on than a delta
    can tell.

    Attributes:
        values: (n,) of the matrix's dtype, row after row.
        deltas: (n,) uint8, or uint16.
        counts: (n_outputs,) pairs of each row.
    """

    values: NDArray[Any]
    deltas: NDArray[np.uint8] | NDArray[np.uint16]
    counts: Integers

    @property
    def n_bytes(self) -> int:
        """Bytes a device stores, a byte for each count; none can where a row has over 255."""
        if self.counts.max(initial=0) > 255:
            return 1 << 62
        return self.values.nbytes + self.deltas.nbytes + self.counts.size


def sparse_rows(rows: NDArray[Any], *, delta_bits: int = 8) -> SparseRows:
    """Return (n_outputs, n_inputs) as pairs, with deltas of 8 or 16 bits."""
    farthest = (1 << delta_bits) - 1
    values: list[Any] = []
    deltas: list[int] = []
    counts: list[int] = []
    for row in rows:
        at, before = 0, len(values)
        for i in np.flatnonzero(row).tolist():
            while i - at > farthest:
                values.append(0)
                deltas.append(farthest)
                at += farthest
            values.append(row[i])
            deltas.append(i - at)
            at = i
        counts.append(len(values) - before)
    return SparseRows(np.array(values, rows.dtype), np.array(deltas, f"uint{delta_bits}"),
                      np.array(counts, np.int64))


@dataclass(frozen=True)
class QuantizedMatrix:
    """A matrix by output unit: row k holds what makes output k.

    Attributes:
        q: (n_outputs, n_inputs) int8, -127 to 127.
        shift: (n_outputs,) int8: each sum's rounding shift, negative to the left.
    """

    q: Int8s
    shift: Int8s

    @property
    def is_sparse(self) -> bool:
        """Whether the pairs of `sparse()` take fewer bytes than the rows."""
        return self._sparse_bytes() < self.q.size

    @property
    def n_bytes(self) -> int:
        """Bytes a device stores: the smaller form, and a shift for each output."""
        return min(self._sparse_bytes(), self.q.size) + self.shift.size

    def sparse(self) -> SparseRows:
        """Return the rows as pairs, stored so where `is_sparse`."""
        return sparse_rows(self.q)

    def _sparse_bytes(self) -> int:
        return self.sparse().n_bytes

    def apply(self, x: Integers) -> Integers:
        """Return the shifted sums (..., n_outputs) of x (..., n_inputs)."""
        sums = int32(x @ self.q.T.astype(np.int64))
        return round_shift(sums, self.shift.astype(np.int64))

    def bounds(self) -> Integers:
        """Return what no output's size exceeds for any int16 input, (n_outputs,).

        Raises:
            UnsupportedModel: Some input would overflow int32 on the way.
        """
        shift = self.shift.astype(np.int64)
        right, left = np.maximum(shift, 0), np.maximum(-shift, 0)
        sums = np.abs(self.q.astype(np.int64)).sum(1) * -LOWEST
        halves = np.where(right > 0, 1 << np.maximum(right - 1, 0), 0)
        shifted: Integers = ((sums + halves) >> right) << left
        demand_int32(sums + halves, "sums")
        demand_int32(shifted, "sums")
        return shifted


def demand_int32(values: Integers, what: str) -> None:
    """Raise UnsupportedModel if one of these bounds is beyond int32."""
    largest = int(values.max(initial=0))
    if largest >= 1 << 31:
        raise UnsupportedModel(
            "sums below 2**31 for all features", f"up to {largest}", where=f"`{what}`",
            hint="fewer inputs, smaller weights or a lower rank; or the fp32 form")


def exponents(matrix: NDArray[Any]) -> Integers:
    """Return the exponent e of each column's scale 2**e: ceil(log2(max |column| / 127)).

    Weights are rint(w / 2**e), half to even. A column of zeros has exponent 0.
    """
    largest = np.abs(np.asarray(matrix, np.float64)).max(axis=0)
    mantissa, power = np.frexp(largest / 127.0)
    # frexp's mantissa is 0.5 for powers of two.
    found: Integers = np.where(largest > 0, power - (mantissa == 0.5), 0).astype(np.int64)
    return found


def quantize_matrix(matrix: NDArray[Any], *, bits_in: int, bits_out: int) -> QuantizedMatrix:
    """Return (n_inputs, n_outputs) float weights as int8 with shifts from bits_in to bits_out.

    A column so small that its shift would exceed 30 gets a coarser scale: it hardly counts.
    """
    exponent = np.maximum(exponents(matrix), bits_in - bits_out - MAX_SHIFT)
    scaled = np.asarray(matrix, np.float64) / np.exp2(exponent)
    q = np.clip(np.rint(scaled), -127, 127).astype(np.int8)
    shift = np.where(q.any(axis=0), bits_in - exponent - bits_out, 0)
    if shift.min(initial=0) < -MAX_SHIFT:
        raise UnsupportedModel("weights that 32-bit sums can hold",
                               f"up to {np.abs(matrix).max():.3g}", where="weights",
                               hint="use the fp32 form")
    return QuantizedMatrix(np.ascontiguousarray(q.T), shift.astype(np.int8))
