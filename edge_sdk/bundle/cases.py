"""Labelled inputs for calibration and measurement, and their embeddings in an engine."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from edge_sdk.artifact import Arrays
from edge_sdk.engines import Engine
from edge_sdk.errors import DataError, ShapeError

OURS = ("labels", "words")
"""Arrays of an .npz of cases that are no inputs."""
CALIBRATING = 2
"""Of every five held-out cases in the data set's order, the first two calibrate."""
SPLIT = "of every five held-out cases the first two calibrate, the others evaluate"


@dataclass(frozen=True)
class Cases:
    """n labelled inputs: arrays by input name with a leading axis, class ids, and in words."""

    inputs: dict[str, NDArray[Any]]
    labels: NDArray[np.int64]
    words: str

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: NDArray[Any], words: str) -> Cases:
        """Return some of the cases, by mask or ids."""
        return Cases({name: array[chosen] for name, array in self.inputs.items()},
                     self.labels[chosen], words)

    def one(self, i: int) -> dict[str, NDArray[Any]]:
        """Return case i as an engine takes it, batch 1."""
        return {name: np.ascontiguousarray(array[i : i + 1])
                for name, array in self.inputs.items()}


def calibrating(n: int) -> NDArray[np.bool_]:
    """Return which of n held-out cases calibrate, (n,) bool.

    Held-out images of Omniglot lie by class and drawer, five drawers a class: these are
    drawers 16 and 17, and no drawer is on both sides.
    """
    chosen: NDArray[np.bool_] = np.arange(n) % 5 < CALIBRATING
    return chosen


def load_cases(path: str | os.PathLike[str]) -> Cases:
    """Return the cases of an .npz: one array for each input, by its name, and `labels`.

    `words`, if there, says what they are.

    Raises:
        DataError: No such file, or other arrays.
    """
    hint = "np.savez(path, image=images, labels=ids)"
    try:
        with np.load(Path(path)) as arrays:
            inputs = {name: arrays[name] for name in arrays.files if name not in OURS}
            labels = arrays["labels"]
            words = str(arrays["words"]) if "words" in arrays.files else Path(path).name
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile, zlib.error) as error:
        raise DataError("an .npz with `labels` and the model's inputs",
                        f"{type(error).__name__}: {error}", where=str(path), hint=hint) from error
    if labels.dtype.kind not in "iu":
        raise DataError("class ids, integers", str(labels.dtype), where=f"{path}, `labels`",
                        hint=hint)
    shapes = {name: list(array.shape) for name, array in inputs.items()}
    if labels.ndim != 1 or not labels.size or not inputs or any(
            shape[:1] != [len(labels)] for shape in shapes.values()):
        raise DataError("as many labels as cases, one at least",
                        f"labels {list(labels.shape)}, inputs {shapes}", where=str(path), hint=hint)
    return Cases(inputs, labels.astype(np.int64), words)


def save_cases(path: Path, cases: Cases) -> None:
    """Write cases as `load_cases` reads them, compressed."""
    arrays: dict[str, Any] = {**cases.inputs, "labels": cases.labels, "words": cases.words}
    np.savez_compressed(path, **arrays)


def embed(
    engine: Engine, inputs: Arrays, granularities: Sequence[str],
    report: Callable[[str], None] = lambda text: None,
) -> dict[str, NDArray[np.float32]]:
    """Return the embeddings of n cases, {granularity: (n, d) float32}, computed by an engine.

    Raises:
        ShapeError: The model has no output "embedding".
    """
    if all(spec.name != "embedding" for spec in engine.metadata.outputs):
        raise ShapeError("an output named embedding",
                         ", ".join(spec.name for spec in engine.metadata.outputs),
                         where="the model", hint="export it with its embedding")
    n = len(next(iter(inputs.values())))
    cases = [{name: np.ascontiguousarray(array[i : i + 1]) for name, array in inputs.items()}
             for i in range(n)]
    found = {}
    for granularity in granularities:
        report(f"embedding {n} cases at {granularity}")
        found[granularity] = np.concatenate(
            [engine.run(case, granularity)["embedding"] for case in cases])
    return found
