"""Trains the runs behind `fastgrnn-digits-speech`: forms of one cell, splits and seeds.

Each run ends in one safetensors file in the runs folder; a run whose file is there is not
trained again.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_sdk.audio.logmel import LogMelConfig
from edge_sdk.checkpoint import load_weights, read_metadata, save_weights
from edge_sdk.errors import CheckpointError, UnsupportedModel
from edge_sdk.nn.fastgrnn import (
    FastGRNNCell,
    FastGRNNClassifier,
    SparseTraining,
    STRFastGRNNCell,
)
from edge_sdk.zoo.fastgrnn_features import (
    LONGEST,
    OFFICIAL,
    SPEAKERS,
    Augment,
    Augmenter,
    Spoken,
    padded,
    split,
    spoken_digits,
)

NAME = "fastgrnn-digits-speech"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FRONT_END = LogMelConfig()

BATCH_SIZE, LR, WEIGHT_DECAY, LABEL_SMOOTHING = 64, 5e-3, 1e-2, 0.05
ZETA, NU = 0.0, -2.0
"""Initial gates: with EdgeML's 1 and -4 trials of 40 epochs ended 0.3 and 2.3 points lower."""
LATE, LATE_LOSS = 0.6, 0.5
"""Frames behind this part of a word count too, by this much: they may be the last one heard."""
MIXED = 0.5
"""Share of recordings replaced by one between it and another of the same word: speakers that
nobody is. In a trial over six speakers left out, accuracy rose from 77.8 to 82.0 %."""
SEARCH = 1 / 2
"""Epochs of a search for ranks at most, as a part of those of the training behind it."""
FINE_EPOCHS, FINE_LR = 10, 1e-3
"""Fine-tuning with int8 weights."""


@dataclass(frozen=True)
class Form:
    """One form of the cell.

    Attributes:
        n_hidden: H.
        rank_w, rank_u: Preset ranks, None for whole matrices.
        learnt: Ranks are learnt under the bytes that the preset ones would take.
        kept: Fraction of the weights of W and U that sparse training keeps.
        int8: Fine-tuned with int8 weights at the end.
        epochs: Of the whole training, fine-tuning apart.
    """

    n_hidden: int
    rank_w: int | None = None
    rank_u: int | None = None
    learnt: bool = False
    kept: float | None = None
    int8: bool = False
    epochs: int = 60


FORMS: dict[str, Form] = {
    "full": Form(100),
    "preset": Form(100, 14, 18),
    "learnt": Form(100, 14, 18, learnt=True),
    "preset-small": Form(100, 8, 6),
    "learnt-small": Form(100, 8, 6, learnt=True),
    "sparse": Form(100, kept=0.3),
    "6kb": Form(84, 14, 14, int8=True, epochs=100),
    "3kb": Form(48, 10, 10, int8=True, epochs=100),
    "1.5kb": Form(28, 6, 8, int8=True, epochs=100),
}


@dataclass(frozen=True)
class Run:
    """One training: a form, what is held out, and a seed."""

    form: str
    held_out: str = OFFICIAL
    seed: int = 0

    @property
    def name(self) -> str:
        """The file's name in the runs folder."""
        return f"{self.form}-{self.held_out}-s{self.seed}"


SEEDS = range(5)
UNHEARD = ("full", "preset", "learnt", "sparse", "6kb")
"""Forms that are trained with each speaker left out too."""
RUNS = (
    *(Run(form, OFFICIAL, seed) for seed in SEEDS for form in FORMS),
    *(Run(form, speaker, seed)
      for seed in SEEDS for form in UNHEARD for speaker in SPEAKERS),
)
"""All trainings of the card."""


def named(names: Iterable[str]) -> list[Run]:
    """Return runs by name, or those whose name begins so; all of them for no name.

    Raises:
        UnsupportedModel: A name fits none.
    """
    wanted = list(names)
    for name in wanted:
        if not any(run.name.startswith(name) for run in RUNS):
            raise UnsupportedModel(f"a run such as {RUNS[0].name}", repr(name), where="RUN",
                                   hint="form-held_out-sSEED, or how it begins")
    return [run for run in RUNS if not wanted or any(run.name.startswith(n) for n in wanted)]


def train_runs(
    runs: Iterable[Run], data: str | os.PathLike[str] | None, folder: Path, *,
    processes: int = 1, say: Callable[[str], None] = lambda text: None,
) -> None:
    """Train the runs whose file is not in `folder`, several at a time, one thread each."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [run for run in runs if not (folder / f"{run.name}.safetensors").exists()]
    # Not forked: torch's threads do not survive that.
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for name, share in pool.map(_train_one, missing, repeat(data), repeat(folder)):
            say(f"{name:<28}{share:7.2%}")


def _train_one(run: Run, data: str | os.PathLike[str] | None, folder: Path) -> tuple[str, float]:
    torch.set_num_threads(1)
    every = spoken_digits(data, FRONT_END)
    heard, held_out = split(every, run.held_out)
    model = train(FORMS[run.form], heard, seed=run.seed)
    save(model, folder / f"{run.name}.safetensors", run=run.name)
    return run.name, accuracy(model, held_out)


def save(model: FastGRNNClassifier, path: Path, **more: str) -> None:
    """Write weights with what is needed to build the model again."""
    cell = model.cell
    save_weights(model, path, {
        "recipe": NAME, "n_hidden": cell.n_hidden, "rank_w": cell.rank_w, "rank_u": cell.rank_u,
        "int8": cell.quantized, "log_mel": json.dumps(asdict(FRONT_END)), **more})


def load_model(path: str | os.PathLike[str]) -> FastGRNNClassifier:
    """Return a model that `save` wrote, in eval mode, verified.

    Raises:
        CheckpointError: Absent, damaged, or not one of these.
    """
    metadata = read_metadata(path)
    try:
        ranks = [None if metadata[key] in ("None", "null") else int(metadata[key])
                 for key in ("rank_w", "rank_u")]
        cell = FastGRNNCell(FRONT_END.n_bands, int(metadata["n_hidden"]), rank_w=ranks[0],
                            rank_u=ranks[1])
        cell.quantized = metadata["int8"].lower() == "true"
        log_mel = json.loads(metadata["log_mel"])
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError("weights of a spoken-digits model", f"metadata {sorted(metadata)}",
                              where=str(path),
                              hint="python -m edge_sdk.zoo.fastgrnn train writes them") from error
    model = FastGRNNClassifier(cell, len(DIGITS))
    load_weights(model, path)
    model.labels, model.preprocessing = DIGITS, {"log_mel": log_mel}
    return model.eval()


def train(form: Form, spoken: list[Spoken], *, seed: int) -> FastGRNNClassifier:
    """Return a model of one form, in eval mode, trained on recordings.

    Args:
        form: The form.
        spoken: Training recordings.
        seed: Of weights, order and augmentation; one thread gives the same bits again.
    """
    if form.learnt:
        rank_w, rank_u = learn_ranks(form, spoken, seed=seed)
        form = replace(form, rank_w=rank_w, rank_u=rank_u, learnt=False)
    model, batches = _begin(form, spoken, seed)
    if form.kept is not None:
        schedule = SparseTraining(model.cell, form.epochs * len(batches), kept_w=form.kept,
                                  kept_u=form.kept)
        _optimize(model, batches, form.epochs, LR, after_batch=schedule.after_batch)
    else:
        _optimize(model, batches, form.epochs, LR)
    if form.int8:
        model.cell.quantized = True
        _optimize(model, batches, FINE_EPOCHS, FINE_LR)
    return model.eval()


def learn_ranks(form: Form, spoken: list[Spoken], *, seed: int) -> tuple[int, int]:
    """Return the ranks of W and U that STR finds within the bytes of the form's preset ones.

    Only the ranks are kept. The small cell cut out of the search is a poor start, for
    while its gates closed the biases made up for them: trained on for 60 epochs the small
    form reached 91.3 % on recordings 5-9 (93.7 with balanced factors), from fresh weights
    96.7 (seed 0, scratch trials).
    """
    model, batches = _begin(form, spoken, seed)
    learner = RankLearner(model, form)
    _optimize(model, batches, round(SEARCH * form.epochs), LR, learner.groups(), learner.fits)
    return learner.choose()


def _begin(form: Form, spoken: list[Spoken], seed: int) -> tuple[FastGRNNClassifier, Batches]:
    torch.manual_seed(seed)
    model = _build(form, spoken)
    return model, Batches(spoken, model, torch.Generator().manual_seed(seed))


def _build(form: Form, spoken: list[Spoken]) -> FastGRNNClassifier:
    bands = FRONT_END.n_bands
    options: dict[str, Any] = {"zeta": ZETA, "nu": NU}
    cell: FastGRNNCell
    if form.learnt:
        cell = STRFastGRNNCell(bands, form.n_hidden, rank_u=min(60, form.n_hidden), **options)
    else:
        cell = FastGRNNCell(bands, form.n_hidden, rank_w=form.rank_w, rank_u=form.rank_u, **options)
    model = FastGRNNClassifier(cell, len(DIGITS))
    frames = torch.cat([s.features for s in spoken])
    model.mean.copy_(frames.mean(0))
    model.scale.copy_(1.0 / frames.std(0))
    model.labels, model.preprocessing = DIGITS, {"log_mel": asdict(FRONT_END)}
    return model


class Batches:
    """Augmented batches of recordings of about one length, in random order."""

    def __init__(self, spoken: list[Spoken], model: FastGRNNClassifier,
                 generator: torch.Generator) -> None:
        self.features = [s.features[:LONGEST] for s in spoken]
        self.digits = torch.tensor([s.digit for s in spoken])
        self.lengths = torch.tensor([float(len(f)) for f in self.features])
        self.of_digit = {digit: [i for i, s in enumerate(spoken) if s.digit == digit]
                         for digit in {s.digit for s in spoken}}
        self.generator = generator
        self.augment = Augmenter(Augment(), FRONT_END, model.mean, generator)

    def __len__(self) -> int:
        return math.ceil(len(self.features) / BATCH_SIZE)

    def _mixed(self, item: int) -> Tensor:
        """Return a recording, or every other time one between it and another of its word."""
        features = self.features[item]
        decide, share, which = torch.rand(3, generator=self.generator).tolist()
        if decide >= MIXED:
            return features
        others = self.of_digit[int(self.digits[item])]
        other = self.features[others[int(which * len(others))]]
        other = F.interpolate(other.T[None], size=len(features), mode="linear",
                              align_corners=True)[0].T
        other = other - other.mean() + features.mean()
        mixed: Tensor = share * features + (1.0 - share) * other
        return mixed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        noise = torch.randn(len(self.features), generator=self.generator)
        order = torch.argsort(self.lengths * torch.exp(0.3 * noise))
        groups = order.split(BATCH_SIZE)
        for i in torch.randperm(len(groups), generator=self.generator).tolist():
            items, lengths = padded([self._mixed(j) for j in groups[i].tolist()],
                                    float(FRONT_END.floor_log2))
            yield *self.augment(items, lengths), self.digits[groups[i]]


def _optimize(
    model: FastGRNNClassifier, batches: Batches, epochs: int, lr: float,
    groups: list[dict[str, Any]] | None = None,
    after_batch: Callable[[], bool | None] = lambda: None,
) -> int:
    """Train for so many epochs, or until `after_batch` says True; return the epochs begun."""
    optimizer = torch.optim.AdamW(groups or model.parameters(), lr=lr, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [group["lr"] for group in optimizer.param_groups],
        total_steps=epochs * len(batches), pct_start=0.2)
    model.train()
    for epoch in range(epochs):
        for x, lengths, digits in batches:
            optimizer.zero_grad()
            loss(model, x, lengths, digits).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            if after_batch():
                return epoch + 1
    return epochs


def loss(model: FastGRNNClassifier, x: Tensor, lengths: Tensor, digits: Tensor) -> Tensor:
    """Return the cross-entropy at the last frame, and a share of that at the late ones."""
    states = model.states(x)
    t = torch.arange(x.shape[1])
    last = model.classify(states[torch.arange(len(x)), lengths - 1])
    late = (t >= (lengths * LATE)[:, None].long()) & (t < lengths[:, None])
    targets = digits[:, None].expand(-1, x.shape[1])[late]
    found: Tensor = F.cross_entropy(last, digits, label_smoothing=LABEL_SMOOTHING)
    return found + LATE_LOSS * F.cross_entropy(model.classify(states[late]), targets,
                                               label_smoothing=LABEL_SMOOTHING)


class RankLearner:
    """Soft thresholds that close gates until the open ones take the bytes of the preset ranks.

    While ranks are searched for, weight decay on the gates m and thresholds s pulls them
    shut, and the loss holds open those it needs, of W or of U. The search ends as soon as
    they fit the budget. Where time runs out before, or the last batch closed several, those
    that matter most for their bytes fill it.
    """

    DECAY = 6.0

    def __init__(self, model: FastGRNNClassifier, form: Form) -> None:
        self.cell: Any = model.cell
        self.model = model
        assert form.rank_w is not None
        assert form.rank_u is not None
        self.bytes_w = self.cell.n_inputs + form.n_hidden
        self.bytes_u = 2 * form.n_hidden
        self.budget = form.rank_w * self.bytes_w + form.rank_u * self.bytes_u

    def groups(self) -> list[dict[str, Any]]:
        """Return the optimizer's groups: gates, then thresholds, with a decay of their own."""
        gates = self.cell.gate_parameters()
        ids = {id(p) for p in gates}
        rest = [p for p in self.model.parameters() if id(p) not in ids]
        return [{"params": rest, "lr": LR},
                {"params": gates[:2], "lr": LR, "weight_decay": self.DECAY},
                {"params": gates[2:], "lr": LR, "weight_decay": self.DECAY / 10}]

    def fits(self) -> bool:
        """Return whether the open gates fit the budget."""
        w, u = self.cell.learnt_ranks()
        return int(w) * self.bytes_w + int(u) * self.bytes_u <= self.budget

    @torch.no_grad()
    def choose(self) -> tuple[int, int]:
        """Return the ranks of W and U that the learnt gates ask for, within the budget."""
        items = []
        for is_u, gate in enumerate(self.cell.gates()):
            letter = "WU"[is_u]
            first, second = getattr(self.cell, f"{letter}1"), getattr(self.cell, f"{letter}2")
            size = (self.bytes_w, self.bytes_u)[is_u]
            strength = gate.abs() * first.norm(dim=0) * second.norm(dim=1)
            items += [(float(s) / size, size, is_u) for s in strength]
        # A cell needs one rank of each at least.
        ranks, left = [1, 1], self.budget - self.bytes_w - self.bytes_u
        first = [max(item for item in items if item[2] == is_u) for is_u in (0, 1)]
        for item in sorted(items, reverse=True):
            _, size, is_u = item
            if item is not first[is_u] and size <= left:
                left -= size
                ranks[is_u] += 1
        return ranks[0], ranks[1]


@torch.no_grad()
def accuracy(model: FastGRNNClassifier, spoken: list[Spoken]) -> float:
    """Return the share of recordings told right from their last frame, 0 to 1."""
    x, lengths = padded([s.features for s in spoken], float(FRONT_END.floor_log2))
    digits = torch.tensor([s.digit for s in spoken])
    return float((model(x, lengths).argmax(1) == digits).double().mean())
