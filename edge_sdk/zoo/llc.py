"""`python -m edge_sdk.zoo.llc train | evaluate | card`, and the shipped codes of Omniglot.

`train` makes every run of the card, `evaluate` prints what the finished ones reach,
and `card` ships the 20-bit model with its card and the picture of its taxonomy.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from edge_sdk.console import command, say
from edge_sdk.errors import CheckpointError
from edge_sdk.zoo import CARDS, WEIGHTS
from edge_sdk.zoo.llc_training import NAME, LLCNet

SHIPPED = "llc20-s0"
Data = Annotated[Path | None, typer.Option(
    help="Folder with the data sets; default $EDGE_SDK_DATA.")]
Runs = Annotated[Path, typer.Option(help="Folder of the runs' weights.")]
Threads = Annotated[int, typer.Option(min=1, help="Another number gives other weights.")]
DEFAULT_RUNS = Path("runs/llc")


@dataclass(frozen=True)
class CodeModel:
    """A trained model whose answers are bit scores, with the codes to compare them with.

    Attributes:
        model: In eval mode; images (n, 1, 32, 32) in 0..1 to scores (n, bits).
        words: Class codes, uint64, shape (n_classes,); bit j is column j.
        bits: Their length.
        labels: Names of the classes.
        weights_sha256: Digest of the shipped weights.
    """

    model: LLCNet
    words: NDArray[np.uint64]
    bits: int
    labels: tuple[str, ...]
    weights_sha256: str


def load(path: Path | None = None) -> CodeModel:
    """Return the shipped model, or the one at `path`, verified.

    Raises:
        CheckpointError: Absent, damaged, not finite, or without bits and labels.
    """
    from edge_sdk.checkpoint import load_weights, model_digest, read_metadata

    path = path or WEIGHTS / f"{NAME}.safetensors"
    metadata = read_metadata(path)
    try:
        bits, labels = int(metadata["bits"]), tuple(json.loads(metadata["labels"]))
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError("weights that `card` wrote, with bits and labels",
                              f"metadata {sorted(metadata)}", where=str(path),
                              hint="python -m edge_sdk.zoo.llc card writes them") from error
    model = LLCNet(len(labels), bits=bits)
    load_weights(model, path)
    return CodeModel(model.eval(), model.head.words(), bits, labels, model_digest(model))


def train(
    run: Annotated[list[str] | None, typer.Argument(help="Runs by name; default all.")] = None,
    *, data: Data = None, runs: Runs = DEFAULT_RUNS, threads: Threads = 1,
) -> None:
    """Train the runs that are not finished; started again, it goes on after the last phase."""
    import torch

    from edge_sdk.data import omniglot
    from edge_sdk.zoo.llc_training import named, train_runs

    torch.set_num_threads(threads)
    train_runs(named(run or ()), omniglot(data), runs, say=say)


def evaluate(
    run: Annotated[list[str] | None, typer.Argument(help="Runs by name; default all.")] = None,
    *, data: Data = None, runs: Runs = DEFAULT_RUNS,
    scores: Annotated[Path | None, typer.Option(
        help="Folder for the bit scores of some runs, one .npz each.")] = None,
    threads: Threads = 1,
) -> None:
    """Print what the finished runs reach on held-out drawers."""
    import torch

    from edge_sdk.data import omniglot
    from edge_sdk.zoo.llc_card import lines
    from edge_sdk.zoo.llc_evaluate import measure_all
    from edge_sdk.zoo.llc_training import named

    torch.set_num_threads(threads)
    figures = measure_all(named(run or ()), omniglot(data), runs, scores_folder=scores)
    for line in lines(figures):
        say(line)


def card(*, data: Data = None, runs: Runs = DEFAULT_RUNS, threads: Threads = 1) -> None:
    """Ship the 20-bit model of seed 0; write its card and the picture of its taxonomy."""
    import torch

    from edge_sdk.artifact import publish
    from edge_sdk.checkpoint import save_weights
    from edge_sdk.data import omniglot
    from edge_sdk.zoo.llc_card import render
    from edge_sdk.zoo.llc_evaluate import load_run
    from edge_sdk.zoo.llc_taxonomy import dendrogram
    from edge_sdk.zoo.llc_training import named

    torch.set_num_threads(threads)
    dataset = omniglot(data)
    model = load_run(named([SHIPPED])[0], dataset, runs)
    assert isinstance(model, LLCNet)
    contents = _contents(dataset, runs, model, threads)
    finals = [CARDS / f"{NAME}{end}" for end in (".json", ".md", "-taxonomy.svg")]
    weights = WEIGHTS / f"{NAME}.safetensors"
    with publish(*finals) as (as_json, as_markdown, as_picture):
        text = json.dumps(contents, indent=1, ensure_ascii=False) + "\n"
        as_json.write_text(text, encoding="utf-8")
        as_markdown.write_text(render(json.loads(text)), encoding="utf-8")
        as_picture.write_text(dendrogram(model.head.words(), model.head.bits, dataset),
                              encoding="utf-8")
        save_weights(model, weights, {
            "recipe": NAME, "run": SHIPPED, "bits": model.head.bits,
            "labels": json.dumps(list(dataset.labels), ensure_ascii=False),
        })
    for final in (weights, *finals):
        say(f"wrote    {final}  {final.stat().st_size} B")


def _contents(data: Any, runs: Path, model: LLCNet, threads: int) -> dict[str, Any]:
    import torch

    from edge_sdk.checkpoint import model_digest
    from edge_sdk.nn.counting import count_parameters
    from edge_sdk.zoo import llc_training as recipe
    from edge_sdk.zoo.llc_evaluate import RETRIEVED, measure_all
    from edge_sdk.zoo.llc_taxonomy import mean_distances

    words, bits = model.head.words(), model.head.bits
    return {
        "name": NAME, "shipped": SHIPPED, "bits": bits, "n_classes": len(data.labels),
        "data": {"name": data.name, "license": data.license, "split": data.split},
        "weights": {"sha256": model_digest(model), "parameters": count_parameters(model)},
        "recipe": {
            # Epochs stand beside each run, for not all are trained alike.
            "lr": {phase.name: phase.lr for run in recipe.RUNS for phase in run.phases},
            "batch_size": recipe.BATCH_SIZE, "weight_decay": recipe.WEIGHT_DECAY,
            "label_smoothing": recipe.LABEL_SMOOTHING, "codebook_lr": recipe.CODEBOOK_LR,
            "augment": vars(recipe.AUGMENT),
        },
        "retrieved": RETRIEVED,
        "taxonomy": mean_distances(words, bits, data.labels),
        **measure_all(recipe.RUNS, data, runs),
        "environment": {"torch": torch.__version__, "threads": threads, "device": "cpu"},
        "commands": ["python -m edge_sdk.zoo.llc train --data DIR",
                     "python -m edge_sdk.zoo.llc card --data DIR"],
    }


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
                  no_args_is_help=True)
for _main in (train, evaluate, card):
    app.registered_commands += command(
        _main, interrupted="the same command goes on after the last finished phase",
    ).registered_commands

if __name__ == "__main__":
    app()
