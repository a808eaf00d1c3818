"""A FastGRNN as C99 text: the templates of `templates/` filled with constants.

A template is C with @name@ for values; lines from `@if x@` to `@end@` stay only where the
model has x. Nothing here runs a compiler; see `to_c`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import UnsupportedModel
from edge_sdk.fastgrnn import Weights
from edge_sdk.fastgrnn.fixed_point import (
    ONE_BITS,
    QuantizedMatrix,
    SparseRows,
    gate_bits,
    mix_bits,
    output_bits,
    sparse_rows,
    tanh_table,
)
from edge_sdk.fastgrnn.integer import QuantizedWeights

TEMPLATES = Path(__file__).parent / "templates"
MAX_NAME = 48
LARGEST_X = 2.0**64
"""Generated fp32 code refuses features beyond it."""

# Of C11 and C++20, so that no compiler of either trips over a name.
_KEYWORDS = """
    alignas alignof and and_eq asm atomic_cancel auto bitand bitor bool break case catch char
    char8_t char16_t char32_t class co_await co_return co_yield compl concept const consteval
    constexpr constinit const_cast continue decltype default delete do double dynamic_cast else
    enum explicit export extern false float for friend goto if inline int long mutable namespace
    new noexcept not not_eq nullptr operator or or_eq private protected public register
    reinterpret_cast requires restrict return short signed sizeof static static_assert static_cast
    struct switch template this thread_local throw true try typedef typeid typename typeof union
    unsigned using virtual void volatile wchar_t while xor xor_eq
"""
KEYWORDS = frozenset(_KEYWORDS.split())

# The polynomial of runtime/src/fastgrnn_math.h; a test holds them equal.
EXP_CONSTANTS = {
    "exp2_5": "0.0013264727f", "exp2_4": "0.009671513f", "exp2_3": "0.055507336f",
    "exp2_2": "0.24022242f", "exp2_1": "0.693147f", "exp2_0": "1.0f",
    "log2_e": "1.442695041f", "two_log2_e": "2.885390082f",
}

INTEGER_BODIES = {
    "tanh": "return tanh_15(value, 12);",
    # The same integer with one bit more after the point is half of it.
    "sigmoid": "const int32_t half = (tanh_15(value, 13) + 32768 + 1) >> 1; /* tanh(p / 2) */\n"
               "return half > 32767 ? 32767 : half;",
    "quant_tanh": "return clip(clip(value, -4096, 4096) * 8, -32767, 32767);",
    "quant_sigmoid": "return clip((clip(value, -4096, 4096) + 4096) * 4, 0, 32767);",
    "quant_sigmoid4": "return clip((clip(value, -8192, 8192) + 8192) * 2, 0, 32767);",
    "relu": "return clip(value, 0, 32767);",
}
FLOAT_BODIES = {
    "tanh": "return tanh_of(value);",
    "sigmoid": "return sigmoid_of(value);",
    "quant_tanh": "return clip(value, -1.0f, 1.0f);",
    "quant_sigmoid": "return clip((value + 1.0f) / 2.0f, 0.0f, 1.0f);",
    "quant_sigmoid4": "return clip((value + 2.0f) / 4.0f, 0.0f, 1.0f);",
    "relu": "return value > 0.0f ? value : 0.0f;",
}


@dataclass(frozen=True)
class Golden:
    """Frames and what must come out after the last: features (n, D), h (H,), logits (C,)."""

    features: NDArray[Any]
    h: NDArray[Any]
    logits: NDArray[Any] | None
    tolerance: float = 0.0


@dataclass(frozen=True)
class Matrix:
    """A matrix for the templates: `rows` (n_outputs, n_inputs), and shifts if of integers."""

    name: str
    rows: NDArray[Any]
    shift: NDArray[np.int8] | None = None

    @property
    def pairs(self) -> SparseRows | None:
        """The sparse form where it is the smaller."""
        pairs = sparse_rows(self.rows)
        return pairs if pairs.n_bytes < self.rows.nbytes else None

    @property
    def n_bytes(self) -> int:
        """Bytes of its constants."""
        pairs = self.pairs
        return (self.rows.nbytes if pairs is None else pairs.n_bytes) + \
            (0 if self.shift is None else self.shift.size)


# --- words of C -------------------------------------------------------------------------


def c_name(text: str) -> str:
    """Return a C identifier for a model's name: `kws-8.digits` gives kws_8_digits.

    Raises:
        UnsupportedModel: Nothing of it can stand in one.
    """
    name = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")
    if name[:1].isdigit() or name in KEYWORDS:
        name = f"model_{name}"
    return check_name(name[:MAX_NAME].rstrip("_"))


def check_name(name: str) -> str:
    """Return `name` if C functions can begin with it.

    Raises:
        UnsupportedModel: It is no identifier, a keyword, reserved, or too long.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or "__" in name or \
            name in KEYWORDS or len(name) > MAX_NAME:
        raise UnsupportedModel(
            f"a C identifier of at most {MAX_NAME} letters, digits and single underscores that "
            "is no keyword", repr(name), where="`name`", hint=f"for example {_example(name)!r}")
    return name


def _example(name: str) -> str:
    letters = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
    return f"model_{letters}"[:MAX_NAME].rstrip("_")


def c_string(text: str) -> str:
    """Return a C string literal of `text` in UTF-8: what is not plain ASCII goes in octal.

    Raises:
        UnsupportedModel: It holds a zero, which ends a string in C.
    """
    data = text.encode("utf-8", "surrogatepass")
    if 0 in data:
        raise UnsupportedModel("labels without zero bytes", repr(text), where="`labels`",
                               hint="C strings end at a zero")
    # A question mark could begin a trigraph; three octal digits never run into the next one.
    return '"' + "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}"
                         for b in data) + '"'


def comment(lines: Sequence[str]) -> str:
    """Return lines of a block comment, unable to end it."""
    plain = (line.encode("ascii", "replace").decode().replace("*/", "* /")
             .replace("/*", "/ *").replace("??", "? ?").rstrip("\\ ") for line in lines)
    return "\n".join(f" * {line}".rstrip() for line in plain)


def array(name: str, values: NDArray[Any], size: str) -> str:
    """Return a const array. Floats get the digits that give their bits back."""
    types = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t",
             "int32": "int32_t", "float32": "float"}
    words = [float_literal(v) if values.dtype == np.float32 else str(v) for v in values.ravel()]
    lines, line = [], "   "
    for word in words or ["0"]:
        if len(line) + len(word) + 2 > 100:
            lines.append(line)
            line = "   "
        line += f" {word},"
    lines.append(line)
    lines[-1] = lines[-1].rstrip(",")
    return f"static const {types[values.dtype.name]} {name}[{size}] = {{\n" + \
        "\n".join(lines) + "\n};"


def float_literal(value: np.float32) -> str:
    """Return a float32 constant whose digits give its bits back."""
    text = np.format_float_scientific(value, unique=True, trim="0") \
        if value != 0 and not 1e-4 <= abs(value) < 1e7 else \
        np.format_float_positional(value, unique=True, trim="0")
    return f"{text}f"


def render(template: str, values: Mapping[str, str], having: set[str]) -> str:
    """Return a template's text with its values, and the parts in `having`."""
    lines: list[str] = []
    keep = True
    for line in template.splitlines():
        condition = re.fullmatch(r"@if (\w+)@", line)
        if condition:
            keep = condition[1] in having
        elif line == "@end@":
            keep = True
        elif keep:
            lines.append(line)
    # A line whose whole value is empty goes.
    lines = [line for line in lines
             if not ((m := re.fullmatch(r"\s*@(\w+)@", line)) and not values[m[1]])]
    text = re.sub(r"@(\w+)@", lambda m: values[m[1]], "\n".join(lines))
    return re.sub(r"\n{3,}", "\n\n", text) + "\n"


# --- a model ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Files:
    """The generated text of a header, its source, and the program that runs them."""

    header: str
    source: str
    harness: str


def matrices(model: Weights | QuantizedWeights) -> dict[str, list[Matrix]]:
    """Return W, U and the head by output unit: {"w": [...], "u": [...], "head": [...]}."""
    def of(prefix: str, factors: Sequence[Any]) -> list[Matrix]:
        names = [prefix] if len(factors) == 1 else [f"{prefix}1", f"{prefix}2"]
        return [Matrix(name, f.q, f.shift) if isinstance(f, QuantizedMatrix)
                else Matrix(name, np.ascontiguousarray(f.T))
                for name, f in zip(names, factors, strict=True)]

    return {"w": of("w", model.w), "u": of("u", model.u),
            "head": [] if model.head is None else of("head", [model.head])}


def n_bytes_by_part(model: Weights | QuantizedWeights) -> dict[str, int]:
    """Return the bytes of constants, `labels` and tanh table apart."""
    if isinstance(model, QuantizedWeights):
        return model.n_bytes_by_part
    parts = {name: sum(m.n_bytes for m in found) for name, found in matrices(model).items()}
    parts["cell"] = model.bias_gate.nbytes + model.bias_update.nbytes + 8
    if model.mean is not None and model.scale is not None:
        parts["normalization"] = model.mean.nbytes + model.scale.nbytes
    if model.head_bias is not None:
        parts["head"] += model.head_bias.nbytes
    return {name: size for name, size in parts.items() if size}


def generate(model: Weights | QuantizedWeights, *, name: str, header: str, golden: Golden,
             facts: Sequence[str]) -> Files:
    """Return the C of a model.

    Args:
        model: Floats, or integers.
        name: What its functions begin with; see `check_name`.
        header: The header's file name.
        golden: What the self-test runs.
        facts: Lines for the header's comment.
    """
    found = matrices(model)
    integer = isinstance(model, QuantizedWeights)
    having = _having(model, found)
    values = {**_common(model, name, header, golden, facts), **_sums(found),
              **(_integer_values(model, having) if isinstance(model, QuantizedWeights)
                 else _float_values(model))}
    values["constants"] = _constants(model, found)
    values["golden"] = _golden(golden, having)
    text = {part: (TEMPLATES / part).read_text(encoding="utf-8") for part in (
        "fastgrnn.h", "fastgrnn_integer.c" if integer else "fastgrnn_float.c", "harness.c")}
    return Files(*(render(part, values, having) for part in text.values()))


def _having(model: Weights | QuantizedWeights, found: dict[str, list[Matrix]]) -> set[str]:
    having = {f"{name}_low_rank" if len(found[name]) == 2 else f"{name}_whole"
              for name in ("w", "u")}
    having |= {"sparse" if m.pairs is not None else "dense"
               for parts in found.values() for m in parts}
    having.add("normalized" if model.mean is not None else "unnormalized")
    names = {model.gate, model.update}
    if isinstance(model, QuantizedWeights):
        having.add("integer")
        having |= {"tanh_table"} if model.has_tanh_table else set()
        having |= {"clip"} if names - {"tanh", "sigmoid"} else set()
        shifts = [int(m.shift.min()) for parts in found.values() for m in parts
                  if m.shift is not None]
        having.add("right" if min([*shifts, model.x_shift]) > 0 else "any")
    else:
        having.add("float")
        having |= names & {"tanh", "sigmoid"}
        having |= {"exp"} if names & {"tanh", "sigmoid"} else set()
        having |= {"clip"} if any(name.startswith("quant") for name in names) else set()
    if model.head is not None:
        having.add("head")
        having |= {"integer_head"} if "integer" in having else set()
    return having


def _common(model: Weights | QuantizedWeights, name: str, header: str, golden: Golden,
            facts: Sequence[str]) -> dict[str, str]:
    rank_w, rank_u = model.ranks
    labels = model.labels or tuple(map(str, range(model.n_classes)))
    bodies = INTEGER_BODIES if isinstance(model, QuantizedWeights) else FLOAT_BODIES
    integer = isinstance(model, QuantizedWeights)
    return {
        "name": name, "NAME": name.upper(), "header": header, "facts": comment(facts),
        "inputs": str(model.n_inputs), "hidden": str(model.n_hidden),
        "classes": str(model.n_classes), "rank_w": str(rank_w), "rank_u": str(rank_u),
        "of_classes": f", {model.n_classes} classes" if model.n_classes else "",
        "and_logits": ", the logits and the class (int32)" if model.n_classes else "",
        "arithmetic": "no floats, and no arithmetic of 64 bits" if integer else
            "float32 alone, no doubles",
        "input": "int16_t" if integer else "float",
        "logit": "int32_t" if integer else "float",
        "gate_body": _indent(bodies[model.gate]), "update_body": _indent(bodies[model.update]),
        "labels": ",\n".join(f"        {c_string(label)}" for label in labels),
        "golden_frames": str(len(golden.features)),
        "golden_class": "0" if golden.logits is None else str(int(golden.logits.argmax())),
        "tolerance": float_literal(np.float32(golden.tolerance)),
    }


def _sums(found: dict[str, list[Matrix]]) -> dict[str, str]:
    """Return the expressions of the sums, and the cursors that walk through sparse rows."""
    inputs = {"w": "x", "w1": "x", "w2": "wx", "u": "h", "u1": "state->h", "u2": "uh",
              "head": "state->h"}
    sizes = {"w": "INPUTS", "w1": "INPUTS", "w2": "RANK_W", "u": "HIDDEN", "u1": "HIDDEN",
             "u2": "RANK_U", "head": "HIDDEN"}
    values = {"w1_sum": "", "u1_sum": "", "head_sum": "", "cursors": "", "head_cursor": ""}
    cursors = []
    for prefix, parts in found.items():
        for matrix in parts:
            name = matrix.name
            key = f"{name}_sum" if matrix is not parts[-1] or prefix == "head" else f"{prefix}_sum"
            x, size = inputs[name], sizes[name]
            values[key] = f"dot(&{name}[i * {size}], {x}, {size})"
            if matrix.pairs is not None:
                values[key] = f"next_sum(&{name}, {x})"
                cursor = f"    sparse_rows {name} = {{{name}_value, {name}_delta, {name}_count}};"
                if prefix == "head":
                    values["head_cursor"] = cursor
                else:
                    cursors.append(cursor)
        if parts:
            values[f"{prefix}_last"] = parts[-1].name
    values["cursors"] = "\n".join(cursors)
    return values


def _integer_values(model: QuantizedWeights, having: set[str]) -> dict[str, str]:
    bits, mixed, made = gate_bits(model.gate), mix_bits(model.gate), output_bits(model.update)
    gate = INTEGER_BODIES[model.gate]
    if bits != output_bits(model.gate):
        gate = gate.replace("return ", "return round_shift(").replace(";", ", 1);")
    return {
        "input_bits": str(model.input_bits), "state_bits": str(model.state_bits),
        "logit_bits": str(model.logit_bits), "x_bits": str(model.x_bits),
        "x_shift": str(model.x_shift), "zeta": str(model.zeta), "nu": str(model.nu),
        "gate_bits": str(bits), "update_bits": str(made),
        "one": str(min(1 << bits, 32767)), "nu_unit": str(1 << bits),
        "mix_shift": str(ONE_BITS + bits - mixed),
        "new_shift": str(mixed + made - model.state_bits),
        "gate_body": _indent(gate),
    }


def _float_values(model: Weights) -> dict[str, str]:
    bound = LARGEST_X
    for factor in model.w:
        bound *= float(np.abs(factor.astype(np.float64)).sum(axis=0).max())
        if bound > float(np.finfo(np.float32).max) / 2:
            raise UnsupportedModel("weights of W whose sums float32 holds", f"{bound:.3g}",
                                   where="`w`", hint="look where the training diverged")
    return {**EXP_CONSTANTS, "zeta": float_literal(np.float32(model.zeta)),
            "nu": float_literal(np.float32(model.nu))}


def _constants(model: Weights | QuantizedWeights, found: dict[str, list[Matrix]]) -> str:
    sizes = {"w": ("HIDDEN", "INPUTS"), "w1": ("RANK_W", "INPUTS"), "w2": ("HIDDEN", "RANK_W"),
             "u": ("HIDDEN", "HIDDEN"), "u1": ("RANK_U", "HIDDEN"), "u2": ("HIDDEN", "RANK_U"),
             "head": (f"{model.n_classes}", "HIDDEN")}
    blocks = []
    if isinstance(model, QuantizedWeights):
        if model.mean is not None and model.multiplier is not None:
            blocks.append("/* x = (feature - mean) * multiplier / 2^x_shift. */\n"
                          + array("mean", model.mean, "INPUTS"))
            blocks.append(array("multiplier", model.multiplier, "INPUTS"))
    elif model.mean is not None and model.scale is not None:
        blocks.append("/* x = (feature - mean) * scale. */\n"
                      + array("mean", model.mean, "INPUTS"))
        blocks.append(array("scale", model.scale, "INPUTS"))
    for parts in found.values():
        for m in parts:
            outputs, inputs = sizes[m.name]
            title = f"/* {m.name.upper()} by output unit: {outputs} rows of {inputs}"
            blocks.append(_matrix(m, title, outputs, inputs))
    for name, vector, size in (("bias_gate", model.bias_gate, "HIDDEN"),
                               ("bias_update", model.bias_update, "HIDDEN"),
                               ("head_bias", model.head_bias, str(model.n_classes))):
        if vector is not None:
            blocks.append(array(name, vector, size))
    if isinstance(model, QuantizedWeights) and model.has_tanh_table:
        blocks.append("/* tanh at 0, 1/16, ... 8, 15 bits; chords between them lie half below "
                      "and half\n * above the curve. */\n"
                      + array("tanh_table", tanh_table(), str(tanh_table().size)))
    return "\n\n".join(blocks)


def _matrix(m: Matrix, title: str, outputs: str, inputs: str) -> str:
    pairs = m.pairs
    shifted = [] if m.shift is None else [array(f"{m.name}_shift", m.shift, outputs)]
    after = "" if m.shift is None else "; each sum is shifted right"
    if pairs is None:
        return "\n".join([f"{title}{after}. */", array(m.name, m.rows, f"{outputs} * {inputs}"),
                          *shifted])
    size = str(max(1, pairs.values.size))
    return "\n".join([
        f"{title}, zeros left out{after}. */", array(f"{m.name}_value", pairs.values, size),
        array(f"{m.name}_delta", pairs.deltas, size),
        array(f"{m.name}_count", pairs.counts.astype(np.uint8), outputs), *shifted])


def _golden(golden: Golden, having: set[str]) -> str:
    blocks = [
        "/* Frames, and what must come out after the last. */\n"
        + array("golden_x", golden.features, f"{len(golden.features)} * INPUTS"),
        array("golden_h", golden.h, "HIDDEN"),
    ]
    if "head" in having and golden.logits is not None:
        blocks.append(array("golden_logits", golden.logits, str(golden.logits.size)))
    return "\n\n".join(blocks)


def _indent(body: str) -> str:
    return "\n".join(f"    {line}" for line in body.splitlines())
