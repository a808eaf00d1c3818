"""Measures a trained model: accuracy, cost and sensitivity of its granularities.

The sensitivity table lets a device or an exporter predict a Mix'n'Match without
measuring it: reducing one layer alone to a width moves the model's answers by so
many nats, and those of several layers are added. Whether that sum ranks mixes
as their accuracy does is measured here too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_sdk.data import Dataset
from edge_sdk.granularity import Granularity, named, trained_names
from edge_sdk.nn.counting import count_macs, count_parameters
from edge_sdk.nn.matformer import (
    ImageEncoder,
    extract,
    sample_widths,
    trained_widths,
    use_widths,
)
from edge_sdk.zoo.recipes import Recipe
from edge_sdk.zoo.training import normalize, predict

N_CALIBRATION = 512
N_RANDOM_MIXES = 24
MIX_SEED = 0

Accuracies = dict[int | None, float]
"""Top-1 in 0..1 by dim; the key is None where the head has no Matryoshka dims."""


def accuracies(
    model: ImageEncoder, images: Tensor, labels: Tensor, widths: Sequence[int]
) -> Accuracies:
    """Return the top-1 accuracy of `model` at `widths`, for each dim of its head.

    Args:
        model: Holds nested FFNs.
        images: Normalized, shape (n, channels, height, width).
        labels: Class ids, shape (n,).
        widths: One for each layer.

    Raises:
        GranularityError: Wrong number of widths, or one out of 1..d_ff.
    """
    with use_widths(model, widths):
        return _top1(model, predict(model, images), labels)


def calibration_images(data: Dataset, recipe: Recipe) -> Tensor:
    """Return `N_CALIBRATION` training images, without augmentation.

    They lie at even steps through the training split: data sets are sorted by
    class, so the first ones would all be of a few classes.
    """
    n = min(N_CALIBRATION, len(data.train_images))
    steps = np.arange(n) * len(data.train_images) // n
    return normalize(data.train_images[steps], recipe, data.pixel_max)


def mixes(trained: Mapping[str, Sequence[int]]) -> list[Granularity]:
    """Return a few telling Mix'n'Matches: growing, shrinking, halves, a width between."""
    names = list(trained)
    n_layers, last = len(trained["XL"]), len(names) - 1
    growing = [names[(2 * layer * last + n_layers - 1) // (2 * max(1, n_layers - 1))]
               for layer in range(n_layers)]
    half = (n_layers + 1) // 2
    wide_first = ["XL"] * half + [names[0]] * (n_layers - half)
    found = [[trained[name][layer] for layer, name in enumerate(choice)]
             for choice in (growing, growing[::-1], wide_first[::-1], wide_first)]
    if last:
        # Between the middle two: a width that no training step ever used.
        below, above = trained[names[(last - 1) // 2]], trained[names[(last - 1) // 2 + 1]]
        found.append([(low + high) // 2 for low, high in zip(below, above, strict=True)])
    granularities = {g.name: g for g in (named(widths, trained) for widths in found)}
    return [g for name, g in granularities.items() if name not in trained]


def evaluate(recipe: Recipe, data: Dataset, model: ImageEncoder) -> dict[str, Any]:
    """Return all figures of a nested model, ready for JSON.

    Accuracies are top-1 in 0..1 on the held-out split, by dim ("full" where the
    head has no dims). Parameters and multiply-accumulates (MACs) are those of the
    extracted model; MACs are for one image at the largest dim. KL divergences are
    in nats, at the largest dim, on `calibration_images`.

    Returns:
        n: Held-out images. dims: Of the head. trained, mixes: By canonical name,
        with widths, parameters, macs and accuracy. sensitivity: KL by layer and
        trained width. proxy: Random mixes with accuracy, predicted and measured KL.
    """
    test = _Split(model, normalize(data.test_images, recipe, data.pixel_max))
    calibration = _Split(model, calibration_images(data, recipe))
    labels = torch.from_numpy(data.test_labels)
    trained = trained_names(trained_widths(model))

    def measured(widths: Sequence[int]) -> dict[str, Any]:
        small = extract(model, widths)
        return {
            "widths": list(widths), "parameters": count_parameters(small),
            "macs": count_macs(small, test.images[:1]),
            "accuracy": by_name(_top1(model, test.logits(widths), labels)),
        }

    layers = sensitivity(calibration, trained)
    return {
        "n": len(labels),
        "dims": list(recipe.dims),
        "trained": {name: measured(widths) for name, widths in trained.items()},
        "mixes": {mix.name: measured(mix.widths) for mix in mixes(trained)},
        "sensitivity": {"n": len(calibration.images), "layers": layers},
        "proxy": _validate(calibration, test, labels, trained, layers),
    }


def by_name(figures: Accuracies) -> dict[str, float]:
    """Return accuracies with their keys as text, for JSON."""
    return {"full" if dim is None else str(dim): round(figure, 6)
            for dim, figure in figures.items()}


class _Split:
    """Images whose tokens are kept: the stem is the same for every width."""

    def __init__(self, model: ImageEncoder, images: Tensor, batch_size: int = 512) -> None:
        self.model, self.images = model.eval(), images
        with torch.no_grad():
            self.tokens = [model.tokens(batch) for batch in images.split(batch_size)]

    @torch.no_grad()
    def logits(self, widths: Sequence[int]) -> list[Tensor]:
        """Return logits (n, n_classes) for each dim of the head."""
        head: Any = self.model.head
        with use_widths(self.model, widths):
            parts = [self.model.encode(tokens) for tokens in self.tokens]
        embedding = torch.cat(parts)
        return head.all_dims(embedding) if hasattr(head, "all_dims") else [head(embedding)]

    def log_probabilities(self, widths: Sequence[int]) -> Tensor:
        """Return log p (n, n_classes) at the largest dim; float64, as KLs are differences."""
        return self.logits(widths)[-1].double().log_softmax(1)


def _top1(model: ImageEncoder, logits: Sequence[Tensor], labels: Tensor) -> Accuracies:
    dims = getattr(model.head, "dims", (None,))
    return {dim: float((answer.argmax(1) == labels).double().mean())
            for dim, answer in zip(dims, logits, strict=True)}


def sensitivity(
    calibration: _Split, trained: Mapping[str, Sequence[int]]
) -> list[dict[str, float]]:
    """Return for each layer {trained name: KL(p_universal || p_mix)}, mean over images.

    Only that layer is reduced to that width; all others stay XL.
    """
    universal = calibration.log_probabilities(trained["XL"])
    table = []
    for layer in range(len(trained["XL"])):
        row = {}
        for name in trained:
            widths = list(trained["XL"])
            widths[layer] = trained[name][layer]
            row[name] = 0.0 if name == "XL" else _kl(
                universal, calibration.log_probabilities(widths))
        table.append(row)
    return table


def _kl(universal: Tensor, mix: Tensor) -> float:
    return round(float((universal.exp() * (universal - mix)).sum(1).mean()), 8)


def _validate(
    calibration: _Split, test: _Split, labels: Tensor, trained: Mapping[str, Sequence[int]],
    layers: Sequence[Mapping[str, float]],
) -> dict[str, Any]:
    """Return random mixes with their accuracy beside their predicted and measured KL."""
    model = test.model
    universal = calibration.log_probabilities(trained["XL"])
    rows = []
    for mix in random_mixes(model, trained):
        kl_of_layer = [row[name] for row, name in
                       zip(layers, _names(mix.widths, trained), strict=True)]
        rows.append({
            "name": mix.name,
            "predicted_kl": round(sum(kl_of_layer), 8),
            "measured_kl": _kl(universal, calibration.log_probabilities(mix.widths)),
            "accuracy": round(list(_top1(model, test.logits(mix.widths), labels).values())[-1],
                              6),
        })
    accuracy, predicted, measured = (
        np.array([row[key] for row in rows]) for key in ("accuracy", "predicted_kl", "measured_kl"))
    return {
        "seed": MIX_SEED, "mixes": rows,
        "spearman_predicted_accuracy": spearman(-predicted, accuracy),
        "spearman_measured_accuracy": spearman(-measured, accuracy),
        "spearman_predicted_measured": spearman(predicted, measured),
    }


def random_mixes(model: ImageEncoder, trained: Mapping[str, Sequence[int]]) -> list[Granularity]:
    """Return `N_RANDOM_MIXES` different mixes of trained widths, always the same ones.

    Fewer come back only if the model has fewer layers than that many mixes need.
    """
    n_layers = len(trained["XL"])
    wanted = min(N_RANDOM_MIXES, len(trained) ** n_layers - len(trained))
    generator = torch.Generator().manual_seed(MIX_SEED)
    found: dict[str, Granularity] = {}
    while len(found) < wanted:
        mix = named(sample_widths(model, generator, per_layer=True), trained)
        if mix.name not in trained:
            found[mix.name] = mix
    return list(found.values())


def _names(widths: Sequence[int], trained: Mapping[str, Sequence[int]]) -> list[str]:
    return [next(name for name in trained if trained[name][layer] == width)
            for layer, width in enumerate(widths)]


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    """Return Spearman's rank correlation, ties at their mean rank; None if either is constant."""
    ranks = [_ranks(values) for values in (a, b)]
    if len(a) < 2 or any(np.ptp(rank) == 0 for rank in ranks):
        return None
    return round(float(np.corrcoef(ranks[0], ranks[1])[0, 1]), 4)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last: NDArray[np.float64] = np.cumsum(counts).astype(np.float64)
    return (last - (counts - 1) / 2)[inverse]
