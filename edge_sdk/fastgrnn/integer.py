"""FastGRNN in 16-bit integers with int8 weights: the definition, and how it is made from floats.

`QuantizedWeights.step` is the definition bit for bit; the C core and the generated
C compute the same integers. "b bits" means b bits after the point: the integer v
stands for v / 2**b.

    quantity            type    bits
    features            int16   input_bits: 9 for log-mel, else from the calibration data
    x                   int16   x_bits: 12, fewer where calibration data goes beyond +-8
    weights             int8    a power of two for each output unit
    x W1, h U1          int16   w_bits, u_bits: from the calibration data
    x W, h U            int32   12
    biases of the cell  int16   12
    z                   int16   zb: 15 of a sigmoid's kind, 14 of a tanh's, 12 of a ReLU
    c                   int16   cb: 15, or 12 of a ReLU
    zeta, nu            int16   15
    t                   int16   tb: 14, 13 and 12 for gates of 15, 14 and 12
    h                   int16   state_bits: from the calibration data
    logits, head_bias   int32   logit_bits

Two operations. `round_shift(v, s)` divides by 2**s and rounds half up: v + 2**(s - 1),
shifted right with the sign; a shift below 0 multiplies by 2**-s. `saturate` clips to
-32768..32767. A frame:

    x  = saturate(round_shift((features - mean) * multiplier, x_shift))
         or, without normalization, saturate(round_shift(features, x_shift))
    W  : the sum of q * x in int32, round_shift by each output unit's own shift;
         low-rank: saturate to int16, then the same once more. U alike, of h.
    p  = x W + h U                                     int32, not saturated
    z  = gate(p + bias_gate)                           `nonlinearity`; round_shift to zb
    c  = update(p + bias_update)
    t  = round_shift(zeta * (one - z) + nu * 2**zb, 15 + zb - tb)   one = min(2**zb, 32767)
    h' = saturate(round_shift(z * h, zb) + round_shift(t * c, tb + cb - state_bits))
    logits = round_shift(the sum of q * h', shift) + head_bias

No int32 can overflow, whatever the features: `QuantizedWeights` proves it from the
weights, or raises. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.audio.logmel import FEATURE_BITS
from edge_sdk.errors import CalibrationError, ShapeError, UnsupportedModel
from edge_sdk.fastgrnn.calibration import HEADROOM, Ranges, bits_for, bounded, seen
from edge_sdk.fastgrnn.fixed_point import (
    HIGHEST,
    LOWEST,
    MAX_SHIFT,
    ONE_BITS,
    SUM_BITS,
    Int16s,
    Int32s,
    Integers,
    QuantizedMatrix,
    demand_int32,
    exponents,
    gate_bits,
    int32,
    mix_bits,
    nonlinearity,
    output_bits,
    quantize_matrix,
    round_shift,
    saturate,
)
from edge_sdk.fastgrnn.weights import Weights

MAX_X_BITS, MAX_STATE_BITS, MAX_LOGIT_BITS = 12, 15, 16


# --- the cell ---------------------------------------------------------------------------


@dataclass(frozen=True)
class QuantizedWeights:
    """A FastGRNN in integers. See the module's docstring for every number's bits.

    Attributes:
        w, u: One matrix, or two where low-rank, the first giving w_bits (u_bits) bits.
        bias_gate, bias_update: (H,) int16, 12 bits.
        zeta, nu: 15 bits.
        gate, update: Names of the non-linearities.
        input_bits, x_bits, state_bits, logit_bits: Bits of features, x, h, logits.
        w_bits, u_bits: Bits of x W1 and h U1; None where the matrix is whole.
        x_shift: The rounding shift that ends the normalization.
        mean, multiplier: (D,) int16, or None: features of input_bits are only shifted.
        head, head_bias: Logits of C classes, (C,) int32; or None.
        labels, preprocessing: Those of the `Weights`.
    """

    w: tuple[QuantizedMatrix, ...]
    u: tuple[QuantizedMatrix, ...]
    bias_gate: Int16s
    bias_update: Int16s
    zeta: int
    nu: int
    gate: str
    update: str
    input_bits: int
    x_bits: int
    state_bits: int
    x_shift: int
    logit_bits: int = 0
    w_bits: int | None = None
    u_bits: int | None = None
    mean: Int16s | None = None
    multiplier: Int16s | None = None
    head: QuantizedMatrix | None = None
    head_bias: Int32s | None = None
    labels: tuple[str, ...] = ()
    preprocessing: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sums = np.abs(self.bias_gate.astype(np.int64)), np.abs(self.bias_update.astype(np.int64))
        parts = [factors[-1].bounds() for factors in (self.w, self.u)]
        for factors in (self.w, self.u):
            factors[0].bounds()
        demand_int32(parts[0] + parts[1] + np.maximum(*sums), "p")
        half = 1 << max(self.x_shift - 1, 0)
        scale = 1 << max(-self.x_shift, 0)
        widest = np.full(1, -LOWEST, np.int64)
        if self.mean is not None and self.multiplier is not None:
            away = np.maximum(HIGHEST - self.mean.astype(np.int64),
                              self.mean.astype(np.int64) - LOWEST)
            widest = away * np.abs(self.multiplier.astype(np.int64))
        demand_int32(np.maximum(widest + half, widest * scale), "mean")
        if self.head is not None and self.head_bias is not None:
            bias = np.abs(self.head_bias.astype(np.int64))
            demand_int32(self.head.bounds() + bias, "head")

    @property
    def n_inputs(self) -> int:
        """D: features in a frame."""
        return int(self.w[0].q.shape[1])

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
        first, second = (len(f[0].q) if len(f) == 2 else None for f in (self.w, self.u))
        return first, second

    @property
    def n_bytes_by_part(self) -> dict[str, int]:
        """Bytes of constants a device stores; weights with their shifts, zeta and nu in `cell`.

        The tanh table, `TANH_TABLE_BYTES`, comes on top where a tanh or sigmoid is.
        """
        parts = {name: sum(m.n_bytes for m in factors)
                 for name, factors in (("w", self.w), ("u", self.u))}
        parts["cell"] = self.bias_gate.nbytes + self.bias_update.nbytes + 4
        if self.mean is not None and self.multiplier is not None:
            parts["normalization"] = self.mean.nbytes + self.multiplier.nbytes
        if self.head is not None and self.head_bias is not None:
            parts["head"] = self.head.n_bytes + self.head_bias.nbytes
        return parts

    @property
    def n_bytes(self) -> int:
        """Bytes of constants a device stores, without the tanh table."""
        return sum(self.n_bytes_by_part.values())

    @property
    def has_tanh_table(self) -> bool:
        """Whether a tanh or sigmoid is in it."""
        return bool({"tanh", "sigmoid"} & {self.gate, self.update})

    def quantize_input(self, features: NDArray[Any]) -> Int16s:
        """Return real features as integers: rounded half up to input_bits, saturated.

        Raises:
            ShapeError: NaN or infinity, or not n_inputs wide.
        """
        return quantize_input(features, input_bits=self.input_bits, n_inputs=self.n_inputs)

    def start(self, *batch: int) -> Int16s:
        """Return the state before the first frame: zeros, (*batch, H) int16."""
        return np.zeros((*batch, self.n_hidden), np.int16)

    def step(self, x: Int16s, h: Int16s) -> Int16s:
        """Return h' (..., H) int16 of features x (..., D) int16 and h (..., H) int16.

        Raises:
            ShapeError: Another shape or dtype.
        """
        _demand_int16(x, self.n_inputs, "x")
        _demand_int16(h, self.n_hidden, "h")
        before = h.astype(np.int64)
        p = _product(self.normalize(x), self.w) + _product(before, self.u)
        return self._advance(int32(p), before).astype(np.int16)

    def normalize(self, x: Int16s) -> Integers:
        """Return features (..., D) with x_bits bits after mean and scale."""
        wide = x.astype(np.int64)
        if self.mean is not None and self.multiplier is not None:
            wide = int32((wide - self.mean) * self.multiplier)
        return saturate(round_shift(wide, self.x_shift))

    def _advance(self, p: Integers, h: Integers) -> Integers:
        bits, mixed, made = gate_bits(self.gate), mix_bits(self.gate), output_bits(self.update)
        z = nonlinearity(self.gate, int32(p + self.bias_gate))
        z = round_shift(z, output_bits(self.gate) - bits)
        c = nonlinearity(self.update, int32(p + self.bias_update))
        one = min(1 << bits, HIGHEST)
        mix = round_shift(int32(self.zeta * (one - z) + (self.nu << bits)),
                          ONE_BITS + bits - mixed)
        kept = round_shift(int32(z * h), bits)
        new = round_shift(int32(mix * c), mixed + made - self.state_bits)
        return saturate(kept + new)

    def states(self, x: Int16s) -> Int16s:
        """Return the state after each frame, (T, H) int16, of features x (T, D) int16.

        Raises:
            ShapeError: Another shape or dtype, or T is 0.
        """
        _demand_int16(x, self.n_inputs, "x")
        if x.ndim != 2 or len(x) == 0:
            raise ShapeError(f"frames (T >= 1, {self.n_inputs})", str(list(x.shape)), where="`x`",
                             hint="a sequence of length 0 has no answer")
        p = _product(self.normalize(x), self.w)
        h, found = self.start(), np.empty((len(x), self.n_hidden), np.int16)
        for t in range(len(x)):
            before = h.astype(np.int64)
            h = self._advance(int32(p[t] + _product(before, self.u)), before).astype(np.int16)
            found[t] = h
        return found

    def logits(self, h: Int16s) -> Int32s:
        """Return logits (..., C) int32 of states (..., H) int16.

        The class is the argmax, the lowest id on ties.

        Raises:
            ShapeError: Another shape or dtype, or there is no head.
        """
        _demand_int16(h, self.n_hidden, "h")
        if self.head is None or self.head_bias is None:
            raise ShapeError("a model with a head", "a bare cell", where="`head`",
                             hint="use the states")
        return int32(self.head.apply(h.astype(np.int64)) + self.head_bias).astype(np.int32)

    def run(self, x: Int16s) -> Int32s:
        """Return logits (C,) int32 after the last frame of features x (T, D) int16."""
        return self.logits(self.states(x)[-1])


def _product(x: Integers, factors: Sequence[QuantizedMatrix]) -> Integers:
    for factor in factors[:-1]:
        x = saturate(factor.apply(x))
    return factors[-1].apply(x)


def _demand_int16(array: Int16s, size: int, name: str) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != np.int16 or array.ndim < 1 or \
            array.shape[-1] != size:
        got = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else \
            type(array).__name__
        raise ShapeError(f"(..., {size}) int16", got, where=f"`{name}`",
                         hint="real features: quantize_input(features)")


def quantize_input(features: NDArray[Any], *, input_bits: int, n_inputs: int) -> Int16s:
    """Return floor(features * 2**input_bits + 1/2) saturated to int16, (..., n_inputs).

    Raises:
        ShapeError: NaN or infinity, or not n_inputs wide.
    """
    real = np.asarray(features, np.float64)
    if real.ndim < 1 or real.shape[-1] != n_inputs or not np.isfinite(real).all():
        got = str(list(real.shape)) if np.isfinite(real).all() else "NaN or infinity"
        raise ShapeError(f"finite features (..., {n_inputs})", got, where="`features`",
                         hint="look where the front end makes NaN")
    scaled = np.floor(real * 2.0**input_bits + 0.5)
    return np.clip(scaled, LOWEST, HIGHEST).astype(np.int16)


# --- from floats, and back --------------------------------------------------------------


def dequantize(quantized: QuantizedWeights) -> Weights:
    """Return the real numbers that a model's integers stand for.

    The float32 model of these weights differs from `quantized` by the rounding of
    activations alone.
    """
    q = quantized

    def real(factors: Sequence[QuantizedMatrix], *bits: int) -> tuple[NDArray[np.float32], ...]:
        ends = zip(factors, bits, bits[1:], strict=False)
        return tuple(np.ascontiguousarray(
            m.q.T * np.exp2(bits_in - m.shift.astype(np.float64) - bits_out), np.float32)
            for m, bits_in, bits_out in ends)

    def vector(array: NDArray[Any] | None, bits: int) -> NDArray[np.float32] | None:
        return None if array is None else (array * 2.0**-bits).astype(np.float32)

    def ends(start: int, rank: int | None) -> tuple[int, ...]:
        return (start, SUM_BITS) if rank is None else (start, rank, SUM_BITS)

    gate, update = vector(q.bias_gate, SUM_BITS), vector(q.bias_update, SUM_BITS)
    assert gate is not None
    assert update is not None
    return Weights(
        w=real(q.w, *ends(q.x_bits, q.w_bits)), u=real(q.u, *ends(q.state_bits, q.u_bits)),
        bias_gate=gate, bias_update=update, zeta=q.zeta * 2.0**-ONE_BITS,
        nu=q.nu * 2.0**-ONE_BITS, gate=q.gate, update=q.update,
        head=None if q.head is None else real([q.head], q.state_bits, q.logit_bits)[0],
        head_bias=vector(q.head_bias, q.logit_bits), mean=vector(q.mean, q.input_bits),
        scale=vector(q.multiplier, q.x_shift + q.x_bits - q.input_bits), labels=q.labels,
        preprocessing=q.preprocessing)


def quantize(
    weights: Weights, *, features: NDArray[Any] | Sequence[NDArray[Any]] | None
) -> QuantizedWeights:
    """Return the integer form of a FastGRNN.

    Args:
        weights: The model.
        features: Real features, unnormalized: one sequence (T, D), or several. They
            choose the bits of what has no bound of its own. None: bounds from the
            weights' norms, a bit or two coarser.

    Raises:
        ShapeError: Features of another width.
        CalibrationError: No frame, NaN, or values that 16 bits can not hold.
        UnsupportedModel: A bias, or a sum, is too large for the integer form.
    """
    ranges = bounded(weights) if features is None else seen(weights, features)
    if weights.gate == "relu" or weights.update == "relu":
        _demand_below(ranges.relu, 8.0, "a ReLU")
    _demand_below(ranges.h, 2.0**15 / HEADROOM, "the state")
    input_bits = _input_bits(weights, ranges)
    x_bits = min(MAX_X_BITS, bits_for(ranges.x))
    state_bits = min(MAX_STATE_BITS, bits_for(ranges.h * HEADROOM))
    w, w_bits = _factors(weights.w, x_bits, bits_for(ranges.wx * HEADROOM))
    u, u_bits = _factors(weights.u, state_bits, bits_for(ranges.uh * HEADROOM))
    mean, multiplier, x_shift = _normalization(weights, input_bits, x_bits)
    head, head_bias, logit_bits = _head(weights, state_bits)
    return QuantizedWeights(
        w=w, u=u, bias_gate=_bias(weights.bias_gate, "bias_gate"),
        bias_update=_bias(weights.bias_update, "bias_update"), zeta=_one(weights.zeta),
        nu=_one(weights.nu), gate=weights.gate, update=weights.update, input_bits=input_bits,
        x_bits=x_bits, state_bits=state_bits, x_shift=x_shift, logit_bits=logit_bits,
        w_bits=w_bits, u_bits=u_bits, mean=mean, multiplier=multiplier, head=head,
        head_bias=head_bias, labels=weights.labels, preprocessing=weights.preprocessing)


def _demand_below(largest: float, limit: float, what: str) -> None:
    if largest >= limit:
        raise CalibrationError(f"{what} below {limit:g}", f"{largest:.3g}", where="`features`",
                               hint="the integer form can not hold it; use the fp32 form")


def _input_bits(weights: Weights, ranges: Ranges) -> int:
    """Return the front end's bits, or the most with which features and means fit."""
    means = 0.0 if weights.mean is None else float(np.abs(weights.mean).max())
    if "log_mel" in weights.preprocessing:
        _demand_below(means, 2.0**(15 - FEATURE_BITS), "means")
        return FEATURE_BITS
    return bits_for(max(ranges.features * HEADROOM, means))


def _factors(
    factors: tuple[Any, ...], bits_in: int, rank_bits: int
) -> tuple[tuple[QuantizedMatrix, ...], int | None]:
    if len(factors) == 1:
        return (quantize_matrix(factors[0], bits_in=bits_in, bits_out=SUM_BITS),), None
    first = quantize_matrix(factors[0], bits_in=bits_in, bits_out=rank_bits)
    second = quantize_matrix(factors[1], bits_in=rank_bits, bits_out=SUM_BITS)
    return (first, second), rank_bits


def _normalization(
    weights: Weights, input_bits: int, x_bits: int
) -> tuple[Int16s | None, Int16s | None, int]:
    """Return mean, multiplier and the largest shift, up to 30, that overflows nothing."""
    if weights.mean is None or weights.scale is None:
        return None, None, input_bits - x_bits
    mean = np.rint(weights.mean.astype(np.float64) * 2.0**input_bits).astype(np.int64)
    away = np.maximum(HIGHEST - mean, mean - LOWEST)
    for shift in range(MAX_SHIFT, -1, -1):
        factor = np.rint(weights.scale * 2.0**(shift + x_bits - input_bits))
        if np.abs(factor).max() > HIGHEST:
            continue
        if (away * np.abs(factor)).max() + (1 << max(shift - 1, 0)) < 1 << 31:
            return mean.astype(np.int16), factor.astype(np.int16), shift
    raise UnsupportedModel(f"scales below {HIGHEST * 2.0**(input_bits - x_bits):g}",
                           f"{np.abs(weights.scale).max():.3g}", where="`scale`",
                           hint="calibrate with features, or use the fp32 form")


def _bias(bias: NDArray[np.float32], name: str) -> Int16s:
    scaled = np.rint(bias.astype(np.float64) * 2.0**SUM_BITS)
    if scaled.min() < LOWEST or scaled.max() > HIGHEST:
        raise UnsupportedModel("biases from -8 to 8", f"{np.abs(bias).max():.3g}",
                               where=f"`{name}`", hint="use the fp32 form")
    return scaled.astype(np.int16)


def _one(number: float) -> int:
    return min(math.floor(number * 2.0**ONE_BITS + 0.5), HIGHEST)


def _head(
    weights: Weights, state_bits: int
) -> tuple[QuantizedMatrix | None, Int32s | None, int]:
    """Return the head, its bias, and the most bits, up to 16, that shift no sum to the left."""
    if weights.head is None or weights.head_bias is None:
        return None, None, 0
    used = weights.head.any(axis=0)
    sums = state_bits - exponents(weights.head)[used]
    bits = min(MAX_LOGIT_BITS, int(sums.min(initial=MAX_LOGIT_BITS)))
    bias = np.rint(weights.head_bias.astype(np.float64) * 2.0**bits)
    if np.abs(bias).max() >= 1 << 31:
        raise UnsupportedModel("a head_bias that 32 bits hold", f"{np.abs(bias).max():.3g}",
                               where="`head_bias`", hint="use the fp32 form")
    return (quantize_matrix(weights.head, bits_in=state_bits, bits_out=bits),
            bias.astype(np.int32), bits)
