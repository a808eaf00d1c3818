"""What the runs of `fastgrnn_training` reach: in float32, in integers, and in bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edge_sdk.audio.gate import words
from edge_sdk.audio.logmel import log_mel
from edge_sdk.data import Recording
from edge_sdk.fastgrnn import FastGRNN, QuantizedWeights, Weights, from_module, quantize
from edge_sdk.fastgrnn.early import EarlyDecision
from edge_sdk.nn.fastgrnn import FastGRNNClassifier
from edge_sdk.zoo.fastgrnn_features import OFFICIAL, Spoken, split
from edge_sdk.zoo.fastgrnn_training import FRONT_END, RUNS, Run, accuracy, load_model

N_CALIBRATION = 256
EPSILON = 0.05
"""Accuracy that deciding early may cost at most, with probability 0.9 over fittings."""


def quantized(model: FastGRNNClassifier, train: list[Spoken]) -> QuantizedWeights:
    """Return the integer form, calibrated on 256 training recordings."""
    pick = np.random.default_rng(0).permutation(len(train))[:N_CALIBRATION]
    return quantize(from_module(model), features=[train[i].features.numpy() for i in pick])


def integer_accuracy(model: QuantizedWeights, spoken: list[Spoken]) -> float:
    """Return the share of recordings that the core tells right in integers, 0 to 1."""
    core = FastGRNN.build(model)
    right = [int(core.run(s.features.numpy()).argmax()) == s.digit for s in spoken]
    return float(np.mean(right))


def float_bytes(weights: Weights) -> int:
    """Return the bytes of a float32 model, zeta and nu with them."""
    return 4 * (sum(array.size for array in weights.arrays().values()) + 2)


@torch.no_grad()
def measure(run: Run, every: list[Spoken], folder: Path) -> dict[str, Any]:
    """Return what one finished run reaches on what it held out."""
    model = load_model(folder / f"{run.name}.safetensors")
    train, test = split(every, run.held_out)
    integers = quantized(model, train)
    weights = from_module(model)
    return {
        "name": run.name, "form": run.form, "held_out": run.held_out, "seed": run.seed,
        "ranks": weights.ranks, "n_hidden": weights.n_hidden, "n": len(test),
        "float32": accuracy(model, test), "integer": integer_accuracy(integers, test),
        "float32_bytes": float_bytes(weights), "integer_bytes": integers.n_bytes,
        "tanh_table_bytes": 258 if integers.has_tanh_table else 0,
    }


def early_decision(
    model: QuantizedWeights, recordings: list[Recording],
) -> tuple[EarlyDecision, dict[str, Any]]:
    """Return when to decide early, and what that does to words it was not fitted on.

    Words are cut as `edge_sdk.listen` cuts them, out of held-out recordings between
    silences: fitted on the indices 0-2 of each digit and speaker, measured on 3 and 4.
    """
    fitted, measured = ([r for r in recordings if r.index in indices]
                        for indices in ((0, 1, 2), (3, 4)))
    early = EarlyDecision.fit(*_heard(model, fitted), every=5, first=10, epsilon=EPSILON,
                              delta=0.1, data="fsdd, recordings 0-2, cut by the gate")
    logits, digits = _heard(model, measured)
    return early, {"n": len(digits), "epsilon": EPSILON, **asdict(early.apply(logits, digits))}


def _heard(
    model: QuantizedWeights, recordings: list[Recording],
) -> tuple[list[NDArray[np.float32]], NDArray[np.int64]]:
    """Return logits (T, C) of each word that the gate cuts, and digits."""
    silence = np.zeros(FRONT_END.rate_hz // 2, np.int16)
    logits, digits = [], []
    for recording in recordings:
        frames = log_mel(np.concatenate([silence, recording.samples, silence]), FRONT_END)
        for begin, end in words(frames, FRONT_END.floor_log2)[:1]:
            states = model.states(frames[begin:end])
            logits.append((model.logits(states) * 2.0**-model.logit_bits).astype(np.float32))
            digits.append(recording.digit)
    return logits, np.array(digits)


def measure_all(runs: Iterable[Run], every: list[Spoken], folder: Path) -> dict[str, Any]:
    """Return the figures of the finished runs, and the names of the others."""
    wanted = list(runs)
    done = [run for run in wanted if (folder / f"{run.name}.safetensors").exists()]
    return {"runs": [measure(run, every, folder) for run in done],
            "not_trained": [run.name for run in wanted if run not in done]}


def summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each form: means over seeds, and over speakers where one is held out.

    `spread` is the standard deviation over seeds (n - 1), None for one seed; that of unheard
    speakers is of their mean.
    """
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        groups[run["form"]].append(run)
    rows = []
    for form, members in groups.items():
        official = [r for r in members if r["held_out"] == OFFICIAL]
        speakers: dict[str, list[float]] = defaultdict(list)
        seeds: dict[int, list[float]] = defaultdict(list)
        for run in members:
            if run["held_out"] != OFFICIAL:
                speakers[run["held_out"]].append(run["float32"])
                seeds[run["seed"]].append(run["float32"])
        if not official:
            continue
        row: dict[str, Any] = {"form": form, "seeds": len(official)}
        for key in ("float32", "integer"):
            row[key] = _mean([r[key] for r in official])
            row[f"{key}_spread"] = _spread([r[key] for r in official])
        for key in ("float32_bytes", "integer_bytes"):
            row[key] = max(r[key] for r in official)
        row["ranks"] = sorted({tuple(r["ranks"]) for r in official}, key=str)
        row["n_hidden"] = official[0]["n_hidden"]
        row["speakers"] = {name: _mean(values) for name, values in sorted(speakers.items())}
        row["unheard"] = _mean(list(row["speakers"].values())) if speakers else None
        # Of seeds that have been tried on all speakers.
        whole = [_mean(values) for values in seeds.values() if len(values) == len(speakers)]
        row["unheard_spread"] = _spread(whole)
        row["unheard_seeds"] = min((len(v) for v in speakers.values()), default=0)
        rows.append(row)
    order = list(dict.fromkeys(run.form for run in RUNS))
    return sorted(rows, key=lambda row: order.index(row["form"]))


def _mean(values: list[float]) -> float:
    return float(np.mean(values))


def _spread(values: list[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
