"""STR checkpoints as github.com/RAIVNLab/STR writes them: ResNet-50 and MobileNetV1.

`python -m edge_sdk.importers.str CHECKPOINT [--out FILE.safetensors] [--budget FILE.csv]`

Beside each convolution's `weight`, which is dense, stands its `sparseThreshold` s,
(1, 1), and what the network computes with is (Kusupati et al., ICML 2020, eq. 2)

    sign(w) relu(|w| - sigmoid(s)).

The whole is under `state_dict`, its names behind DataParallel's `module.`.

Three traps:

Training starts from s = -3200 or -12800, where float32's sigmoid is exactly 0: such a
layer is dense.

The original copies what fits and drops the rest without a word. Here each tensor is
used, or the error names it.

A first or last layer may have been kept dense there (`--first-layer-dense`,
`--last-layer-dense`); then it has no threshold, and the last one a bias. Which layers
may have none is asked for with `dense`. Only one threshold for a layer, and only the
sigmoid, were ever written there; other shapes are refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edge_sdk.artifact import publish
from edge_sdk.console import command, say
from edge_sdk.errors import CheckpointError, ComparisonError, UnsupportedModel

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edge_sdk.importers.imagenet import Architecture, ModelCost, Size
    from edge_sdk.nn.budgets import LayerCost

THRESHOLD = ".sparseThreshold"
PER_LAYER = (1, 1)
TRAINING = frozenset({
    "optimizer", "scheduler", "lr_scheduler", "scaler", "epoch", "arch", "best_acc1", "best_acc5",
    "best_train_acc1", "best_train_acc5", "curr_acc1", "curr_acc5",
})
"""What training keeps beside the weights; nothing here needs it."""


@dataclass(frozen=True)
class ImportedSTR:
    """A sparse network from elsewhere, as a plain one with zeros in its weights.

    Attributes:
        module: In eval mode, float32; (n, 3, h, w) to (n, classes).
        architecture: Which network it is.
        cost: Each layer's zeros, parameters and multiply-accumulates, and their totals.
        thresholds: sigmoid(s) by layer; a layer that had none is absent.
        beside: What the file held beside the weights and was not needed, by name.
    """

    module: nn.Module
    architecture: Architecture
    cost: ModelCost
    thresholds: dict[str, float]
    beside: tuple[str, ...] = ()


def load_str(
    source: str | os.PathLike[str] | Mapping[str, Any], *,
    architecture: Architecture | str | None = None, dense: bool | Collection[str] = False,
    input_size: int | Size = 224,
) -> ImportedSTR:
    """Read an STR checkpoint into a plain network.

    Args:
        source: A file (.pt, .pth, .safetensors), or what it holds.
        architecture: `resnet50`, `mobilenetv1`, or an `Architecture` of other sizes. None:
            the published one of the two that the names are of. Unless it is an
            `Architecture`, the head's own shape says how many classes there are.
        dense: Layers that may have no threshold, by name; True for all.
        input_size: Height and width to count multiply-accumulates for.

    Raises:
        CheckpointError: Not such a file; tensors are missing, extra, of other shapes or
            kinds, or hold NaN or infinity. All of them are named.
        UnsupportedModel: `architecture` is none.
        ShapeError: `input_size` is not positive.
    """
    import torch

    from edge_sdk.importers import imagenet
    from edge_sdk.nn.str_sparsity import soft_threshold

    tensors, beside, where = _read(source)
    chosen = _architecture(tensors, architecture, where)
    module = imagenet.build(chosen, device="meta")
    state = module.state_dict()
    layers = list(imagenet.convolutions(module))
    _demand_fit(tensors, state, layers, dense, where, chosen.name)
    filled = {name: tensors[name].detach().to("cpu", like.dtype, copy=True).contiguous()
              for name, like in state.items()}
    s = {name: tensors[name].detach().to("cpu", torch.float32)
         for name in (layer + THRESHOLD for layer in layers) if name in tensors}
    _demand_finite(filled | s, where)
    thresholds = {name.removesuffix(THRESHOLD): torch.sigmoid(value[0, 0])
                  for name, value in s.items()}
    for layer, threshold in thresholds.items():
        filled[f"{layer}.weight"] = soft_threshold(filled[f"{layer}.weight"], threshold)
    module.load_state_dict(filled, assign=True)
    kept = {layer: int(torch.count_nonzero(filled[f"{layer}.weight"])) for layer in layers}
    return ImportedSTR(
        module, chosen, imagenet.model_cost(chosen, input_size=input_size, kept=kept),
        {layer: float(threshold) for layer, threshold in thresholds.items()}, beside)


# ---- reading ---------------------------------------------------------------------------


def _read(source: str | os.PathLike[str] | Mapping[str, Any],
          ) -> tuple[dict[str, Any], tuple[str, ...], str]:
    """Return the values by their names without prefix, the names beside them, and where."""
    from edge_sdk.checkpoint import PREFIX, WRAPPERS, read_tensors

    if isinstance(source, Mapping):
        whole, where = source, "`source`"
    else:
        tensors, where = read_tensors(source), str(source)
        whole = _outline(Path(source))
    wrapper = next((name for name in WRAPPERS if isinstance(whole.get(name), Mapping)), None)
    if isinstance(source, Mapping):
        tensors = dict(source if wrapper is None else source[wrapper])
        if tensors and all(str(name).startswith(PREFIX) for name in tensors):
            tensors = {name.removeprefix(PREFIX): value for name, value in tensors.items()}
    if wrapper is None:
        return tensors, (), where
    beside = {str(name): value for name, value in whole.items() if name != wrapper}
    unknown = [f"{name} with {n} tensors" for name, value in beside.items()
               if name not in TRAINING and (n := sum(1 for _ in _tensors_in(value)))]
    if unknown:
        raise CheckpointError(f"one network, under {wrapper}", f"also {', '.join(unknown)}",
                              where=where, hint="keep the one that you want: torch.save("
                              "{'state_dict': found['state_dict']}, path)")
    return tensors, tuple(beside), where


def _outline(path: Path) -> Mapping[Any, Any]:
    """Return what stands in a torch file that can be read, its tensors without numbers."""
    import torch

    with path.open("rb") as file:
        if file.read(9)[8:] == b"{":  # safetensors: tensors by name, and nothing beside
            return {}
    found: Mapping[Any, Any] = torch.load(path, map_location="meta", weights_only=True)
    return found


def _tensors_in(value: object) -> Iterator[Tensor]:
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors_in(part)


def _architecture(tensors: Mapping[str, Any], wanted: Architecture | str | None,
                  where: str) -> Architecture:
    from edge_sdk.importers.imagenet import ARCHITECTURES, Architecture

    if isinstance(wanted, Architecture):
        return wanted
    if wanted is not None and wanted not in ARCHITECTURES:
        raise UnsupportedModel(" or ".join(ARCHITECTURES), repr(wanted), where="`architecture`",
                               hint="an `Architecture` describes smaller ones")
    marks = {"layer1.": "resnet50", "model.": "mobilenetv1"}
    name = wanted or next((marks[mark] for mark in marks
                           if any(str(key).startswith(mark) for key in tensors)), None)
    if name is None:
        raise CheckpointError(f"a checkpoint of {' or '.join(ARCHITECTURES)}",
                              f"{len(tensors)} names, none that starts with {' or '.join(marks)}",
                              where=where, hint="other networks are not read")
    head = getattr(tensors.get("fc.weight"), "shape", None)
    published = ARCHITECTURES[name]
    return replace(published, head_bias="fc.bias" in tensors,
                   classes=int(head[0]) if head and head[0] else published.classes)


def _demand_fit(tensors: Mapping[str, Any], state: Mapping[str, Tensor], layers: list[str],
                dense: bool | Collection[str], where: str, model: str) -> None:
    """Demand every tensor of the network, a threshold for each layer, and nothing else."""
    if isinstance(dense, str):
        dense = (dense,)
    unknown = [] if isinstance(dense, bool) else [name for name in dense if name not in layers]
    if unknown:
        raise CheckpointError(f"names of layers, such as {layers[0]} and {layers[-1]}",
                              ", ".join(unknown), where="`dense`", hint="True allows all of them")
    thresholds = [layer + THRESHOLD for layer in layers]
    needed = [name for layer, name in zip(layers, thresholds, strict=True)
              if not (dense is True or (dense and layer in dense))]
    missing = [name for name in (*state, *needed) if name not in tensors]
    problems = [f"missing {name}" for name in missing]
    problems += [f"extra {name}" for name in tensors if name not in {*state, *thresholds}]
    if problems and len(problems) == len(missing) and missing == thresholds:
        raise CheckpointError("thresholds", "none: a dense network", where=where,
                              hint="dense=True, or --dense all, if that is what you want")
    for name, value in tensors.items():
        if name in state:
            problems += _misfit(name, value, state[name].shape, state[name].is_floating_point())
        elif name in thresholds:
            problems += _misfit(name, value, PER_LAYER, True)
    if problems:
        raise CheckpointError(f"the {len(state)} tensors of {model} and a threshold a layer",
                              ", ".join(problems), where=where,
                              hint="`architecture` if it is of another size, `dense` for layers "
                              "without threshold")


def _misfit(name: str, value: object, shape: Sequence[int], floating: bool) -> list[str]:
    import torch

    if not isinstance(value, torch.Tensor):
        return [f"{name} is no tensor but {type(value).__name__}"]
    if list(value.shape) != list(shape):
        return [f"{name} of shape {list(value.shape)} instead of {list(shape)}"]
    if value.is_floating_point() != floating or value.is_complex():
        return [f"{name} of {value.dtype}"]
    return []


def _demand_finite(tensors: Mapping[str, Tensor], where: str) -> None:
    bad = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    if bad:
        raise CheckpointError("finite numbers", f"NaN or infinity in {', '.join(bad)}",
                              where=where, hint="the training diverged")


# ---- writing ---------------------------------------------------------------------------

def write(found: ImportedSTR, out: Path | None = None, budget: Path | None = None) -> None:
    """Write the weights as safetensors, the layers' sparsities as CSV, both or neither.

    The weights are read back and compared before they are moved into place.

    Raises:
        OutputError: A folder is missing, not writable, or full.
        ComparisonError: The file does not hold what the module holds.
    """
    from edge_sdk.checkpoint import model_digest, read_tensors, save_weights, tensors_digest
    from edge_sdk.nn.budgets import write_budget

    kinds = [(path, kind) for path, kind in ((out, "weights"), (budget, "budget")) if path]
    with publish(*(path for path, _ in kinds)) as partials:
        for partial, (_, kind) in zip(partials, kinds, strict=True):
            if kind == "budget":
                write_budget(partial, found.cost.layers)
                continue
            save_weights(found.module, partial, _metadata(found))
            if tensors_digest(read_tensors(partial)) != model_digest(found.module):
                raise ComparisonError("the module's weights", "others", where=str(out),
                                      hint="the disk is at fault: write it elsewhere")


def _metadata(found: ImportedSTR) -> dict[str, object]:
    return {"importer": "RAIVNLab/STR", "architecture": found.architecture.name,
            "classes": found.architecture.classes, "parameters": found.cost.total.parameters,
            "kept": found.cost.total.kept}


# ---- command ---------------------------------------------------------------------------


def main(
    checkpoint: Path = typer.Argument(..., help="A .pt, .pth or .safetensors file."),
    out: Path = typer.Option(None, "--out", help="Write plain weights, a .safetensors file."),
    budget: Path = typer.Option(None, "--budget", help="Write each layer's sparsity, a .csv file."),
    architecture: str = typer.Option(None, help="resnet50 or mobilenetv1; by default, seen."),
    dense: str = typer.Option("", help="Layers that may have no threshold: conv1,fc, or all."),
    input_size: int = typer.Option(224, min=1, help="Input height and width to count MACs for."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Read the STR checkpoint CHECKPOINT, say what each layer keeps, and write it plainly."""
    for path, suffix, option in ((out, ".safetensors", "--out"), (budget, ".csv", "--budget")):
        if path is not None and path.suffix != suffix:
            raise typer.BadParameter(f"{option} must end in {suffix}")
    names = [name.strip() for name in dense.split(",") if name.strip()]
    found = load_str(checkpoint, architecture=architecture, input_size=input_size,
                     dense=True if names == ["all"] else names)
    write(found, out, budget)
    written = [path for path in (out, budget) if path is not None]
    if as_json:
        say(json.dumps(_facts(found) | {"written": [str(path) for path in written]}))
        return
    say(f"model   {found.architecture.name}  {found.architecture.classes} classes  "
        f"input 3x{input_size}x{input_size}")
    if found.beside:
        say(f"unused  {', '.join(found.beside)}")
    _print_table(found)
    for path in written:
        say(f"wrote   {path}  {path.stat().st_size} B")
    if out is not None:
        n = len(found.module.state_dict())
        say(f"check   {n}/{n} tensors the same  ok")


def _facts(found: ImportedSTR) -> dict[str, Any]:
    def row(cost: LayerCost) -> dict[str, Any]:
        return {**asdict(cost), "sparsity": cost.sparsity}

    return {"architecture": found.architecture.name, "classes": found.architecture.classes,
            "unused": list(found.beside), "total": row(found.cost.total),
            "pool": row(found.cost.pool),
            "layers": [{**row(layer), "threshold": found.thresholds.get(layer.name)}
                       for layer in found.cost.layers]}


def _print_table(found: ImportedSTR) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("layer", box=None, pad_edge=False)
    for title in ("shape", "threshold", "parameters", "kept", "zeros", "MACs dense", "MACs kept"):
        table.add_column(title, justify="right")
    for cost in (*found.cost.layers, found.cost.pool, found.cost.total):
        threshold = found.thresholds.get(cost.name)
        table.add_row(cost.name, "x".join(map(str, cost.shape or ())),
                      "" if threshold is None else f"{threshold:.3g}", str(cost.parameters),
                      str(cost.kept), f"{cost.sparsity:.2%}" if cost.parameters else "",
                      str(cost.macs), str(cost.macs_kept))
    # Lines are for grep: as wide as they are, not as the terminal is.
    Console(width=300, highlight=False, markup=False, emoji=False).print(table)


app = command(main)

if __name__ == "__main__":
    app()
