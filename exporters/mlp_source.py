"""An MLP as C99 text: how each layer is stored, and the templates filled with it.

Nothing here runs a compiler; see `mlp_to_c`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import UnsupportedModel
from edge_sdk.exporters.c_source import (
    LARGEST_X,
    TEMPLATES,
    Files,
    array,
    c_string,
    comment,
    float_literal,
    render,
)
from edge_sdk.exporters.mlp_integer import IntegerLayer, IntegerMLP
from edge_sdk.exporters.mlp_layers import HIGHEST, MLP, Layer
from edge_sdk.fastgrnn.fixed_point import SparseRows, sparse_rows

Model: TypeAlias = MLP | IntegerMLP

MAX_COUNT = {1: 255, 2: 65535}
"""The most pairs of a row that a count of so many bytes tells."""


@dataclass(frozen=True)
class Golden:
    """Inputs (n, D), and outputs (n, C) that must come out."""

    inputs: NDArray[Any]
    outputs: NDArray[Any]
    tolerance: float = 0.0


@dataclass(frozen=True)
class StoredLayer:
    """A layer's weights as they are stored, and what the other form would have taken.

    Attributes:
        name: Where the layer is in the torch model.
        activation: "none", "relu" or "relu6".
        rows: (n_out, n_in), float32 or int8.
        pairs: The sparse form if stored so, else None.
        n_bytes: Of the weights: the rows, or values, deltas and counts of pairs.
        dense_bytes: Of the rows.
        sparse_bytes: Of pairs; None where values and deltas of 8 bits alone take as much as
            the rows, or a row has more pairs than 16 bits count.
        constant_bytes: Of the biases, and the shifts of integers.
    """

    name: str
    activation: str
    rows: NDArray[Any]
    pairs: SparseRows | None
    dense_bytes: int
    sparse_bytes: int | None
    constant_bytes: int

    @property
    def n_bytes(self) -> int:
        """Bytes of the weights."""
        return self.dense_bytes if self.pairs is None or self.sparse_bytes is None \
            else self.sparse_bytes

    @property
    def form(self) -> str:
        """Which is "dense", "sparse8" or "sparse16", by the bits of a delta."""
        return "dense" if self.pairs is None else f"sparse{8 * self.pairs.deltas.itemsize}"

    @property
    def n_zeros(self) -> int:
        """Weights that are zero, for int8 those that round to it too."""
        return int(self.rows.size - np.count_nonzero(self.rows))

    @property
    def n_entries(self) -> int:
        """Stored values: of pairs with bridges."""
        return self.rows.size if self.pairs is None else int(self.pairs.values.size)

    @property
    def n_bridges(self) -> int:
        """Pairs that only bridge a gap."""
        return 0 if self.pairs is None else self.n_entries - (self.rows.size - self.n_zeros)


# --- dense or sparse --------------------------------------------------------------------


def store(model: Model) -> list[StoredLayer]:
    """Return the layers, each in the form of the fewer bytes.

    A count takes the same bytes in all layers: one, or two where that is smaller in all.
    """
    def total(count_bytes: int) -> int:
        return sum(layer.n_bytes for layer in tried[count_bytes])

    packed = [[(layer, _pack(_rows(layer)))] for layer in model.layers]
    tried = {n: [_stored(layer, pairs, n) for found in packed for layer, pairs in found]
             for n in MAX_COUNT}
    return tried[min(tried, key=total)]


def count_bytes(layers: Sequence[StoredLayer]) -> int:
    """Return the bytes of a row's count."""
    most = max((int(s.pairs.counts.max()) for s in layers if s.pairs is not None), default=0)
    return 1 if most <= MAX_COUNT[1] else 2


def _rows(layer: Layer | IntegerLayer) -> NDArray[Any]:
    rows: NDArray[Any] = layer.q if isinstance(layer, IntegerLayer) else layer.weight
    return rows


def _pack(rows: NDArray[Any]) -> list[SparseRows]:
    """Return the sparse forms worth a look, with deltas of 8 and of 16 bits."""
    if np.count_nonzero(rows) * (rows.itemsize + 1) >= rows.nbytes:
        return []
    return [sparse_rows(rows, delta_bits=bits) for bits in (8, 16)]


def _stored(layer: Layer | IntegerLayer, packed: Sequence[SparseRows], counts: int) -> StoredLayer:
    def size(pairs: SparseRows) -> int:
        return pairs.values.nbytes + pairs.deltas.nbytes + counts * pairs.counts.size

    rows = _rows(layer)
    fit = [pairs for pairs in packed if pairs.counts.max() <= MAX_COUNT[counts]]
    best = min(fit, key=size, default=None)
    constants = layer.bias.nbytes + (layer.shift.nbytes if isinstance(layer, IntegerLayer) else 0)
    return StoredLayer(
        layer.name, layer.activation, rows,
        best if best is not None and size(best) < rows.nbytes else None, rows.nbytes,
        None if best is None else size(best), constants)


# --- text -------------------------------------------------------------------------------


def layer_facts(layers: Sequence[StoredLayer]) -> list[str]:
    """Return lines on how each layer is stored and why."""
    lines = []
    for number, s in enumerate(layers, 1):
        n_out, n_in = s.rows.shape
        other = "no pairs: too few zeros" if s.sparse_bytes is None else \
            f"pairs {s.sparse_bytes} B"
        form = "dense" if s.pairs is None else f"sparse, deltas of {s.form[6:]} bits"
        lines += [
            f"Layer {number} ({s.name})  {n_in} -> {n_out}, {s.activation}; "
            f"{s.n_zeros} of {s.rows.size} weights are zero ({s.n_zeros / s.rows.size:.1%})",
            f"    {form}: {s.n_entries} entries, {s.n_bridges} of them bridges, {s.n_bytes} B, "
            f"the smaller",
            f"    (dense {s.dense_bytes} B, {other}); biases"
            f"{' and shifts' if s.rows.dtype == np.int8 else ''} {s.constant_bytes} B",
        ]
    return lines


def generate(model: Model, layers: Sequence[StoredLayer], *, name: str, header: str,
             golden: Golden, labels: Sequence[str], facts: Sequence[str]) -> Files:
    """Return the C of a model.

    Args:
        model: Floats, or integers.
        layers: Of `store`.
        name: What its functions begin with; see `c_source.check_name`.
        header: The header's file name.
        golden: What the self-test runs.
        labels: Names of the outputs, or none.
        facts: Lines for the header's comment.

    Raises:
        UnsupportedModel: Weights whose sums float32 can not hold, or a label C can not.
    """
    integer = isinstance(model, IntegerMLP)
    if isinstance(model, MLP):
        _demand_float32(model)
    having = {"integer" if integer else "float", *(s.form for s in layers)}
    having |= {"labels"} if labels else set()
    kinds = {s.activation for s in layers}
    # All but the last layer of integers saturate.
    having |= ({"clip"} if len(layers) > 1 or kinds != {"none"} else set()) if integer else \
        kinds - {"none"}
    values = {
        **_common(model, layers, name, header, golden), "facts": comment(facts),
        "layer_facts": comment(layer_facts(layers)), "scratch": _scratch(layers, integer),
        "constants": _constants(model, layers), "layers": _steps(model, layers),
        "cursors": "\n".join(_cursor(i, s) for i, s in enumerate(layers, 1) if s.pairs is not None),
        "golden": _golden(golden, name.upper()),
        "label_strings": ",\n".join(f"        {c_string(label)}" for label in labels),
    }
    parts = ((TEMPLATES / part).read_text(encoding="utf-8")
             for part in ("mlp.h", "mlp.c", "mlp_harness.c"))
    return Files(*(render(part, values, having) for part in parts))


def _demand_float32(model: MLP) -> None:
    bound = LARGEST_X
    for layer in model.layers:
        sums = np.abs(layer.weight.astype(np.float64)).sum(axis=1) * bound
        bound = float((sums + np.abs(layer.bias)).max())
        if bound > float(np.finfo(np.float32).max) / 2:
            raise UnsupportedModel("weights whose sums float32 holds for inputs below 2**64",
                                   f"up to {bound:.3g}", where=f"layer {layer.name!r}",
                                   hint="look where the training diverged")
        bound = min(bound, HIGHEST[layer.activation])


def _common(model: Model, layers: Sequence[StoredLayer], name: str, header: str,
            golden: Golden) -> dict[str, str]:
    integer = isinstance(model, IntegerMLP)
    return {
        "name": name, "NAME": name.upper(), "header": header,
        "layers_count": "a layer" if len(layers) == 1 else f"{len(layers)} layers",
        "inputs": str(model.n_inputs), "outputs": str(model.n_outputs),
        "input_bits": str(model.input_bits) if isinstance(model, IntegerMLP) else "",
        "output_bits": str(model.output_bits) if isinstance(model, IntegerMLP) else "",
        "arithmetic": "no floats, and no arithmetic of 64 bits" if integer else
            "float32 alone, no doubles",
        "weight": "int8_t" if integer else "float",
        "activation": "int16_t" if integer else "float", "sum": "int32_t" if integer else "float",
        "wide": "(int32_t)" if integer else "", "count": f"uint{8 * count_bytes(layers)}_t",
        "golden_count": str(len(golden.inputs)),
        "tolerance": float_literal(np.float32(golden.tolerance)),
    }


def _scratch(layers: Sequence[StoredLayer], integer: bool) -> str:
    kind = "int16_t" if integer else "float"
    hidden = [len(s.rows) for s in layers[:-1]]
    lines = [f"    {kind} {buffer}[{max(sizes)}]; /* activations of layer {which} */"
             for buffer, sizes, which in (("a", hidden[::2], "1, 3, ..."),
                                          ("b", hidden[1::2], "2, 4, ...")) if sizes]
    return "\n".join(lines)


def scratch_bytes(layers: Sequence[StoredLayer]) -> int:
    """Return the bytes of a state, the compiler's filling to 4 bytes included."""
    item = 2 if layers[0].rows.dtype == np.int8 else 4
    hidden = [len(s.rows) for s in layers[:-1]]
    activations = item * (max(hidden[::2], default=0) + max(hidden[1::2], default=0))
    return -(-activations // 4) * 4 + 4 * len(layers[-1].rows)


def _constants(model: Model, layers: Sequence[StoredLayer]) -> str:
    counts = f"uint{8 * count_bytes(layers)}"
    blocks = []
    for i, (layer, s) in enumerate(zip(model.layers, layers, strict=True), 1):
        n_out, n_in = s.rows.shape
        blocks.append(f"/* Layer {i}: {n_out} rows of {n_in}"
                      + (". */" if s.pairs is None else ", zeros left out. */"))
        if s.pairs is None:
            blocks[-1] += "\n" + array(f"layer{i}", s.rows, f"{n_out} * {n_in}")
        else:
            size = str(max(1, s.n_entries))
            blocks[-1] += "\n" + "\n".join([
                array(f"layer{i}_value", s.pairs.values, size),
                array(f"layer{i}_delta", s.pairs.deltas, size),
                array(f"layer{i}_count", s.pairs.counts.astype(counts), str(n_out))])
        blocks[-1] += "\n" + array(f"layer{i}_bias", layer.bias, str(n_out))
        if isinstance(layer, IntegerLayer):
            blocks[-1] += "\n" + array(f"layer{i}_shift", layer.shift, str(n_out))
    return "\n\n".join(blocks)


def _cursor(i: int, s: StoredLayer) -> str:
    return f"    rows{s.form[6:]} layer{i} = {{layer{i}_value, layer{i}_delta, layer{i}_count}};"


def _steps(model: Model, layers: Sequence[StoredLayer]) -> str:
    """Return a loop over the rows of each layer, from one buffer to the other."""
    lines: list[str] = []
    x = "x"
    for i, (layer, s) in enumerate(zip(model.layers, layers, strict=True), 1):
        is_last = i == len(layers)
        y = f"state->{'outputs' if is_last else 'ab'[(i - 1) % 2]}"
        n_out, n_in = s.rows.shape
        bias = f"layer{i}_bias[i]"
        made = f"dot({bias}, &layer{i}[i * {n_in}], {x}, {n_in})" if s.pairs is None else \
            f"next{s.form[6:]}({bias}, &layer{i}, {x})"
        if isinstance(layer, IntegerLayer):
            lines.append(f"    /* Layer {i}: {n_in} -> {n_out}, {s.activation}, "
                         f"{layer.bits} bits after the point. */")
            made = f"{made} >> layer{i}_shift[i]"
        else:
            lines.append(f"    /* Layer {i}: {n_in} -> {n_out}, {s.activation}. */")
        loop = f"    for (i = 0; i < {n_out}; i++)"
        if isinstance(layer, IntegerLayer) and (not is_last or layer.activation != "none"):
            low, high = layer.ends
            narrow = "" if is_last else "(int16_t)"
            lines += [f"{loop} {{", f"        const int32_t sum = {made};",
                      f"        {y}[i] = {narrow}clip(sum, {low}, {high});", "    }"]
        else:
            if s.activation != "none":
                made = f"{s.activation}({made})"
            lines += [loop, f"        {y}[i] = {made};"]
        x = y
    return "\n".join(lines)


def _golden(golden: Golden, name: str) -> str:
    n = len(golden.inputs)
    inputs = array("golden_x", golden.inputs, f"{n} * {name}_INPUTS")
    outputs = array("golden_outputs", golden.outputs, f"{n} * {name}_OUTPUTS")
    return f"/* Inputs, and what must come out. */\n{inputs}\n\n{outputs}"
