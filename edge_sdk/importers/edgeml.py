"""FastGRNN cells as github.com/microsoft/EdgeML writes them: state_dicts, and folders of `.npy`.

A cell's tensors are W (D, H), or W1 (D, r) and W2 (r, H); U likewise; bias_gate
and bias_update (1, H); zeta and nu (1, 1), before the sigmoid. `FastGRNN` has its
cell twice, under `cell.` and under `unrollRNN.`. The classifier's linear layer is
`hidden2keyword`. The trainer's folder has W, or W1 and W2, U, or U1 and U2, Bg, Bh,
zeta, nu, FC (H, C), FCbias, and mean and std if they were saved.

Three traps:

The CUDA cell has the same names for the transposes. Shapes tell which it is unless
all matrices are square; then `layout` must. It computes tanh for the update,
whatever non-linearity it was given.

Zeta and nu are raw in the trainers' files. EdgeML's C code has them after the
sigmoid, and `quantizeFastModels` writes them so, times 1000, into its own folder.

Mean and std may be of a whole sequence, T * D numbers: one of each for every frame.
Weights have one for every feature; then normalize before, with
`ImportedFastGRNN.normalize`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sdk.errors import CheckpointError, ShapeError, UnsupportedModel
from edge_sdk.fastgrnn import Weights

Layout = Literal["cpu", "cuda"]
Scalars = Literal["raw", "sigmoid"]
Array = NDArray[np.float32]

NONLINEARITIES = {
    "sigmoid": "sigmoid", "tanh": "tanh", "relu": "relu", "quantTanh": "quant_tanh",
    "quantSigm": "quant_sigmoid", "quantSigm4": "quant_sigmoid4",
}
"""EdgeML's names, and ours."""

CELL = ("W", "W1", "W2", "U", "U1", "U2", "bias_gate", "bias_update", "zeta", "nu")
HEADS = ("hidden2keyword", "head", "fc", "linear", "classifier")
"""Names of a linear layer, torch's (C, H)."""
DDP = "module."
FILES = {"Bg": "bias_gate", "Bh": "bias_update", "FC": "head", "FCbias": "head_bias",
         **{name: name for name in (*CELL[:6], "zeta", "nu", "mean", "std")}}
"""A folder's files, and what they are called here."""

RAW_LIMIT = 40.0
"""In float32 the sigmoid of it is 1."""


@dataclass(frozen=True)
class ImportedFastGRNN:
    """A cell from elsewhere, with its classifier if it came with one.

    Attributes:
        weights: In this project's form.
        layout: "cpu", or "cuda" where the file held transposes.
        zeta, nu: Before the sigmoid.
        prefix: What stood before the names of the cell's tensors.
        notices: What was decided without proof, a sentence each.
        frame_mean, frame_std: (T, D) where they differ from frame to frame; see `normalize`.
        rest: Tensors outside the cell that `prefix` named, by name, untouched.
    """

    weights: Weights
    layout: Layout
    zeta: float
    nu: float
    prefix: str = ""
    notices: tuple[str, ...] = ()
    frame_mean: Array | None = None
    frame_std: Array | None = None
    rest: dict[str, Any] = field(default_factory=dict, repr=False)

    def normalize(self, frames: ArrayLike) -> Array:
        """Return (frames - frame_mean) / frame_std, (..., T, D) float32.

        The frames come back as they are where every frame has the same mean: then the
        weights hold it.

        Raises:
            ShapeError: Another number of frames or features.
        """
        x = np.asarray(frames, np.float32)
        if self.frame_mean is None or self.frame_std is None:
            return x
        if x.shape[-2:] != self.frame_mean.shape:
            raise ShapeError(f"frames (..., {', '.join(map(str, self.frame_mean.shape))})",
                             str(list(x.shape)), where="`frames`",
                             hint="its mean was taken frame by frame: all of them are needed")
        return (x - self.frame_mean) / self.frame_std

    def module(self) -> Any:
        """Return an `edge_sdk.nn.fastgrnn` module of these weights, zeta and nu as they were.

        Raises:
            UnsupportedModel: As in `to_module`.
        """
        return to_module(self.weights, zeta=self.zeta, nu=self.nu)


def load_edgeml(
    source: str | os.PathLike[str] | Mapping[str, Any], *, layout: Layout | None = None,
    gate: str = "sigmoid", update: str = "tanh", scalars: Scalars = "raw",
    prefix: str | None = None, mean: ArrayLike | None = None, std: ArrayLike | None = None,
    labels: Sequence[str] = (), preprocessing: Mapping[str, Any] | None = None,
) -> ImportedFastGRNN:
    """Read a FastGRNN of EdgeML.

    Args:
        source: A state_dict, a file of one (.pt, .safetensors), or a folder of `.npy`.
        layout: "cpu", or "cuda" for transposes. None: by the shapes, if they tell.
        gate, update: The cell's non-linearities, which no file says: EdgeML's names.
        scalars: "sigmoid" if zeta and nu are after the sigmoid, 0 to 1.
        prefix: Of the one cell to read, where there are several ("rnn_list.1.cell."). It
            comes alone, without a head. None: there is one cell, and no tensor besides
            it and its head.
        mean, std: (D,) of the features, or (T, D) or (T * D,) of whole sequences; what a
            folder holds by default. EdgeML's classifier keeps them outside its state_dict.
        labels: Names of the classes.
        preprocessing: What makes the features; see `Weights`.

    Raises:
        CheckpointError: Not such a file; tensors or files are missing, extra, of shapes
            that do not fit each other or `layout`, not floats, or not finite; a rank above
            a dimension; a non-linearity that is not EdgeML's; all matrices are square and
            `layout` does not say which they are.
    """
    where = "`source`" if isinstance(source, Mapping) else str(source)
    rest: dict[str, Any] = {}
    if not isinstance(source, Mapping) and Path(source).is_dir():
        if prefix is not None:
            raise CheckpointError("no prefix for a folder", repr(prefix), where=where,
                                  hint="a folder holds one cell")
        found, prefix = _read_folder(Path(source)), ""
    else:
        found, prefix, rest = _read_tensors(source, prefix, where)
    for name, given in (("mean", mean), ("std", std)):
        if given is not None:
            found[name] = _floats(given, name, where)
    _check_names(found, where)
    settled, notices = _settle_layout(found, layout, where)
    if settled == "cuda":
        if update != "tanh":
            raise CheckpointError("tanh, which EdgeML's CUDA cell computes whatever it is given",
                                  repr(update), where="`update`", hint="leave `update` out")
        for name in CELL[:6]:
            if name in found:
                found[name] = np.ascontiguousarray(found[name].T)
    (zeta, zeta_after), (nu, nu_after) = (_scalar(found[name], scalars, name, where)
                                          for name in ("zeta", "nu"))
    frames = _normalization(found, where)
    try:
        weights = Weights(
            **_arrays(found), zeta=zeta_after, nu=nu_after,
            gate=_nonlinearity(gate, "gate"), update=_nonlinearity(update, "update"),
            labels=tuple(labels), preprocessing=dict(preprocessing or {}))
    except ShapeError as error:
        raise CheckpointError(error.expected, error.got, where=f"{where}, {error.where}",
                              hint=error.hint) from error
    return ImportedFastGRNN(weights, settled, zeta, nu, prefix, notices, *frames, rest=rest)


def state_dict(weights: Weights, *, layout: Layout = "cpu", prefix: str = "",
               zeta: float | None = None, nu: float | None = None) -> dict[str, Array]:
    """Return the arrays of a cell by EdgeML's names: what `load_edgeml` reads.

    Args:
        weights: Head and normalization are left out.
        layout: "cuda" for transposes.
        prefix: Before every name.
        zeta, nu: Before the sigmoid; by default from the weights, within +-40.
    """
    names = {"w1": "W1", "w2": "W2", "w": "W", "u1": "U1", "u2": "U2", "u": "U"}
    arrays = weights.arrays()
    made = {names[name]: np.ascontiguousarray(array if layout == "cpu" else array.T)
            for name, array in arrays.items() if name in names}
    made |= {name: arrays[name].reshape(1, -1) for name in ("bias_gate", "bias_update")}
    for name, raw, number in (("zeta", zeta, weights.zeta), ("nu", nu, weights.nu)):
        made[name] = np.full((1, 1), _logit(number) if raw is None else raw, np.float32)
    return {prefix + name: array for name, array in made.items()}


def to_module(weights: Weights, *, zeta: float | None = None, nu: float | None = None) -> Any:
    """Return the `FastGRNNClassifier` of weights, or the `FastGRNNCell` if they have no head.

    Args:
        weights: From anywhere.
        zeta, nu: Before the sigmoid; by default from the weights, within +-40.

    Raises:
        UnsupportedModel: There is a mean but no head: a bare cell has no place for it.
    """
    import torch

    from edge_sdk.nn.fastgrnn import FastGRNNCell, FastGRNNClassifier

    cell = FastGRNNCell(weights.n_inputs, weights.n_hidden, rank_w=weights.ranks[0],
                        rank_u=weights.ranks[1], gate=weights.gate, update=weights.update)
    tensors = {name: torch.from_numpy(array.copy())
               for name, array in state_dict(weights, zeta=zeta, nu=nu).items()}
    cell.load_state_dict(tensors)
    if weights.head is None or weights.head_bias is None:
        if weights.mean is not None:
            raise UnsupportedModel("a head, as there is a mean", "a bare cell", where="`weights`",
                                   hint="normalize the features before, and drop the mean")
        return cell
    module = FastGRNNClassifier(cell, weights.n_classes)
    filled = {"head.weight": weights.head.T, "head.bias": weights.head_bias}
    if weights.mean is not None and weights.scale is not None:
        filled |= {"mean": weights.mean, "scale": weights.scale}
    module.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in filled.items()},
                           strict=False)
    module.labels, module.preprocessing = weights.labels, dict(weights.preprocessing)
    return module


# ---- reading -------------------------------------------------------------------------------

def _read_tensors(source: str | os.PathLike[str] | Mapping[str, Any], prefix: str | None,
                  where: str) -> tuple[dict[str, Array], str, dict[str, Any]]:
    """Return a cell and its head by the names used here, the cell's prefix, and the rest."""
    tensors = dict(source) if isinstance(source, Mapping) else _read_file(source)
    if tensors and all(name.startswith(DDP) for name in tensors):
        tensors = {name.removeprefix(DDP): value for name, value in tensors.items()}
    # All that may be part of a cell, by what stands before its name.
    cells: dict[str, dict[str, Any]] = {}
    for name, value in tensors.items():
        before, leaf = name[: name.rfind(".") + 1], name[name.rfind(".") + 1:]
        if leaf in CELL:
            cells.setdefault(before, {})[leaf] = value
    if prefix is not None:
        chosen = prefix if prefix.endswith(".") or not prefix else prefix + "."
        if chosen not in cells:
            raise CheckpointError(f"a cell under {chosen!r}", _cells(cells), where=where,
                                  hint="`prefix` is what stands before W, U, zeta")
        rest = {name: value for name, value in tensors.items()
                if name not in {chosen + leaf for leaf in cells[chosen]}}
        return _as_floats(cells[chosen], where), chosen, rest
    if not cells:
        raise CheckpointError("the tensors of a FastGRNN cell", _listed(tensors) or "none",
                              where=where, hint="is this EdgeML's? LSTM and GRU cells are not read")
    first = min(cells, key=lambda before: (len(before), before))
    found = _as_floats(cells[first], where)
    for tensors_there in cells.values():
        # `FastGRNN` saves one cell under two names.
        again = _as_floats(tensors_there, where)
        if set(again) != set(found) or not all(
                np.array_equal(again[name], found[name]) for name in found):
            raise CheckpointError("one cell", _cells(cells), where=where,
                                  hint="name one with `prefix`; layers and directions are "
                                  "imported one by one")
    known = {before + leaf for before in cells for leaf in CELL}
    head, used = _head(tensors, where)
    extra = [name for name in tensors if name not in known | used]
    if extra:
        raise CheckpointError("a cell and its head alone", f"extra {_listed(extra)}", where=where,
                              hint=f"linear layers known here: {', '.join(HEADS)}, FC; "
                              "`prefix` reads a cell out of anything")
    return found | head, first, {}


def _read_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    from edge_sdk.checkpoint import read_tensors

    return read_tensors(path)


def _head(tensors: Mapping[str, Any], where: str) -> tuple[dict[str, Array], set[str]]:
    """Return head (H, C) and head_bias (C,), if there is a linear layer, and their names there."""
    pairs = {"FC": ("FC", "FCbias"), **{name: (f"{name}.weight", f"{name}.bias") for name in HEADS}}
    there = {name: pair for name, pair in pairs.items() if any(key in tensors for key in pair)}
    if not there:
        return {}, set()
    if len(there) > 1:
        raise CheckpointError("one linear layer", _listed(there), where=where,
                              hint="drop the others from the dict")
    (name, (weight, bias)), = there.items()
    missing = [key for key in (weight, bias) if key not in tensors]
    if missing:
        raise CheckpointError(f"{weight} and {bias}", f"missing {_listed(missing)}", where=where,
                              hint="the head has both; a head without bias: add zeros")
    matrix = _floats(tensors[weight], weight, where)
    if name != "FC":
        matrix = np.ascontiguousarray(matrix.T)  # torch's Linear is (C, H)
    return {"head": matrix, "head_bias": _floats(tensors[bias], bias, where)}, {weight, bias}


def _read_folder(path: Path) -> dict[str, Array]:
    names = sorted(file.stem for file in path.glob("*.npy"))
    if any(name in ("qBg", "qW", "qW1", "qzeta") for name in names):
        raise CheckpointError("floats as they were trained", "a folder of quantizeFastModels",
                              where=str(path), hint="import the folder above it")
    extra = [f"{name}.npy" for name in names if name not in FILES]
    if extra:
        raise CheckpointError("the .npy files of one FastGRNN cell", f"extra {_listed(extra)}",
                              where=str(path), hint="W3, Br, alpha and the like are of other cells")
    found = {}
    for name in names:
        file = path / f"{name}.npy"
        try:
            array = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise CheckpointError("a .npy file of numbers", reason, where=str(file),
                                  hint="it was cut short or altered: copy it again") from error
        found[FILES[name]] = _floats(array, file.name, str(path))
    return found


def _as_floats(tensors: Mapping[str, Any], where: str) -> dict[str, Array]:
    return {name: _floats(value, name, where) for name, value in tensors.items()}


def _floats(value: Any, name: str, where: str) -> Array:
    """Return a tensor or an array of floats as float32.

    Raises:
        CheckpointError: It is neither, or not finite.
    """
    if hasattr(value, "detach"):
        if not value.is_floating_point():
            raise _not_floats(name, str(value.dtype), where)
        value = value.detach().cpu().float().numpy()
    array = np.asarray(value)
    if not np.issubdtype(array.dtype, np.floating):
        raise _not_floats(name, str(array.dtype), where)
    # A bit more than float32 holds becomes infinite, and is refused below.
    with np.errstate(over="ignore"):
        array = np.array(array, np.float32, order="C")
    if not np.isfinite(array).all():
        raise CheckpointError("finite numbers", f"NaN or infinity in {name}", where=where,
                              hint="the training diverged, or the file is damaged")
    return array


def _not_floats(name: str, got: str, where: str) -> CheckpointError:
    return CheckpointError(f"{name} of floats", got, where=where,
                           hint="quantized folders are not read: import the floats")


# ---- checking and turning ------------------------------------------------------------------

def _check_names(found: Mapping[str, Array], where: str) -> None:
    """Refuse a cell that lacks a tensor, or has a matrix both whole and in factors."""
    missing = [name for name in CELL[6:] if name not in found]
    for whole in ("W", "U"):
        factors = [f"{whole}1", f"{whole}2"]
        there = [name for name in factors if name in found]
        if whole in found and there:
            raise CheckpointError(f"{whole}, or {factors[0]} and {factors[1]}",
                                  f"{whole} and {_listed(there)}", where=where,
                                  hint="two models in one place")
        if whole not in found:
            missing += [name for name in factors if name not in found] if there else \
                [f"{whole} (or {factors[0]} and {factors[1]})"]
    for first, second in (("head", "head_bias"), ("mean", "std")):
        if (first in found) != (second in found):
            missing.append(second if first in found else first)
    if missing:
        shown = [next((file for file, ours in FILES.items() if ours == name and file != name), "")
                 for name in missing]
        names = [f"{name} ({file}.npy)" if file else name
                 for name, file in zip(missing, shown, strict=True)]
        raise CheckpointError("all tensors of a FastGRNN cell", f"missing {_listed(names)}",
                              where=where, hint="is this a FastGRNN? FastRNN has alpha and beta")
    for name in CELL[:6]:
        if name in found and (found[name].ndim != 2 or 0 in found[name].shape):
            raise CheckpointError(f"{name} as a matrix", str(list(found[name].shape)), where=where,
                                  hint="EdgeML's matrices have two dimensions")
    for name in ("bias_gate", "bias_update"):
        if found[name].size not in found[name].shape:
            raise CheckpointError(f"{name} of shape (1, H)", str(list(found[name].shape)),
                                  where=where, hint="one number for each unit of the state")


def _settle_layout(found: Mapping[str, Array], asked: Layout | None,
                   where: str) -> tuple[Layout, tuple[str, ...]]:
    """Return the layout that the shapes and `asked` agree on, and what they leave open."""
    if asked not in (None, "cpu", "cuda"):
        raise CheckpointError("a layout cpu or cuda", repr(asked), where="`layout`",
                              hint="cuda: transposes, as EdgeML's CUDA cell stores them")
    hidden = found["bias_gate"].size
    fits: dict[str, list[Layout]] = {}
    for name, rows in (("W", None), ("U", hidden)):
        factors = [found[key] for key in (name, f"{name}1", f"{name}2") if key in found]
        layouts: tuple[Layout, ...] = ("cpu", "cuda")
        fits[name] = [layout for layout in layouts if _fits(
            [list(f.shape) if layout == "cpu" else list(f.shape)[::-1] for f in factors],
            hidden, rows)]
    both = [layout for layout in fits["W"] if layout in fits["U"]]
    shapes = ", ".join(f"{name} {list(found[name].shape)}" for name in CELL[:6] if name in found)
    if not both:
        raise CheckpointError(
            f"W (D, {hidden}) or (D, r) and (r, {hidden}), U ({hidden}, {hidden}) or ({hidden}, r) "
            f"and (r, {hidden}), or all their transposes; ranks at most D and {hidden}", shapes,
            where=where, hint="bias_gate says how many units there are")
    if asked is not None and asked not in both:
        raise CheckpointError(f"shapes of layout {asked}", f"{shapes}, which are of {both[0]}",
                              where=where, hint=f"layout={both[0]!r}, or leave it out")
    if len(both) == 2:
        if asked is None:
            raise CheckpointError("`layout`, as all matrices are square", shapes, where=where,
                                  hint="layout='cpu', or 'cuda' if EdgeML's CUDA cell wrote it")
        return asked, (f"all matrices are square: nothing but `layout` says they are of {asked}",)
    open_ = [name for name, layouts in fits.items() if len(layouts) == 2]
    notices = tuple(f"{name} is square: taken as {both[0]}, as the other matrix is"
                    for name in open_)
    return both[0], notices


def _fits(shapes: list[list[int]], hidden: int, rows: int | None) -> bool:
    """Tell whether shapes of one matrix or two, as the CPU cell has them, make (rows, hidden)."""
    rows = shapes[0][0] if rows is None else rows
    if len(shapes) == 1:
        return shapes[0] == [rows, hidden]
    rank = shapes[0][1]
    return shapes == [[rows, rank], [rank, hidden]] and rank <= min(rows, hidden)


def _arrays(found: Mapping[str, Array]) -> dict[str, Any]:
    """Return the arguments of `Weights` that are arrays."""
    made: dict[str, Any] = {
        "w": tuple(found[name] for name in CELL[:3] if name in found),
        "u": tuple(found[name] for name in CELL[3:6] if name in found),
        "bias_gate": found["bias_gate"].reshape(-1),
        "bias_update": found["bias_update"].reshape(-1)}
    made |= {name: found[name] for name in ("head", "mean", "scale") if name in found}
    if "head_bias" in found:
        made["head_bias"] = found["head_bias"].reshape(-1)
    return made


def _normalization(found: dict[str, Array], where: str) -> tuple[Array | None, Array | None]:
    """Replace mean and std by mean and scale where they are (D,); return them where (T, D)."""
    if "mean" not in found:
        return None, None
    mean, std = found.pop("mean").reshape(-1), found.pop("std").reshape(-1)
    d = next(found[name].shape[0] for name in CELL[:2] if name in found)
    if mean.size != std.size or mean.size % d or not mean.size:
        raise CheckpointError(f"mean and std of {d} numbers, or of {d} for each frame",
                              f"{mean.size} and {std.size}", where=where,
                              hint="they belong to features of another model")
    if not (std > 0).all():
        raise CheckpointError("a std above 0", str(float(std.min())), where=where,
                              hint="a feature that never changes has std 1 in EdgeML")
    if mean.size > d:
        return mean.reshape(-1, d), std.reshape(-1, d)
    found |= {"mean": mean, "scale": (1 / std).astype(np.float32)}
    return None, None


def _nonlinearity(name: str, argument: str) -> str:
    if name not in NONLINEARITIES:
        raise CheckpointError(f"one of EdgeML's {', '.join(NONLINEARITIES)}", repr(name),
                              where=f"`{argument}`", hint="functions of one's own are not known")
    return NONLINEARITIES[name]


def _scalar(array: Array, scalars: str, name: str, where: str) -> tuple[float, float]:
    """Return zeta or nu before and after the sigmoid."""
    if scalars not in ("raw", "sigmoid"):
        raise CheckpointError("scalars raw or sigmoid", repr(scalars), where="`scalars`",
                              hint="EdgeML's trainers write them raw")
    if array.size != 1:
        raise CheckpointError(f"{name} of one number", str(list(array.shape)), where=where,
                              hint="a zeta for each unit is no FastGRNN of EdgeML")
    number = float(array.flat[0])
    if scalars == "raw":
        return number, _sigmoid(number)
    if not 0.0 <= number <= 1.0:
        raise CheckpointError(f"{name} from 0 to 1, after the sigmoid", f"{number:g}", where=where,
                              hint="leave `scalars` out: it is raw")
    return _logit(number), number


def _sigmoid(x: float) -> float:
    small = math.exp(-abs(x))
    return (1.0 if x >= 0 else small) / (1.0 + small)


def _logit(p: float) -> float:
    if p <= 0.0 or p >= 1.0:
        return math.copysign(RAW_LIMIT, p - 0.5)
    return max(-RAW_LIMIT, min(RAW_LIMIT, math.log(p) - math.log1p(-p)))


def _cells(cells: Mapping[str, Mapping[str, Any]]) -> str:
    return "cells under " + ", ".join(repr(before) for before in sorted(cells)) if cells else "none"


def _listed(names: Iterable[str], limit: int = 8) -> str:
    names = list(names)
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f", and {more} more" if more > 0 else "")
