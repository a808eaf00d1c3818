"""An MLP in integers: the definition, and how it is made from floats.

`IntegerMLP.run` is the definition bit for bit; the generated C computes the same integers.
"b bits" means b bits after the point: the integer v stands for v / 2**b.

    quantity           type    bits
    inputs             int16   input_bits, from the calibration samples
    weights            int8    a power of two for each row: q stands for q * 2**e
    biases             int32   those of the row's sum, input's bits - e, and the rounding's half
    activations        int16   of each layer its own `bits`, from the calibration samples
    outputs            int32   `bits` of the last layer

A layer: y = clip((bias + the sum of q * x) >> shift, low, high), in int32. The shift is one of
the row, to the right, and keeps the sign; since the bias holds 2**(shift - 1), it rounds half
up. low and high are the activation's ends, or those of int16. No int32 can overflow,
whatever the inputs are: `IntegerMLP` proves it from the weights, or raises. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import ShapeError, UnsupportedModel
from edge_sdk.exporters.mlp_layers import HIGHEST as ACTIVATION_ENDS
from edge_sdk.exporters.mlp_layers import MLP, Layer
from edge_sdk.fastgrnn.calibration import HEADROOM, bits_for
from edge_sdk.fastgrnn.fixed_point import (
    HIGHEST,
    LOWEST,
    MAX_SHIFT,
    Int8s,
    Int16s,
    Int32s,
    Integers,
    demand_int32,
    exponents,
    int32,
)
from edge_sdk.fastgrnn.integer import quantize_input

MAX_OUTPUT_BITS = 16
BIAS_BITS = 30
"""A bias is below 2**30, so that half of int32 is left for the sum."""
HIGHEST_32 = (1 << 31) - 1


@dataclass(frozen=True)
class IntegerLayer:
    """A layer in integers. See the module's docstring for every number's bits.

    Attributes:
        name: Where it is in the torch model.
        q: (n_out, n_in) int8, -127 to 127.
        bias: (n_out,) int32, with the rounding's half.
        shift: (n_out,) int8, 0 to 30, to the right.
        activation: "none", "relu" or "relu6".
        bits: Of what it gives.
        is_last: Whether it gives int32 rather than int16.
    """

    name: str
    q: Int8s
    bias: Int32s
    shift: Int8s
    activation: str
    bits: int
    is_last: bool

    @property
    def ends(self) -> tuple[int, int]:
        """The lowest and the highest number that it gives."""
        widest = (-HIGHEST_32 - 1, HIGHEST_32) if self.is_last else (LOWEST, HIGHEST)
        if self.activation == "none":
            return widest
        end = ACTIVATION_ENDS[self.activation] * 2.0**self.bits
        return 0, min(widest[1], int(np.floor(min(end, HIGHEST_32) + 0.5)))

    def apply(self, x: Integers) -> Integers:
        """Return (n, n_out) of x (n, n_in)."""
        sums = int32(self.bias + x @ self.q.T.astype(np.int64))
        y: Integers = np.clip(sums >> self.shift.astype(np.int64), *self.ends)
        return y

    def prove(self, largest: int) -> None:
        """Check that no sum overflows for inputs of at most `largest`.

        Raises:
            UnsupportedModel: One could.
        """
        sums = np.abs(self.q.astype(np.int64)).sum(1) * largest
        demand_int32(sums + np.abs(self.bias.astype(np.int64)), f"layer {self.name!r}")


@dataclass(frozen=True)
class IntegerMLP:
    """Layers of integers, and the bits of what the first takes."""

    layers: tuple[IntegerLayer, ...]
    input_bits: int

    def __post_init__(self) -> None:
        largest = -LOWEST
        for layer in self.layers:
            layer.prove(largest)
            largest = max(map(abs, layer.ends))

    @property
    def n_inputs(self) -> int:
        """D: numbers of an input."""
        return int(self.layers[0].q.shape[1])

    @property
    def n_outputs(self) -> int:
        """C: numbers of an output."""
        return len(self.layers[-1].q)

    @property
    def output_bits(self) -> int:
        """Bits of an output."""
        return self.layers[-1].bits

    def quantize_input(self, samples: NDArray[Any]) -> Int16s:
        """Return real inputs (..., D) as integers: rounded half up to input_bits, saturated.

        Raises:
            ShapeError: NaN or infinity, or not D wide.
        """
        return quantize_input(samples, input_bits=self.input_bits, n_inputs=self.n_inputs)

    def run(self, x: Int16s) -> Int32s:
        """Return the outputs (n, C) int32 of inputs (n, D) int16.

        The class is the argmax, the lowest id on ties.

        Raises:
            ShapeError: Another shape or dtype.
        """
        if not isinstance(x, np.ndarray) or x.dtype != np.int16 or x.ndim != 2 or \
                x.shape[1] != self.n_inputs:
            got = f"{x.dtype} {list(x.shape)}" if isinstance(x, np.ndarray) else type(x).__name__
            raise ShapeError(f"(n, {self.n_inputs}) int16", got, where="`x`",
                             hint="real numbers: quantize_input(samples)")
        y = x.astype(np.int64)
        for layer in self.layers:
            y = layer.apply(y)
        return y.astype(np.int32)


# --- from floats ------------------------------------------------------------------------


def quantize(mlp: MLP, samples: NDArray[np.float32]) -> IntegerMLP:
    """Return the integer form of an MLP.

    Args:
        mlp: The model.
        samples: Real inputs (n, D): the bits of inputs and of each layer's activations are the
            most that hold the largest of them, with a quarter of headroom.

    Raises:
        UnsupportedModel: A weight, a bias or a sum is too large for the integer form.
    """
    bits = input_bits = bits_for(float(np.abs(samples).max()) * HEADROOM)
    layers = []
    for layer, made in zip(mlp.layers, mlp.activations(samples), strict=True):
        is_last = layer is mlp.layers[-1]
        wanted = MAX_OUTPUT_BITS if is_last else bits_for(float(np.abs(made).max()) * HEADROOM)
        layers.append(_quantize_layer(layer, bits, wanted, is_last))
        bits = layers[-1].bits
    return IntegerMLP(tuple(layers), input_bits)


def _quantize_layer(layer: Layer, bits_in: int, wanted: int, is_last: bool) -> IntegerLayer:
    """Return a layer with `wanted` bits, or fewer where a row's sum has fewer."""
    weight, bias = layer.weight.astype(np.float64), layer.bias.astype(np.float64)
    used = weight.any(axis=1)
    # A bias is below 2**power, so it fits with BIAS_BITS - power bits after the point.
    power = np.where(bias != 0, np.frexp(bias)[1], -BIAS_BITS).astype(np.int64)
    least = np.maximum(exponents(weight.T), bits_in + power - BIAS_BITS)
    bits = int(min(wanted, (bits_in - least[used]).min(initial=wanted),
                   (BIAS_BITS - power).min()))
    # Coarser where the row's sum would have to be shifted further than 30; nothing else
    # there than what rounds away. A row of zeros is its bias, not shifted.
    exponent = np.where(used, np.maximum(least, bits_in - bits - MAX_SHIFT), bits_in - bits)
    if bits < -MAX_SHIFT:
        raise UnsupportedModel("weights that 32-bit sums can hold",
                               f"up to {np.abs(weight).max(initial=np.abs(bias).max()):.3g}",
                               where=f"layer {layer.name!r}", hint="use the fp32 form")
    shift = bits_in - exponent - bits
    q = np.clip(np.rint(weight / np.exp2(exponent)[:, None]), -127, 127).astype(np.int8)
    half = np.where(shift > 0, 1 << np.maximum(shift - 1, 0), 0)
    whole = np.rint(bias * np.exp2((bits_in - exponent).astype(np.float64))).astype(np.int64)
    demand_int32(np.abs(whole) + half, f"layer {layer.name!r}")
    made = IntegerLayer(layer.name, np.ascontiguousarray(q), (whole + half).astype(np.int32),
                        shift.astype(np.int8), layer.activation, bits, is_last)
    if made.ends[1] == 0:
        raise UnsupportedModel("a ReLU6 whose 6 is not rounded to 0", f"{bits} bits",
                               where=f"layer {layer.name!r}",
                               hint="its inputs are too large for it; use the fp32 form")
    return made
