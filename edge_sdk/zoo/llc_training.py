"""Trains the runs behind `llc-omniglot`: a linear classifier, then codes that start from it.

Every phase ends in one safetensors file in the runs folder, and a phase whose
file is there is not trained again: kill it, start it again, lose one phase at most.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_sdk.checkpoint import load_weights, read_metadata, save_weights
from edge_sdk.data import Dataset
from edge_sdk.errors import CheckpointError, UnsupportedModel
from edge_sdk.nn.llc import LLCHead, codebook_loss, instance_loss, random_codebook, svd_codebook
from edge_sdk.zoo.augment import Affine

NAME = "llc-omniglot"
FEATURES = 384
HELD_OUT = ("Balinese", "Tagalog")
"""Alphabets that the out-of-distribution runs never see; named before any was trained."""

AUGMENT = Affine(rotation_rad=0.2, scale=0.15, shear=0.15, shift=0.125)
BATCH_SIZE = 128
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1
CODEBOOK_LR = 1e-2


class ConvNet(nn.Module):
    """Three convolutions and a hidden layer: images (n, 1, 32, 32) to features (n, 384).

    The hidden layer is for phase 2: bits of a code are no linear functions of what
    a linear classifier needs.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for out, stride, pool in ((32, 2, False), (64, 1, True), (96, 1, True)):
            layers += [nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False),
                       nn.BatchNorm2d(out), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if pool else []
            channels = out
        self.convolutions = nn.Sequential(*layers)
        self.project = nn.Sequential(nn.Linear(channels * 4 * 4, FEATURES),
                                     nn.BatchNorm1d(FEATURES), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        """Return features (n, 384)."""
        features: Tensor = self.project(self.convolutions(images).flatten(1))
        return features


class LinearNet(nn.Module):
    """The trunk and a linear classifier, through a real-valued bottleneck if one is asked for."""

    def __init__(self, n_classes: int, bottleneck: int | None = None) -> None:
        super().__init__()
        self.trunk = ConvNet()
        self.bottleneck = nn.Linear(FEATURES, bottleneck) if bottleneck else nn.Identity()
        self.classifier = nn.Linear(bottleneck or FEATURES, n_classes)

    def embed(self, images: Tensor) -> Tensor:
        """Return the real-valued representation, (n, bottleneck or 384)."""
        embedding: Tensor = self.bottleneck(self.trunk(images))
        return embedding

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, n_classes)."""
        logits: Tensor = self.classifier(self.embed(images))
        return logits


class LLCNet(nn.Module):
    """The trunk and an `LLCHead`: what is shipped and exported."""

    def __init__(
        self, n_classes: int, *, bits: int, prefixes: tuple[int, ...] | None = None
    ) -> None:
        super().__init__()
        self.trunk = ConvNet()
        self.head = LLCHead(FEATURES, n_classes, bits=bits, prefixes=prefixes)

    def forward(self, images: Tensor) -> Tensor:
        """Return bit scores z (n, bits); 0 and above mean bit 1."""
        scores: Tensor = self.head(self.trunk(images))
        return scores


@dataclass(frozen=True)
class Phase:
    """One training from one starting point: its loss, its epochs, its peak learning rate."""

    name: str
    epochs: int
    lr: float


LINEAR = Phase("linear", 16, 4e-3)
CODEBOOK = Phase("codebook", 16, 3e-3)
INSTANCES = Phase("instances", 80, 3e-3)
REAL = Phase("real", 16, 3e-3)
SHORT, BRIEF = (16, 48), (8, 24)
"""Epochs of phases 1 and 2 for runs that are not compared with other codebooks."""


@dataclass(frozen=True)
class Run:
    """One model of the card.

    Attributes:
        name: Its file in the runs folder.
        kind: linear (from scratch); llc (codebook learnt), svd or random (codebook
            given), each from the linear run of the same seed and classes; real (a
            real-valued bottleneck in the place of the bits).
        seed: Of initialization, order, augmentation and a random codebook.
        bits: Code length, or dims of a real bottleneck.
        prefixes: Lengths of nested codes.
        held_out: Whether the alphabets of `HELD_OUT` are left out of training.
        epochs: Of phases 1 and 2.
    """

    name: str
    kind: str
    seed: int
    bits: int = 0
    prefixes: tuple[int, ...] | None = None
    held_out: bool = False
    epochs: tuple[int, int] = (CODEBOOK.epochs, INSTANCES.epochs)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """What is trained, in this order."""
        codebook = replace(CODEBOOK, epochs=self.epochs[0])
        instances = replace(INSTANCES, epochs=self.epochs[1])
        return {"linear": (LINEAR,), "llc": (codebook, instances), "svd": (instances,),
                "random": (instances,), "real": (REAL,)}[self.kind]

    @property
    def parent(self) -> Run | None:
        """The linear run that this one starts from."""
        if self.kind == "linear":
            return None
        return Run(linear_name(self.seed, self.held_out), "linear", self.seed,
                   held_out=self.held_out)

    def build(self, n_classes: int) -> LinearNet | LLCNet:
        """Return the untrained model."""
        if self.kind in ("linear", "real"):
            return LinearNet(n_classes, self.bits or None)
        return LLCNet(n_classes, bits=self.bits, prefixes=self.prefixes)

    def file(self, runs: Path, phase: Phase) -> Path:
        """Return where a phase's weights are; the last phase's are the run's own."""
        last = phase == self.phases[-1]
        return runs / f"{self.name}{'' if last else '-' + phase.name}.safetensors"

    def model_file(self, runs: Path) -> Path:
        """Return where the finished model is."""
        return self.file(runs, self.phases[-1])


def linear_name(seed: int, held_out: bool = False) -> str:
    """Return the name of the linear run that the others of a seed start from."""
    return f"{'ood-' if held_out else ''}linear-s{seed}"


def _codes(seed: int) -> tuple[Run, ...]:
    return (Run(linear_name(seed), "linear", seed), Run(f"llc20-s{seed}", "llc", seed, 20),
            Run(f"svd20-s{seed}", "svd", seed, 20), Run(f"random20-s{seed}", "random", seed, 20))


NESTED = (16, 20, 24, 30)
RUNS: tuple[Run, ...] = (
    *_codes(0),
    Run(linear_name(0, held_out=True), "linear", 0, held_out=True),
    Run("ood-llc20-s0", "llc", 0, 20, held_out=True, epochs=SHORT),
    *_codes(1),
    Run("nested-s0", "llc", 0, NESTED[-1], NESTED, epochs=BRIEF),
    *(Run(f"llc{bits}-s0", "llc", 0, bits, epochs=BRIEF) for bits in (15, 25, 30)),
    Run("llc64-s0", "llc", 0, 64, epochs=BRIEF),
    *(Run(f"real{dims}-s0", "real", 0, dims) for dims in (8, 64)),
)
"""Every run of the card, the most important first."""


def named(names: Iterable[str]) -> list[Run]:
    """Return the runs called `names`, all of them if there are none.

    Raises:
        UnsupportedModel: There is no such run.
    """
    by_name = {run.name: run for run in RUNS}
    names = list(names)
    for name in names:
        if name not in by_name:
            raise UnsupportedModel(f"a run, one of {', '.join(by_name)}", repr(name),
                                   where="RUN", hint="names are written as listed")
    return [by_name[name] for name in names] or list(RUNS)


def restricted(data: Dataset, held_out: bool) -> Dataset:
    """Return `data` without the alphabets of `HELD_OUT` if they are to be; classes renumbered."""
    if not held_out:
        return data
    kept = np.array([label.split("/")[0] not in HELD_OUT for label in data.labels])
    new_ids = np.cumsum(kept) - 1
    train, test = kept[data.train_labels], kept[data.test_labels]
    return replace(
        data, train_images=data.train_images[train], test_images=data.test_images[test],
        train_labels=new_ids[data.train_labels[train]],
        test_labels=new_ids[data.test_labels[test]],
        labels=tuple(np.array(data.labels)[kept].tolist()),
        split=f"{data.split}, without {' and '.join(HELD_OUT)}",
    )


def train_run(
    run: Run, data: Dataset, runs: Path, *, say: Callable[[str], None] = print,
) -> Path:
    """Train the phases of `run` that have no file yet, and return the file of the last.

    Args:
        run: What to train; its parent must have been.
        data: All of Omniglot; left-out alphabets are left out here.
        runs: Folder of the files.
        say: Gets one line for every phase and for every tenth epoch.

    Raises:
        CheckpointError: The parent's file is absent, or a file belongs to another run.
    """
    data = restricted(data, run.held_out)
    torch.manual_seed(run.seed)
    model = run.build(len(data.labels))
    if run.parent is not None:
        _start_from_parent(run, model, runs)
    for phase in run.phases:
        file = run.file(runs, phase)
        if file.is_file():
            check_file(run, phase, file)
            load_weights(model, file)
            say(f"{run.name:<14} {phase.name:<10} there already")
            continue
        started = time.monotonic()
        loss = _train_phase(run, phase, model, data, say)
        seconds = time.monotonic() - started
        save_weights(model, file, {
            "recipe": NAME, "run": run.name, "phase": phase.name, "epochs": phase.epochs,
            "seed": run.seed, "seconds": round(seconds), "threads": torch.get_num_threads(),
            "torch": torch.__version__, "loss": f"{loss:.4f}",
        })
        say(f"{run.name:<14} {phase.name:<10} {phase.epochs} epochs in {seconds:.0f} s, "
            f"loss {loss:.4f}")
    return run.model_file(runs)


def check_file(run: Run, phase: Phase, file: Path) -> dict[str, str]:
    """Return the metadata of a finished phase.

    Raises:
        CheckpointError: It is of another run, phase or number of epochs.
    """
    metadata = read_metadata(file)
    wanted = {"run": run.name, "phase": phase.name, "epochs": str(phase.epochs)}
    got = {key: metadata.get(key, "nothing") for key in wanted}
    if got != wanted:
        raise CheckpointError(str(wanted), str(got), where=str(file),
                              hint="remove it, or name another --runs folder")
    return metadata


def _start_from_parent(run: Run, model: LinearNet | LLCNet, runs: Path) -> None:
    """Take the parent's trunk, and the codebook that is this kind's start."""
    assert run.parent is not None
    n_classes = (model.head.n_classes if isinstance(model, LLCNet)
                 else model.classifier.out_features)
    linear = LinearNet(n_classes)
    file = run.parent.model_file(runs)
    if not file.is_file():
        raise CheckpointError(f"the run {run.parent.name}, which {run.name} starts from", "no file",
                              where=str(file), hint=f"train {run.parent.name} first")
    load_weights(linear, file)
    model.trunk.load_state_dict(linear.trunk.state_dict())
    if isinstance(model, LinearNet):
        return
    if run.kind == "random":
        model.head.start_from(random_codebook(n_classes, run.bits, run.seed))
    else:
        model.head.start_from(*svd_codebook(linear.classifier.weight, run.bits))


def _train_phase(
    run: Run, phase: Phase, model: LinearNet | LLCNet, data: Dataset, say: Callable[[str], None]
) -> float:
    """Train `model` in place and return the mean loss of the last epoch."""
    images = torch.from_numpy(data.train_images).float().div_(data.pixel_max)
    labels = torch.from_numpy(data.train_labels)
    generator = torch.Generator().manual_seed(run.seed)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = _parameter_groups(phase, model)
    optimizer = torch.optim.AdamW(groups)
    batches = len(images) // BATCH_SIZE
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [group["lr"] for group in groups], total_steps=phase.epochs * batches)
    loss_of = _loss(phase, model)
    mean = float("nan")
    for epoch in range(phase.epochs):
        model.train()
        total = 0.0
        order = torch.randperm(len(images), generator=generator)[: batches * BATCH_SIZE]
        for batch in order.split(BATCH_SIZE):
            warped = AUGMENT(images[batch], generator)
            loss = loss_of(warped.contiguous(memory_format=torch.channels_last), labels[batch])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        mean = total / batches
        if epoch % 10 == 9:
            say(f"{run.name:<14} {phase.name:<10} epoch {epoch + 1:>2} loss {mean:.4f}")
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    model.eval()
    return mean


def _parameter_groups(phase: Phase, model: LinearNet | LLCNet) -> list[dict[str, Any]]:
    """Return AdamW's groups: the codebook learns faster, never decays, and rests in phase 2."""
    codebook = model.head.codebook if isinstance(model, LLCNet) else None
    rest = [p for p in model.parameters() if p is not codebook]
    groups: list[dict[str, Any]] = [
        {"params": rest, "lr": phase.lr, "weight_decay": WEIGHT_DECAY}]
    if codebook is not None:
        codebook.requires_grad_(phase.name == CODEBOOK.name)
        if phase.name == CODEBOOK.name:
            groups.append({"params": [codebook], "lr": CODEBOOK_LR, "weight_decay": 0.0})
    return groups


def _loss(phase: Phase, model: LinearNet | LLCNet) -> Callable[[Tensor, Tensor], Tensor]:
    def features(images: Tensor) -> Tensor:
        # bfloat16 for the convolutions; scores, losses and signs stay float32.
        with torch.autocast("cpu", torch.bfloat16):
            found: Tensor = model.trunk(images)
        return found.float()

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        if isinstance(model, LinearNet):
            logits = model.classifier(model.bottleneck(features(images)))
            return F.cross_entropy(logits, labels, label_smoothing=LABEL_SMOOTHING)
        scores = model.head(features(images))
        if phase.name == CODEBOOK.name:
            return codebook_loss(model.head, scores, labels)
        return instance_loss(scores, model.head.codebook, labels)

    return loss


def train_runs(chosen: Iterable[Run], data: Dataset, runs: Path, *,
               say: Callable[[str], None] = print) -> None:
    """Train every run that has no file yet, one after another.

    Raises:
        CheckpointError: See `train_run`.
    """
    runs.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for run in chosen:
        train_run(run, data, runs, say=say)
