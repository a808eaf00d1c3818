"""Measures the runs behind `llc-omniglot`: classification, retrieval, and unknown alphabets.

Decoding here compares with every class, in float64: slow, obvious, and no part of
what it measures. Shares lie in 0..1; a standard error covers the choice of images,
not of seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge_sdk.checkpoint import load_weights, model_digest
from edge_sdk.data import Dataset
from edge_sdk.nn.llc import collisions, unique_codes, unpack_bits
from edge_sdk.zoo.llc_training import (
    HELD_OUT,
    LinearNet,
    LLCNet,
    Run,
    check_file,
    restricted,
)

RETRIEVED = 1000
RADII = (0, 1, 2)
SCORED = ("llc20-s0", "llc20-s1", "svd20-s0", "svd20-s1", "random20-s0", "random20-s1", "llc30-s0")
"""Runs whose bit scores `evaluate --scores` keeps."""

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]


# --- decoding -------------------------------------------------------------------------


@dataclass(frozen=True)
class Decoded:
    """What the class codes say about n instances.

    Attributes:
        exact: Lowest class id with exactly the word of the signs, -1 if there is none (ED).
        nearest: Class id of the least Hamming distance, ties to the lowest (MHD).
        distance: That distance.
        soft: argmax over classes of z . c, ties to the lowest id; what ORD computes.
        penalty: Sum of |z| over the bits in which the soft answer's code differs
            from the signs; 0 where both agree.
    """

    exact: Ints
    nearest: Ints
    distance: Ints
    soft: Ints
    penalty: Floats


def decode(scores: Floats, words: NDArray[np.uint64], bits: int) -> Decoded:
    """Return all decodings of scores (n, bits or more) by the first `bits` of `words`."""
    z = np.asarray(scores[:, :bits], np.float64)
    codes = unpack_bits(words, bits).numpy().astype(np.float64)
    signs = np.where(z >= 0, 1.0, -1.0)
    distances = ((bits - signs @ codes.T) / 2).astype(np.int64)
    nearest = distances.argmin(1)
    distance = distances[np.arange(len(z)), nearest]
    products = z @ codes.T
    soft = products.argmax(1)
    penalty = (np.abs(z).sum(1) - products.max(1)) / 2
    return Decoded(np.where(distance == 0, nearest, -1), nearest, distance, soft,
                   np.maximum(penalty, 0.0))


def share(hits: NDArray[np.bool_]) -> dict[str, float]:
    """Return {"value", "standard_error"} of the share of True."""
    p = float(hits.mean())
    return {"value": round(p, 6), "standard_error": round(math.sqrt(p * (1 - p) / len(hits)), 6)}


def code_figures(
    scores: Floats, words: NDArray[np.uint64], bits: int, truth: Ints, labels: Sequence[str]
) -> dict[str, Any]:
    """Return top-1 by ED, MHD and ORD, and how many classes have a code of their own."""
    found = decode(scores, words, bits)
    prefix = words & np.uint64((1 << bits) - 1)
    return {
        "bits": bits,
        "ed": share(found.exact == truth), "mhd": share(found.nearest == truth),
        "ord": share(found.soft == truth),
        "bit_accuracy": round(float(_equal_bits(scores, words, bits, truth)), 6),
        "unique_codes": unique_codes(prefix),
        "collisions": [[labels[i] for i in group] for group in collisions(prefix)],
    }


def _equal_bits(scores: Floats, words: NDArray[np.uint64], bits: int, truth: Ints) -> float:
    codes = unpack_bits(words[truth], bits).numpy() >= 0
    return float(((scores[:, :bits] >= 0) == codes).mean())


# --- retrieval ------------------------------------------------------------------------


def average_precision(relevant: NDArray[np.bool_], n_relevant: int) -> Floats:
    """Return AP@R of ranked lists, (n,): sum over ranks k <= R of P(k) rel(k) / min(R, n_relevant).

    P(k) is the share of relevant items among the first k, rel(k) whether item k is.
    Items relevant but not retrieved count against it: the divisor is not the hits.

    Args:
        relevant: rel(k) of every query, shape (n, R), best first.
        n_relevant: Relevant items in the whole database.
    """
    ranks = np.arange(1, relevant.shape[1] + 1)
    precision = relevant.cumsum(1) / ranks
    found: Floats = (precision * relevant).sum(1) / min(relevant.shape[1], n_relevant)
    return found


def retrieval(
    queries: Floats, database: Floats, query_labels: Ints, labels: Ints, *, binary: bool,
    retrieved: int = RETRIEVED,
) -> dict[str, float]:
    """Return MAP@`retrieved` with its standard error over queries.

    Nearest first: by Hamming distance of the signs if `binary`, else Euclidean. The
    database is put in a random order of seed 0, and ties keep that order: sorted by
    class, as data sets are, a tie would favour its neighbours.

    Args:
        queries, database: Scores or features, (n, k) and (m, k).
        query_labels, labels: Class ids of both; each class as often in the database.
        binary: Compare signs.
        retrieved: R.
    """
    order = np.random.default_rng(0).permutation(len(database))
    database, labels = database[order], labels[order]
    if binary:
        queries, database = (np.where(x >= 0, 1.0, -1.0) for x in (queries, database))
    queries, database = queries.astype(np.float32), database.astype(np.float32)
    norms = (database**2).sum(1)
    n_relevant = int((labels == labels[0]).sum())
    found = []
    for start in range(0, len(queries), 256):
        batch = queries[start:start + 256]
        # Of equal signs the squares are equal too, so integers come out exact.
        distances = norms - 2 * batch @ database.T
        ranked = np.argsort(distances, axis=1, kind="stable")[:, :retrieved]
        relevant = labels[ranked] == query_labels[start:start + 256, None]
        found.append(average_precision(relevant, n_relevant))
    each = np.concatenate(found)
    return {"value": round(float(each.mean()), 6),
            "standard_error": round(float(each.std(ddof=1) / math.sqrt(len(each))), 6)}


# --- unknown alphabets ----------------------------------------------------------------


def auroc(inside: Floats, outside: Floats) -> dict[str, float]:
    """Return the chance that a known image scores above an unknown one, ties counting half.

    The standard error is Hanley & McNeil's (Radiology 143, 1982).
    """
    both = np.concatenate([inside, outside])
    _, inverse, counts = np.unique(both, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse]
    n, m = len(inside), len(outside)
    a = float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    variance = (a * (1 - a) + (n - 1) * (q1 - a * a) + (m - 1) * (q2 - a * a)) / (n * m)
    return {"value": round(a, 6), "standard_error": round(math.sqrt(max(variance, 0.0)), 6)}


def rejection(
    scores_in: Floats, scores_out: Floats, words: NDArray[np.uint64], bits: int,
    confidence_in: Floats, confidence_out: Floats,
) -> dict[str, Any]:
    """Return how well codes and the maximum softmax tell known from unknown images.

    Args:
        scores_in, scores_out: Bit scores of known and unknown images.
        words, bits: The class codes.
        confidence_in, confidence_out: Maximum softmax of the linear classifier on both.

    Returns:
        rules: For each Hamming radius, the known images accepted, the unknown ones
        rejected, and those that the maximum softmax rejects at the threshold which
        accepts as many known images. auroc: Of each score.
    """
    known, unknown = (decode(s, words, bits) for s in (scores_in, scores_out))
    rules = []
    for radius in RADII:
        accepted = known.distance <= radius
        # At least as many known images as the rule: the baseline gets no advantage.
        n_accepted = int(accepted.sum())
        threshold = np.sort(confidence_in)[::-1][max(0, n_accepted - 1)]
        rules.append({
            "radius": radius, "accepted_known": share(accepted),
            "rejected_unknown": share(unknown.distance > radius),
            "softmax_threshold": round(float(threshold), 6),
            "softmax_accepted_known": share(confidence_in >= threshold),
            "softmax_rejected_unknown": share(confidence_out < threshold),
        })
    return {
        "n_known": len(scores_in), "n_unknown": len(scores_out), "rules": rules,
        "auroc": {
            "penalty": auroc(-known.penalty, -unknown.penalty),
            "distance": auroc(-known.distance.astype(float), -unknown.distance.astype(float)),
            "max_softmax": auroc(confidence_in, confidence_out),
        },
    }


# --- runs -----------------------------------------------------------------------------


@torch.no_grad()
def outputs(model: nn.Module, images: NDArray[np.uint8], pixel_max: int) -> Floats:
    """Return the model's float32 answers (n, ...), computed in float32, in eval mode."""
    model.eval()
    pixels = torch.from_numpy(images).float().div_(pixel_max)
    return torch.cat([model(batch) for batch in pixels.split(512)]).numpy()


class Embedding(nn.Module):
    """A `LinearNet` without its classifier."""

    def __init__(self, model: LinearNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the real-valued representation."""
        return self.model.embed(images)


def load_run(run: Run, data: Dataset, runs: Path) -> LinearNet | LLCNet:
    """Return the finished model of `run` in eval mode.

    Raises:
        CheckpointError: Its file is absent, damaged, or another run's.
    """
    model = run.build(len(restricted(data, run.held_out).labels))
    check_file(run, run.phases[-1], run.model_file(runs))
    load_weights(model, run.model_file(runs))
    return model.eval()


def measure_run(
    run: Run, data: Dataset, runs: Path, *, scores_folder: Path | None = None
) -> dict[str, Any]:
    """Return the figures of one run on the held-out images of the classes it was trained on.

    Args:
        run: One of the finished runs.
        data: All of Omniglot.
        runs: Folder of the weights.
        scores_folder: Keeps scores, labels and codes of the runs in `SCORED` as .npz.
    """
    model = load_run(run, data, runs)
    known = restricted(data, run.held_out)
    answers = outputs(model, known.test_images, known.pixel_max)
    metadata = [check_file(run, phase, run.file(runs, phase)) for phase in run.phases]
    figures: dict[str, Any] = {
        "name": run.name, "kind": run.kind, "seed": run.seed, "bits": run.bits,
        "n": len(known.test_labels), "n_classes": len(known.labels),
        "epochs": {phase.name: phase.epochs for phase in run.phases},
        "seconds": sum(int(m["seconds"]) for m in metadata), "sha256": model_digest(model),
    }
    if isinstance(model, LinearNet):
        figures["top1"] = share(answers.argmax(1) == known.test_labels)
        if run.kind == "real":
            figures["retrieval"] = _retrieval_of(Embedding(model), known, binary=False)
        return figures
    words = model.head.words()
    figures["codes"] = [code_figures(answers, words, bits, known.test_labels, known.labels)
                        for bits in model.head.prefixes]
    if run.kind == "llc" and not run.held_out and model.head.prefixes == (run.bits,):
        figures["retrieval"] = _retrieval_of(model, known, binary=True, queries=answers)
    if scores_folder is not None and run.name in SCORED:
        scores_folder.mkdir(parents=True, exist_ok=True)
        np.savez(scores_folder / f"{run.name}.npz", scores=answers, labels=known.test_labels,
                 codes=words, bits=run.bits, prefixes=np.array(model.head.prefixes))
    return figures


def _retrieval_of(
    model: nn.Module, data: Dataset, *, binary: bool, queries: Floats | None = None
) -> dict[str, float]:
    if queries is None:
        queries = outputs(model, data.test_images, data.pixel_max)
    database = outputs(model, data.train_images, data.pixel_max)
    return retrieval(queries, database, data.test_labels, data.train_labels, binary=binary)


def measure_rejection(
    linear: Run, codes: Run, data: Dataset, runs: Path
) -> dict[str, Any]:
    """Return `rejection` of the two runs that never saw the alphabets of `HELD_OUT`.

    Known and unknown images are both of the held-out drawers.
    """
    known = restricted(data, True)
    mask = np.array([label.split("/")[0] in HELD_OUT for label in data.labels])
    unknown_images = data.test_images[mask[data.test_labels]]
    confidences, scores = [], []
    code_model = load_run(codes, data, runs)
    linear_model = load_run(linear, data, runs)
    assert isinstance(code_model, LLCNet)
    for images in (known.test_images, unknown_images):
        logits = torch.from_numpy(outputs(linear_model, images, data.pixel_max)).double()
        confidences.append(logits.softmax(1).amax(1).numpy())
        scores.append(outputs(code_model, images, data.pixel_max))
    found = rejection(scores[0], scores[1], code_model.head.words(), codes.bits, *confidences)
    return {"held_out": list(HELD_OUT), "n_classes": len(known.labels)} | found


def measure_all(
    chosen: Iterable[Run], data: Dataset, runs: Path, *, scores_folder: Path | None = None
) -> dict[str, Any]:
    """Return the figures of every run that is finished, and the names of those that are not."""
    chosen = list(chosen)
    finished = {run.name: run for run in chosen if run.model_file(runs).is_file()}
    figures: dict[str, Any] = {
        "runs": [measure_run(run, data, runs, scores_folder=scores_folder)
                 for run in finished.values()],
        "not_trained": [run.name for run in chosen if run.name not in finished],
    }
    if {"ood-linear-s0", "ood-llc20-s0"} <= finished.keys():
        figures["rejection"] = measure_rejection(
            finished["ood-linear-s0"], finished["ood-llc20-s0"], data, runs)
    return figures
