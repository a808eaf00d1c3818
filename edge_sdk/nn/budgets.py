"""What each layer's weights cost, dense and with their zeros skipped, and budgets of zeros.

A weight is used once for every position of its layer's output: a pixel of a
convolution, a token of a linear layer. So a layer takes (entries of the weight)
times (positions) multiply-accumulates, and an engine that skips zeros takes
(entries kept) times (positions). Everything here follows from that, and
`layer_cost` needs a shape and a number of positions only, no model.

A budget says how many weights each layer keeps: a mapping from layer names, in
memory of `LayerCost` or of sparsities, on disk a CSV. Published budgets in this
sense: Kusupati et al., "Soft Threshold Weight Reparameterization for Learnable
Sparsity", ICML 2020 (arXiv:2002.03231), appendix, tables of ResNet-50.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from edge_sdk.errors import (
    BudgetError,
    CheckpointError,
    FormatError,
    OutputError,
    ShapeError,
    UnsupportedModel,
)

COLUMNS = ("name", "parameters", "kept", "sparsity", "macs")
"""The columns of a budget file; `macs` are those of the dense layer, empty if unknown."""

Layers = dict[str, nn.Module]
Where = Callable[[str, nn.Module], bool]


# --- from shapes alone -----------------------------------------------------------------


@dataclass(frozen=True)
class LayerCost:
    """What one layer's weight costs; biases and norms are not counted, as is customary.

    Attributes:
        name: The layer's name in its model.
        shape: Of its weight; None if only the counts are known.
        parameters: Entries of the weight.
        kept: Entries that are not zero.
        macs: Multiply-accumulates with all entries; None if unknown.
        macs_kept: Those of the kept entries alone; None if unknown.
    """

    name: str
    shape: tuple[int, ...] | None
    parameters: int
    kept: int
    macs: int | None = None
    macs_kept: int | None = None

    @property
    def sparsity(self) -> float:
        """The fraction of zeros; 0 for a layer that has no weights."""
        return (self.parameters - self.kept) / self.parameters if self.parameters else 0.0


def layer_cost(
    name: str, shape: Sequence[int], *, positions: int | None = None, kept: int | None = None
) -> LayerCost:
    """Return the cost of a weight of `shape` that is used at `positions` places.

    Args:
        name: The layer's name.
        shape: (out, in) of a linear layer, (out, in / groups, height, width) of a
            convolution: groups need no more care than that.
        positions: How often each entry is used: batch times tokens, or batch times
            the output's height times its width (see `conv2d_output`). None: unknown.
        kept: Entries that are not zero; all by default.

    Raises:
        ShapeError: A negative number, or more entries kept than there are.
    """
    parameters = math.prod(shape)
    kept = parameters if kept is None else kept
    if min(shape, default=0) < 0 or not 0 <= kept <= parameters or (positions or 0) < 0:
        raise ShapeError(f"0 to {parameters} weights kept of shape {tuple(shape)}",
                         f"{kept} at {positions} positions", where=name,
                         hint="kept counts the entries that are not zero")
    macs = None if positions is None else parameters * positions
    macs_kept = None if positions is None else kept * positions
    return LayerCost(name, tuple(shape), parameters, kept, macs, macs_kept)


def conv2d_output(
    height: int, width: int, *, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0), dilation: tuple[int, int] = (1, 1),
) -> tuple[int, int]:
    """Return the (height, width) that a convolution makes of an image's.

    Raises:
        ShapeError: The kernel does not fit into the padded image.
    """
    out = [(size + 2 * pad - dilate * (side - 1) - 1) // step + 1 for size, side, step, pad, dilate
           in zip((height, width), kernel, stride, padding, dilation, strict=True)]
    if min(out) < 1:
        raise ShapeError(f"an image that a kernel of {kernel} fits into", f"{height} x {width}",
                         where="`height`, `width`", hint="padding counts on both sides")
    return out[0], out[1]


def average_pool_cost(name: str, channels: int, height: int, width: int) -> LayerCost:
    """Return the row of an average over height x width: an addition for each value, no weight.

    The published count of ResNet-50 has it: 2048 x 7 x 7 before the last layer.
    """
    additions = channels * height * width
    return LayerCost(name, None, 0, 0, additions, additions)


def total_cost(costs: Iterable[LayerCost], *, name: str = "total") -> LayerCost:
    """Return the sum over layers; its MACs are None if those of any layer are."""
    rows = list(costs)

    def add(values: list[int | None]) -> int | None:
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(values) else None

    return LayerCost(name, None, sum(row.parameters for row in rows),
                     sum(row.kept for row in rows), add([row.macs for row in rows]),
                     add([row.macs_kept for row in rows]))


# --- from a model ----------------------------------------------------------------------


def every_dense_layer(name: str, module: nn.Module) -> bool:
    """Return whether a layer is sparsified by default: every one but grouped convolutions.

    A depthwise filter has few weights and no engine skips their zeros.
    """
    return not isinstance(module, nn.Conv2d) or module.groups == 1


def weight_layers(module: nn.Module) -> Layers:
    """Return every Linear and Conv2d by name, in the module's order."""
    return {name: layer for name, layer in module.named_modules()
            if isinstance(layer, nn.Linear | nn.Conv2d)}


def plain_weight(name: str, layer: nn.Module) -> nn.Parameter:
    """Return a layer's weight.

    Raises:
        UnsupportedModel: It is computed at each use: by a threshold, or a parametrization.
    """
    weight = layer._parameters.get("weight")
    if weight is None or layer.weight is not weight:
        raise UnsupportedModel("a plain weight", "one computed at each use",
                               where=f"{name}.weight",
                               hint="a layer is made sparse once; extract() makes it plain again")
    return weight


def select_layers(module: nn.Module, where: Where | None) -> Layers:
    """Return the layers that `where` chooses, every one checked.

    Args:
        module: Holds Linear and Conv2d modules, or is one (then its name is "").
        where: Asked with each name and layer; `every_dense_layer` if None.

    Raises:
        UnsupportedModel: No layer is chosen, two modules share a chosen weight, or
            one is no plain weight.
        CheckpointError: A chosen weight holds NaN or infinity.
    """
    chosen = {name: layer for name, layer in weight_layers(module).items()
              if (where or every_dense_layer)(name, layer)}
    if not chosen:
        raise UnsupportedModel("a module with Linear or Conv2d layers to make sparse", "none",
                               where=type(module).__name__,
                               hint="`where` is asked with the name and the layer")
    owners: dict[int, list[str]] = {}
    for path, parameter in module.named_parameters(remove_duplicate=False):
        owners.setdefault(id(parameter), []).append(path)
    # A module used at two places has one weight and one threshold: no harm in it.
    places: dict[int, set[str]] = {}
    for path, layer in module.named_modules(remove_duplicate=False):
        places.setdefault(id(layer), set()).add(path)
    for name, layer in chosen.items():
        weight = plain_weight(name, layer)
        shared = [path for path in owners[id(weight)]
                  if path.rpartition(".")[0] not in places[id(layer)]]
        if shared:
            raise UnsupportedModel("weights of one layer each", f"also {shared[0]}",
                                   where=f"{name}.weight",
                                   hint="leave tied layers out by `where`")
        if not bool(torch.isfinite(weight).all()):
            raise CheckpointError("finite weights", "NaN or infinity", where=f"{name}.weight",
                                  hint="look where the training went astray")
    return chosen


def count_layers(
    model: nn.Module, sample: Tensor | tuple[Any, ...] | None = None, *,
    layers: Mapping[str, nn.Module] | None = None,
) -> list[LayerCost]:
    """Return the cost of each layer of `model`, in its order.

    Products of two activations, as in attention, have no weight and are not in
    here; `edge_sdk.nn.counting.count_macs` counts them too. A layer that runs
    twice costs twice. A nested model costs its MACs at the current widths; its
    parameters are counted whole.

    Args:
        model: Its weights are plain parameters. It is run in eval mode, without
            gradients, and left in the mode that it had.
        sample: The input, batch included, or a tuple of several. None: no MACs.
        layers: Which layers; every Linear and Conv2d by default.

    Raises:
        UnsupportedModel: A weight is computed at each use, as in training by STR;
            its handle's `report` counts that.
    """
    layers = weight_layers(model) if layers is None else layers
    weights = {name: plain_weight(name, layer) for name, layer in layers.items()}
    used: dict[str, list[int]] | None = None
    if sample is not None:
        with _evaluated(model), _CountUses(weights) as counter:
            model(*sample if isinstance(sample, tuple) else (sample,))
        used = counter.macs
    costs = []
    for name, weight in weights.items():
        macs, macs_kept = (None, None) if used is None else used[name]
        costs.append(LayerCost(name, tuple(weight.shape), weight.numel(),
                               int(torch.count_nonzero(weight)), macs, macs_kept))
    return costs


@contextmanager
def _evaluated(model: nn.Module) -> Any:
    """Run in eval mode without gradients, each submodule put back into its own mode."""
    modes = [(module, module.training) for module in model.modules()]
    # torch's fused attention would hide its four products.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for module, training in modes:
            module.training = training


class _CountUses(TorchDispatchMode):
    """Counts the multiply-accumulates of each weight, also where only a slice of it is used."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.macs = {name: [0, 0] for name in weights}
        # A slice, a transpose and an expansion share their weight's storage.
        self.names = {weight.untyped_storage().data_ptr(): name
                      for name, weight in weights.items()}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        operands, positions = _product(func._overloadpacket, args, out)
        for operand, times in zip(operands, positions, strict=True):
            name = self.names.get(operand.untyped_storage().data_ptr())
            if name is not None:
                self.macs[name][0] += operand.numel() * times
                self.macs[name][1] += int(torch.count_nonzero(operand)) * times
        return out


def _product(packet: Any, args: tuple[Any, ...], out: Any) -> tuple[list[Tensor], list[int]]:
    """Return a product's factors and how often each entry of each is used in it."""
    aten = torch.ops.aten
    if packet is aten.convolution:
        image, weight, transposed = args[0], args[1], args[6]
        pixels = image if transposed else out
        return [weight], [pixels.numel() // pixels.shape[1]]
    matrices = {aten.mm: args[:2], aten.bmm: args[:2], aten.addmm: args[1:3],
                aten.baddbmm: args[1:3], aten.linear: args[:2], aten.mv: args[:2]}
    if packet not in matrices:
        return [], []
    left, right = matrices[packet]
    if packet is aten.linear:
        return [right], [left.numel() // left.shape[-1]]
    if packet is aten.mv:
        return [left], [1]
    return [left, right], [right.shape[-1], left.shape[-2]]


# --- budgets ---------------------------------------------------------------------------


def check_budget(
    budget: Mapping[str, LayerCost | float], layers: Mapping[str, nn.Module]
) -> dict[str, int]:
    """Return how many weights each of `layers` keeps under `budget`, in the layers' order.

    Args:
        budget: For each layer its sparsity in [0, 1], where the nearest whole number
            of weights is pruned, or its exact counts. 1 empties the layer.
        layers: By name, as `select_layers` returns them.

    Raises:
        BudgetError: A layer of either is absent in the other, counts are another
            model's, or a sparsity is out of range.
    """
    absent = [name for name in budget if name not in layers]
    unnamed = [name for name in layers if name not in budget]
    if absent or unnamed:
        raise BudgetError(
            "a budget of the layers to be pruned, one row each",
            "; ".join(f"{what}: {', '.join(map(repr, names))}" for what, names in
                      (("not in the model", absent), ("not in the budget", unnamed)) if names),
            where="`budget`", hint="choose the same layers by `where`, or give sparsity 0")
    kept = {}
    for name, layer in layers.items():
        n, row = plain_weight(name, layer).numel(), budget[name]
        if isinstance(row, LayerCost):
            if row.parameters != n or not 0 <= row.kept <= n:
                raise BudgetError(f"{n} parameters, of which at most {n} are kept",
                                  f"{row.kept} of {row.parameters}", where=f"budget of {name!r}",
                                  hint="this budget was written for another model")
            kept[name] = row.kept
        elif isinstance(row, int | float) and 0.0 <= row <= 1.0:
            kept[name] = n - n_pruned(row, n)
        else:
            raise BudgetError("a sparsity in [0, 1]", repr(row), where=f"budget of {name!r}",
                              hint="0.9 prunes nine weights of ten")
    return kept


def n_pruned(sparsity: float, parameters: int) -> int:
    """Return the whole number nearest to sparsity * parameters, halves to the even one."""
    return round(sparsity * parameters)


def write_budget(path: str | Path, costs: Iterable[LayerCost]) -> None:
    """Write the rows as CSV, columns `COLUMNS`; `read_budget` reads the same counts.

    Raises:
        BudgetError: Two rows have one name.
        OutputError: The file can not be written.
    """
    rows = list(costs)
    names = [row.name for row in rows]
    if len(set(names)) != len(names):
        raise BudgetError("one row for each layer", "a name twice", where="`costs`",
                          hint="names tell the layers apart")
    try:
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for row in rows:
                writer.writerow((row.name, row.parameters, row.kept, f"{row.sparsity:.6f}",
                                 "" if row.macs is None else row.macs))
    except OSError as error:
        raise OutputError("a file that can be written", str(error), where=str(path),
                          hint="does the folder exist?") from error


def read_budget(path: str | Path) -> dict[str, LayerCost]:
    """Return a budget file's rows by name, in its order; shapes are not in it.

    Raises:
        BudgetError: The file can not be opened.
        FormatError: It is not such a file, or a row contradicts itself.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BudgetError("a budget file", str(error), where=str(path),
                          hint="write_budget writes one") from error
    except UnicodeDecodeError as error:
        raise _malformed(path, 0, "bytes that are no text") from error
    lines = csv.reader(text.splitlines())
    header = next(lines, [])
    if tuple(header) != COLUMNS:
        raise FormatError(f"the columns {','.join(COLUMNS)}", ",".join(header), where=str(path),
                          hint="write_budget writes such files")
    budget: dict[str, LayerCost] = {}
    for number, line in enumerate(lines, 2):
        row = _parse(path, number, line)
        if row.name in budget:
            raise _malformed(path, number, f"{row.name!r} twice")
        budget[row.name] = row
    return budget


def _parse(path: str | Path, number: int, line: list[str]) -> LayerCost:
    try:
        name, parameters, kept, sparsity, macs = line
        row = LayerCost(name, None, int(parameters), int(kept), int(macs) if macs else None)
        stated = float(sparsity)
    except ValueError as error:
        raise _malformed(path, number, ",".join(line)) from error
    if not 0 <= row.kept <= row.parameters or (row.macs or 0) < 0:
        raise _malformed(path, number, f"{row.kept} kept of {row.parameters}")
    if not abs(stated - row.sparsity) <= 1e-6:
        raise _malformed(path, number, f"sparsity {stated} with {row.kept} of {row.parameters}")
    if row.macs is None or row.parameters == 0 or row.macs % row.parameters:
        return row
    positions = row.macs // row.parameters
    return LayerCost(name, None, row.parameters, row.kept, row.macs, row.kept * positions)


def _malformed(path: str | Path, number: int, got: str) -> FormatError:
    return FormatError("a layer's counts, each layer once", got, where=f"{path}, line {number}",
                       hint="kept is at most parameters, sparsity is 1 - kept / parameters")
