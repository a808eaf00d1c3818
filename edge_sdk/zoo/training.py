"""Trains a recipe, nested or at one fixed width; resumable at every epoch.

Nested training takes, on each batch, the universal model, the smallest width,
and one width between (the sandwich rule of Yu & Huang, "Universally Slimmable
Networks", 2019, arXiv:1903.05134); the smaller two learn from the labels and
from the universal model's own output. The stem is shared by all three passes,
for width plays no part in it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_sdk.data import Dataset
from edge_sdk.errors import CheckpointError
from edge_sdk.nn.matformer import (
    ImageEncoder,
    nested_ffns,
    sample_widths,
    trained_widths,
    use_widths,
)
from edge_sdk.nn.mrl import mrl_loss
from edge_sdk.zoo.recipes import Recipe


@dataclass(frozen=True)
class Progress:
    """What a progress bar shows: epochs done of how many, and the last mean loss."""

    epoch: int
    epochs: int
    loss: float


def normalize(images: NDArray[np.uint8], recipe: Recipe, pixel_max: int) -> Tensor:
    """Return float32 images, (pixel / pixel_max - mean) / std."""
    scaled = torch.from_numpy(images).float().div_(pixel_max)
    return scaled.sub_(recipe.mean).div_(recipe.std)


def train(
    recipe: Recipe, data: Dataset, *, seed: int = 0, width: str | None = None,
    epochs: int | None = None, checkpoint: Path | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> ImageEncoder:
    """Train `recipe` on the training split and return the model in eval mode.

    One machine, one seed and one number of threads give the same weights, also
    when the training was killed and resumed from `checkpoint`.

    Args:
        recipe: What to train.
        data: Its data set.
        seed: Of initialization, order, augmentation and sampled widths.
        width: Train this granularity (S, M, L) alone, without nesting: the
            independent peer. None trains the nested model.
        epochs: Instead of the recipe's.
        checkpoint: File to resume from and to write after every epoch.
        report: Called after every epoch.

    Raises:
        CheckpointError: `checkpoint` belongs to another training.
    """
    run = _Run(recipe, data, seed, width, epochs or recipe.epochs)
    if checkpoint is not None and checkpoint.exists():
        run.load(checkpoint)
        report(Progress(run.epoch, run.epochs, math.nan))
    while run.epoch < run.epochs:
        loss = run.train_epoch()
        if checkpoint is not None:
            run.save(checkpoint)
        report(Progress(run.epoch, run.epochs, loss))
    return run.model.cpu().eval()


def independent(model: ImageEncoder, width: str) -> ImageEncoder:
    """Return `model` with each FFN cut to the width named, and only that one trained."""
    index = ("S", "M", "L", "XL").index(width)
    for name, found in nested_ffns(model).items():
        ffn: Any = found
        w = ffn.widths[index]
        alone = type(ffn)(nn.Linear(ffn.up.in_features, w), ffn.activation,
                          nn.Linear(w, ffn.down.out_features), widths=[w])
        model.set_submodule(name, alone)
    return model


class _Run:
    """The state of one training: everything that a resumed one needs again."""

    def __init__(self, recipe: Recipe, data: Dataset, seed: int, width: str | None,
                 epochs: int) -> None:
        torch.manual_seed(seed)
        self.recipe, self.epochs, self.epoch = recipe, epochs, 0
        self.identity = f"{recipe.name} width={width} seed={seed} epochs={epochs}"
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = recipe.build()
        self.model = (model if width is None else independent(model, width)).to(self.device)
        self.nested = width is None
        # Convolutions alone gain from it: 3.7 times faster on CIFAR-10's stem; a body
        # of d_model 128 is slower in bfloat16.
        self.layout = torch.channels_last if recipe.bfloat16_stem else torch.contiguous_format
        stem: Any = self.model.stem
        stem.to(memory_format=self.layout)
        self.images = normalize(data.train_images, recipe, data.pixel_max).to(self.device)
        self.labels = torch.from_numpy(data.train_labels).to(self.device)
        self.generator = torch.Generator().manual_seed(seed)
        self.batches = len(self.images) // recipe.batch_size
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=recipe.lr,
                                           weight_decay=recipe.weight_decay)
        self.cycles = recipe.cycles(epochs)
        self.schedule = self._schedule()

    def _schedule(self) -> torch.optim.lr_scheduler.OneCycleLR:
        """Return a schedule at the start of the cycle that the current epoch is in."""
        start, end, lr = next(c for c in reversed(self.cycles) if c[0] <= self.epoch)
        return torch.optim.lr_scheduler.OneCycleLR(self.optimizer, lr,
                                                   total_steps=(end - start) * self.batches)

    def train_epoch(self) -> float:
        """Train one epoch and return the mean loss of the universal model."""
        self.model.train()
        if self.epoch in [start for start, _, _ in self.cycles]:
            self.schedule = self._schedule()
        order = torch.randperm(len(self.images), generator=self.generator)
        total = 0.0
        used = order[: self.batches * self.recipe.batch_size]
        for batch in used.to(self.device).split(self.recipe.batch_size):
            images = self.recipe.augment(self.images[batch], self.generator)
            self.optimizer.zero_grad(set_to_none=True)
            loss, universal = self._loss(images, self.labels[batch])
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.schedule.step()
            total += universal
        self.epoch += 1
        return total / self.batches

    def _loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, float]:
        n_classes = getattr(self.model.head, "n_classes", 10)
        smooth = self.recipe.label_smoothing
        target = F.one_hot(labels, n_classes).float() * (1 - smooth) + smooth / n_classes
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bfloat16_stem):
            tokens = self.model.tokens(images.contiguous(memory_format=self.layout)).float()
        logits = self._logits(tokens)
        loss = mrl_loss(logits, target, weights=[1 / len(logits)] * len(logits))
        universal = loss.item()
        if self.nested:
            soft = logits[-1].detach().softmax(1)
            target = target.lerp(soft, self.recipe.distill)
            smallest = [widths[0] for widths in trained_widths(self.model)]
            between = sample_widths(self.model, self.generator, indices=(1, 2))
            for widths in (smallest, between):
                with use_widths(self.model, widths):
                    logits = self._logits(tokens)
                loss = loss + mrl_loss(logits, target, weights=[1 / len(logits)] * len(logits))
        return loss, universal

    def _logits(self, tokens: Tensor) -> list[Tensor]:
        embedding = self.model.encode(tokens)
        head: Any = self.model.head
        return head.all_dims(embedding) if hasattr(head, "all_dims") else [head(embedding)]

    def save(self, path: Path) -> None:
        """Write the state beside `path` and move it there: a kill leaves the old one whole."""
        state = {
            "identity": self.identity, "epoch": self.epoch, "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
        }
        partial = path.with_suffix(path.suffix + ".partial")
        torch.save(state, partial)
        os.replace(partial, path)

    def load(self, path: Path) -> None:
        """Continue from `path`.

        Raises:
            CheckpointError: It was written by a training with other settings.
        """
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        if state["identity"] != self.identity:
            raise CheckpointError(f"a checkpoint of {self.identity}", state["identity"],
                                  where=str(path), hint="remove it, or name another --checkpoint")
        self.epoch = state["epoch"]
        self.model.load_state_dict(state["model"])
        # Before the optimizer: a new schedule writes its own rates into it.
        self.schedule = self._schedule()
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["generator"].cpu())


@torch.no_grad()
def predict(model: ImageEncoder, images: Tensor, *, batch_size: int = 512) -> list[Tensor]:
    """Return logits (n, n_classes) for each dim of the head at the current widths."""
    model.eval()
    parts = []
    head: Any = model.head
    for batch in images.split(batch_size):
        embedding = model.embed(batch)
        parts.append(head.all_dims(embedding) if hasattr(head, "all_dims") else [head(embedding)])
    return [torch.cat(column) for column in zip(*parts, strict=True)]
