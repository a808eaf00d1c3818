"""Trains the runs behind `str-cifar10`: dense, STR, and gradual magnitude pruning.

Each run ends in one safetensors file in the runs folder; a run whose file is there is not
trained again. All runs take the same epochs, batches and augmentation.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_sdk.checkpoint import load_weights, read_metadata, save_weights
from edge_sdk.data import cifar10
from edge_sdk.errors import CheckpointError, DataError, UnsupportedModel
from edge_sdk.nn.magnitude import MagnitudePruning
from edge_sdk.nn.str_sparsity import Sparsified, sparsify
from edge_sdk.zoo.resnet import SmallResNet

NAME = "str-cifar10"
MEAN, STD, PIXEL_MAX = 0.473, 0.251, 255
EPOCHS, BATCH_SIZE, LR, MOMENTUM, WEIGHT_DECAY = 10, 128, 0.1, 0.9, 5e-4
LABEL_SMOOTHING = 0.05
PAD = 4
"""Pixels that a random crop may shift an image."""
VALIDATION = 500
"""Training images of each class that trials hold out, the last ones by name."""

SPARSITIES = (80, 90, 95, 98)
"""In percent, of all weights of convolutions and the classifier but the stem's."""
S_INIT = -8.0
THRESHOLD_DECAY = {80: 1.25e-3, 90: 2.6e-3, 95: 4.5e-3, 98: 8.5e-3}
"""Weight decay on s. The time until a sparsity is reached goes about as its inverse."""
REACH, NEAR = 0.7, 0.1
"""Part of the training at which the wanted sparsity should be reached, and how nearly."""
PRUNE = (0.1, 0.6)
"""Parts of the training between which gradual magnitude pruning goes from 0 to all."""
PRUNE_EVERY = 20


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        method: dense, str, gmp, or budget: gmp under the layers' sparsities of the str run
            of the same sparsity and seed.
        percent: Wanted sparsity, 0 of dense.
        seed: Of weights, order and augmentation.
    """

    method: str
    percent: float = 0
    seed: int = 0

    @property
    def name(self) -> str:
        """The file's name in the runs folder."""
        return f"{self.method}{f'{self.percent:g}' if self.percent else ''}-s{self.seed}"


SEEDS = range(2)
METHODS = ("str", "gmp", "budget")
RUNS = tuple(run for seed in SEEDS for run in (
    Run("dense", 0, seed),
    *(Run(method, percent, seed) for method in METHODS for percent in SPARSITIES)))
"""All trainings of the card; those under a budget behind those that find it."""


@dataclass(frozen=True)
class Images:
    """Pixels (n, 3, 32, 32) uint8 and class ids (n,) of a training and a held-out part."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    labels: tuple[str, ...]


@cache
def images(data: str | None, *, validation: bool = False) -> Images:
    """Return CIFAR-10; for trials with the last training images of each class held out.

    Raises:
        DataError: It is not there.
    """
    found = cifar10(data)
    x, y = torch.from_numpy(found.train_images), torch.from_numpy(found.train_labels)
    if not validation:
        return Images(x, y, torch.from_numpy(found.test_images),
                      torch.from_numpy(found.test_labels), found.labels)
    held = torch.zeros(len(y), dtype=torch.bool)
    for digit in range(len(found.labels)):
        held[torch.nonzero(y == digit)[-VALIDATION:]] = True
    return Images(x[~held], y[~held], x[held], y[held], found.labels)


def normalize(pixels: Tensor) -> Tensor:
    """Return float32 images (n, 3, h, w), channels last in memory."""
    scaled = pixels.float().div_(PIXEL_MAX).sub_(MEAN).div_(STD)
    return scaled.to(memory_format=torch.channels_last)


class Batches:
    """Shuffled batches, each image flipped or not and cropped out of a padded one."""

    def __init__(self, pixels: Tensor, labels: Tensor, generator: torch.Generator) -> None:
        # Padded with the mean, which is 0 behind normalization.
        self.pixels = F.pad(pixels, (PAD,) * 4, value=round(MEAN * PIXEL_MAX))
        self.labels, self.generator = labels, generator

    def __len__(self) -> int:
        return len(self.labels) // BATCH_SIZE

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        size = self.pixels.shape[-1] - 2 * PAD
        order = torch.randperm(len(self.labels), generator=self.generator)
        for picks in order.split(BATCH_SIZE)[:len(self)]:
            moves = torch.randint(0, 2 * PAD + 1, (2, len(picks)), generator=self.generator)
            span = torch.arange(size)
            columns = moves[1][:, None] + span
            flip = torch.rand(len(picks), generator=self.generator) < 0.5
            columns = torch.where(flip[:, None], columns.flip(1), columns)
            rows = moves[0][:, None] + span
            x = self.pixels[picks[:, None, None, None], torch.arange(3)[None, :, None, None],
                            rows[:, None, :, None], columns[:, None, None, :]]
            yield normalize(x), self.labels[picks]


def _chosen(name: str, layer: nn.Module) -> bool:
    return name != "stem"


class Pacer:
    """Holds an STR training to a wanted sparsity: fixes all masks in the step that reaches it.

    Attributes:
        reached: The step; None before.
    """

    def __init__(self, handle: Sparsified, wanted: float) -> None:
        self.handle, self.wanted, self.step = handle, wanted, 0
        self.reached: int | None = None

    def after_step(self) -> None:
        """Look, after each step of the optimizer, whether the sparsity is reached."""
        self.step += 1
        if self.reached is None and self.handle.sparsity() >= self.wanted:
            self.handle.freeze(mask=True)
            self.reached = self.step


def train(
    run: Run, data: Images, *, epochs: int = EPOCHS, budget: dict[str, float] | None = None,
    decay: float | None = None, stop: bool = False,
) -> tuple[SmallResNet, dict[str, Any]]:
    """Return a model in eval mode with its zeros in place, and what was noted of the training.

    Args:
        run: What to train.
        data: Its training part is used.
        epochs: Of the whole training.
        budget: Sparsity of each layer, of a run under a budget.
        decay: Weight decay on s instead of the recipe's.
        stop: End an STR training when it reaches its sparsity: for the search of a decay.

    Raises:
        UnsupportedModel: An STR training did not reach its sparsity: its decay is too low.
    """
    torch.manual_seed(run.seed)
    generator = torch.Generator().manual_seed(run.seed)
    model = SmallResNet(n_classes=len(data.labels))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batches = Batches(data.train, data.train_labels, generator)
    steps = epochs * len(batches)
    pacer = pruning = None
    if run.method == "str":
        handle = sparsify(model, s_init=S_INIT, where=_chosen)
        decay = THRESHOLD_DECAY[int(run.percent)] if decay is None else decay
        groups = handle.parameter_groups(LR, WEIGHT_DECAY, decay)
        pacer = Pacer(handle, run.percent / 100)
        after_step: Callable[[], None] = pacer.after_step
    else:
        groups = _groups(model)
        after_step = lambda: None  # noqa: E731
        if run.method != "dense":
            pruning = MagnitudePruning(
                model, start_step=round(PRUNE[0] * steps), end_step=round(PRUNE[1] * steps),
                every=PRUNE_EVERY, where=_chosen, scope="global" if budget is None else "layer",
                **({"sparsity": run.percent / 100} if budget is None else {"budget": budget}))
            after_step = pruning.after_step
    optimize(model, batches, groups, epochs, after_step,
             lambda: stop and pacer is not None and pacer.reached is not None)
    noted: dict[str, Any] = {}
    if pacer is not None:
        if pacer.reached is None:
            raise UnsupportedModel(
                f"a sparsity of {run.percent} % within {epochs} epochs",
                f"{100 * pacer.handle.sparsity():.2f} %", where=f"{run.name}, decay {decay:g}",
                hint="a higher decay of the thresholds gets there sooner")
        noted = {"decay": decay, "reached": pacer.reached / steps}
        pacer.handle.extract()
    if pruning is not None:
        pruning.extract()
    return model.eval(), noted


def _groups(model: nn.Module) -> list[dict[str, Any]]:
    """Return weights with decay, and biases and norms without: as of an STR training."""
    parts: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for parameter in model.parameters():
        parts[parameter.ndim > 1].append(parameter)
    return [{"params": parts[True], "lr": LR, "weight_decay": WEIGHT_DECAY},
            {"params": parts[False], "lr": LR, "weight_decay": 0.0}]


def optimize(
    model: nn.Module, batches: Batches, groups: list[dict[str, Any]], epochs: int,
    after_step: Callable[[], None], stop: Callable[[], bool],
) -> None:
    """Train by SGD under OneCycle, convolutions in bfloat16."""
    optimizer = torch.optim.SGD(groups, lr=LR, momentum=MOMENTUM, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LR, total_steps=epochs * len(batches), pct_start=0.2, cycle_momentum=False)
    model.train()
    for _ in range(epochs):
        for x, y in batches:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(x)
            F.cross_entropy(logits.float(), y, label_smoothing=LABEL_SMOOTHING).backward()
            optimizer.step()
            schedule.step()
            after_step()
            if stop():
                return


@torch.no_grad()
def accuracy(model: nn.Module, pixels: Tensor, labels: Tensor) -> float:
    """Return top-1 accuracy in 0..1, in float32."""
    right = 0
    for x, y in zip(pixels.split(500), labels.split(500), strict=True):
        right += int((model(normalize(x)).argmax(1) == y).sum())
    return right / len(labels)


def search_decay(
    percent: float, data: str | os.PathLike[str] | None, *, epochs: int = EPOCHS, seed: int = 0,
    tries: int = 6, say: Callable[[str], None] = lambda text: None,
) -> tuple[float, float]:
    """Return a decay of thresholds that reaches a sparsity at about `REACH`, and when it does.

    Each try trains until the sparsity is reached. That time goes about as the inverse of the
    decay, which gives the next one. The sparsity itself is then hit to a step: see `Pacer`.

    Args:
        percent: Wanted sparsity.
        data: Folder of the data sets.
        epochs: Of the training in which the decay is to be used.
        seed: Of the tries.
        tries: At most.
        say: Called with each try's result.
    """
    every = images(None if data is None else os.fspath(data), validation=True)
    decay = 0.03 / epochs
    best = (math.inf, 0.0, 0.0)
    for _ in range(tries):
        try:
            _, noted = train(Run("str", percent, seed), every, epochs=epochs, decay=decay,
                             stop=True)
            reached = float(noted["reached"])
        except UnsupportedModel:
            reached = 1.0
        say(f"decay {decay:.3g} reached {percent:g} % after {reached:.0%} of the training")
        best = min(best, (abs(reached - REACH), decay, reached))
        if best[0] <= NEAR:
            break
        # Where it was not reached at all, nobody knows how far away it is.
        decay *= 2.0 if reached == 1.0 else reached / REACH
    return best[1:]


def named(names: Iterable[str]) -> list[Run]:
    """Return runs by name, or those whose name begins so; all of them for no name.

    Raises:
        UnsupportedModel: A name fits none.
    """
    wanted = list(names)
    for name in wanted:
        if not any(run.name.startswith(name) for run in RUNS):
            raise UnsupportedModel(f"a run such as {RUNS[1].name}", repr(name), where="RUN",
                                   hint="method and percent, -s, seed; or how it begins")
    return [run for run in RUNS if not wanted or any(run.name.startswith(n) for n in wanted)]


def train_runs(
    runs: Iterable[Run], data: str | os.PathLike[str] | None, folder: Path, *,
    processes: int = 1, say: Callable[[str], None] = lambda text: None,
) -> None:
    """Train the runs whose file is not in `folder`, several at a time, one thread each.

    Raises:
        DataError: A run under a budget is to be trained, and the run that has it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [run for run in runs if not (folder / f"{run.name}.safetensors").exists()]
    # Not forked: torch's threads do not survive that.
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for bound in (False, True):
            some = [run for run in missing if (run.method == "budget") == bound]
            for name, share in pool.map(_train_one, some, repeat(data), repeat(folder)):
                say(f"{name:<16}{share:7.2%}")


def _train_one(run: Run, data: str | os.PathLike[str] | None, folder: Path) -> tuple[str, float]:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # pruned channels leave momenta that fade for ever
    budget = None
    if run.method == "budget":
        path = folder / f"{Run('str', run.percent, run.seed).name}.safetensors"
        if not path.exists():
            raise DataError("the run whose budget this one keeps to", "nothing", where=str(path),
                            hint=f"python -m edge_sdk.zoo.str_cifar10 train {path.stem}")
        budget = sparsities(load_model(path))
    every = images(None if data is None else os.fspath(data))
    model, noted = train(run, every, budget=budget)
    save(model, folder / f"{run.name}.safetensors", run=run.name, **noted)
    return run.name, accuracy(model, every.test, every.test_labels)


def sparsities(model: nn.Module) -> dict[str, float]:
    """Return the share of zeros of each weight that may be sparse."""
    return {name: float((layer.weight == 0).double().mean())
            for name, layer in model.named_modules()
            if isinstance(layer, nn.Conv2d | nn.Linear) and _chosen(name, layer)}


def save(model: SmallResNet, path: Path, **noted: Any) -> None:
    """Write weights, and what was noted of their training."""
    save_weights(model, path, {"recipe": NAME, **{k: str(v) for k, v in noted.items()}})


def load_model(path: str | os.PathLike[str]) -> SmallResNet:
    """Return a model that `save` wrote, in eval mode, verified.

    Raises:
        CheckpointError: Absent, damaged, or not one of these.
    """
    if read_metadata(path).get("recipe") != NAME:
        raise CheckpointError(f"weights of {NAME}", "another recipe's", where=str(path),
                              hint="python -m edge_sdk.zoo.str_cifar10 train writes them")
    model = SmallResNet()
    load_weights(model, path)
    return model.eval()


def to_numpy(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return normalized images as a contiguous array, channels first."""
    array: NDArray[np.float32] = normalize(torch.from_numpy(pixels)).contiguous().numpy()
    return array
