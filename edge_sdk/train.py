"""`python -m edge_sdk.train NAME`: train a reference model, nested or at one fixed width.

Killed or interrupted, the same command resumes after the last whole epoch and
ends with the same weights as if nothing had happened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edge_sdk.console import command, say
from edge_sdk.errors import CheckpointError, OutputError

if TYPE_CHECKING:
    from edge_sdk.data import Dataset
    from edge_sdk.nn.matformer import ImageEncoder
    from edge_sdk.zoo.recipes import Recipe
    from edge_sdk.zoo.training import Progress

Width = Literal["S", "M", "L", "XL"]

def default_out(name: str, width: str | None, seed: int) -> Path:
    """Return where a training writes its weights unless told otherwise."""
    return Path("runs") / f"{name}{f'-{width}' if width else ''}-seed{seed}.safetensors"


def main(
    name: Annotated[str, typer.Argument(help="Reference model, such as matvit-digits.")],
    *,
    data: Annotated[Path | None, typer.Option(
        help="Folder with the data sets; default $EDGE_SDK_DATA. The digits need none.")] = None,
    seed: Annotated[int, typer.Option(
        min=0, help="Of initialization, order, augmentation and sampled widths.")] = 0,
    independent: Annotated[Width | None, typer.Option(
        help="Train this width alone, without nesting.")] = None,
    epochs: Annotated[int | None, typer.Option(
        min=1, help="Instead of the recipe's.")] = None,
    out: Annotated[Path | None, typer.Option(
        help="Weights to write; default runs/NAME[-WIDTH]-seedN.safetensors.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(
        help="Written after each epoch, resumed from, removed at the end; default OUT.ckpt.",
    )] = None,
    threads: Annotated[int, typer.Option(
        min=1, help="Another number gives other weights; keep it when resuming.")] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Train a reference model and write its weights.

    Killed or interrupted, the same command resumes and ends with the same weights.
    """
    from edge_sdk import zoo

    recipe = zoo.recipe(name)
    import torch

    from edge_sdk.checkpoint import save_weights
    from edge_sdk.zoo.training import train

    torch.set_num_threads(threads)
    if out is None:
        out = default_out(name, independent, seed)
        _make_folder(out.parent)
    checkpoint = checkpoint or out.with_name(out.name + ".ckpt")
    # Now, not after an hour of training.
    for path in (out, checkpoint):
        _check_output(path)
    if checkpoint.exists():
        _check_checkpoint(checkpoint)
    dataset = recipe.dataset(data)
    with _progress_bar(name, epochs or recipe.epochs, quiet) as report, \
            _full_disk(checkpoint):
        model = train(recipe, dataset, seed=seed, width=independent, epochs=epochs,
                      checkpoint=checkpoint, report=report)
    digest = save_weights(model, out, {
        "recipe": name, "seed": seed, "epochs": epochs or recipe.epochs,
        "width": independent or "nested", "threads": threads, "torch": torch.__version__,
    })
    checkpoint.unlink(missing_ok=True)
    checkpoint.with_name(checkpoint.name + ".partial").unlink(missing_ok=True)
    _print_accuracies(recipe, dataset, model, independent)
    say(f"wrote    {out}  {out.stat().st_size} B")
    say(f"weights  sha256 {digest}")


def _print_accuracies(recipe: Recipe, data: Dataset, model: ImageEncoder,
                      width: str | None) -> None:
    import torch

    from edge_sdk.granularity import trained_names
    from edge_sdk.nn.matformer import trained_widths
    from edge_sdk.zoo.evaluate import accuracies
    from edge_sdk.zoo.training import normalize

    images = normalize(data.test_images, recipe, data.pixel_max)
    labels = torch.from_numpy(data.test_labels)
    layers = trained_widths(model)
    # A model trained at one width would name it XL, as its largest.
    rows = {width: tuple(widths[-1] for widths in layers)} if width else trained_names(layers)
    say(f"top-1 %  n {len(labels)}, held out: {data.split}")
    if recipe.dims:
        say("dim    " + "".join(f"{dim:>8}" for dim in recipe.dims))
    for row, widths in rows.items():
        figures = accuracies(model, images, labels, widths).values()
        say(f"{row:<7}" + "".join(f"{100 * figure:8.2f}" for figure in figures))


@contextmanager
def _progress_bar(
    name: str, epochs: int, quiet: bool
) -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TextColumn("epochs  loss {task.fields[loss]}  left"), TimeRemainingColumn())
    # Epochs take minutes: rich's default of 30 s would forget each before the next.
    with Bar(*columns, console=Console(stderr=True), disable=quiet,
             speed_estimate_period=86400) as bar:
        task = bar.add_task(name, total=epochs, loss="-")

        def report(progress: Progress) -> None:
            if math.isnan(progress.loss) and progress.epoch:  # resumed: these cost no time
                bar.reset(task, total=epochs, completed=progress.epoch, loss="-")
            else:
                bar.update(task, completed=progress.epoch, loss=f"{progress.loss:.4f}")

        yield report


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError("a folder to write to", error.strerror or str(error),
                          where=str(folder), hint="choose another --out") from error


def _check_output(path: Path) -> None:
    if not path.parent.is_dir() or path.is_dir():
        raise OutputError("a file in an existing folder", str(path), where="--out, --checkpoint",
                          hint="make the folder, or choose another --out")


def _check_checkpoint(path: Path) -> None:
    """Refuse a damaged checkpoint in words; of which training it is, `train` checks."""
    import pickle

    import torch

    try:
        whole = "identity" in torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError, TypeError):
        whole = False
    if not whole:
        raise CheckpointError("a checkpoint of an unfinished training", "another or damaged file",
                              where=str(path), hint="remove it, or name another --checkpoint")


@contextmanager
def _full_disk(checkpoint: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError("room for a checkpoint", error.strerror or str(error),
                          where=str(checkpoint), hint="choose another --checkpoint") from error
    except RuntimeError as error:
        # torch's zip writer has no exception of its own for a full disk.
        if "PytorchStreamWriter" not in str(error):
            raise
        raise OutputError("room for a checkpoint", str(error).splitlines()[0],
                          where=str(checkpoint), hint="choose another --checkpoint") from error


app = command(main, interrupted="the same command resumes after the last whole epoch")

if __name__ == "__main__":
    app()
