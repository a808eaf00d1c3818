"""The card of `matvit-omniglot-codes`: measured on held-out and unknown images, then rendered.

The Markdown comes from the JSON alone, words included. Decoding here compares with
every class, in float64 (`llc_evaluate.decode`). Shares lie in 0..1; a standard error
covers the choice of images, not of seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk import zoo
from edge_sdk.data import Dataset
from edge_sdk.errors import DataError

if TYPE_CHECKING:
    from edge_sdk.zoo.matvit_codes import MatvitCodes

RADII = (0, 1, 2, 3)
N_UNKNOWN, N_SUBSET = 2000, 200
SEED = 0
"""Of the noise."""

OMNIGLOT_LIMITS = (
    "- Unseen alphabets are not measured: the trunk was trained on all of these classes, so",
    "  for it there are none. `llc-omniglot` has such figures, with a trunk of its own.",
    "- MNIST, CIFAR-10 and noise stand in for unknown inputs. Characters of other alphabets",
    "  are nearer to Omniglot than these, and likely harder to reject. A digit may also look",
    "  like a letter of Omniglot: not every accepted one is an error.",
)

Floats = NDArray[np.floating[Any]]
Card = Mapping[str, Any]


# --- measuring ------------------------------------------------------------------------


def unknown_images(data: Path | None) -> dict[str, NDArray[np.uint8]]:
    """Return `N_UNKNOWN` images (n, 1, 32, 32) of each set that is no character of Omniglot.

    Held-out MNIST digits enlarged from 28x28 (bilinear, bright ink as in Omniglot),
    held-out CIFAR-10 pictures in grey (ITU-R BT.601), both at even steps, and noise.

    Raises:
        DataError: A data set is absent.
    """
    from PIL import Image

    from edge_sdk.data import cifar10, data_root

    path = data_root(data) / "mnist" / "mnist_test.npz"
    if not path.is_file():
        raise DataError("MNIST's test split", "nothing", where=str(path),
                        hint="an .npz with x, uint8, (10000, 28, 28)")
    with np.load(path) as archive:
        digits = _even(archive["x"], N_UNKNOWN)
    large = [Image.fromarray(x).resize((32, 32), Image.Resampling.BILINEAR) for x in digits]
    pictures = _even(cifar10(data).test_images, N_UNKNOWN)
    grey = np.einsum("nchw,c->nhw", pictures, [0.299, 0.587, 0.114]).round().astype(np.uint8)
    noise = np.random.default_rng(SEED).integers(0, 256, (N_UNKNOWN, 32, 32), np.uint8)
    sets = {"mnist": np.stack([np.asarray(x) for x in large]), "cifar10 grey": grey, "noise": noise}
    return {name: images[:, None] for name, images in sets.items()}


def _even(array: NDArray[Any], n: int) -> NDArray[Any]:
    return array[np.arange(n) * len(array) // n]


def measure(
    codes: MatvitCodes, data: Dataset, unknown: Mapping[str, NDArray[np.uint8]],
    matrix: MatvitCodes | None = None, *, trunk: zoo.Reference | None = None,
) -> dict[str, Any]:
    """Return the figures of `codes` on the held-out images and on `unknown` ones.

    Args:
        codes: What is measured, on the shipped trunk.
        data: The trunk's data set.
        unknown: Sets of images of the data set's shape, 0..255, that are of no class.
        matrix: Codes with a projection alone, whose classification alone is measured.
        trunk: Whose codes they are; `matvit-omniglot` by default.
    """
    import torch

    from edge_sdk.granularity import TRAINED_NAMES
    from edge_sdk.nn.llc import pack_bits
    from edge_sdk.zoo.llc_evaluate import code_figures
    from edge_sdk.zoo.matvit_codes import TRUNK
    from edge_sdk.zoo.matvit_codes_training import embeddings
    from edge_sdk.zoo.training import normalize

    trunk = trunk or zoo.load(TRUNK)
    truth, bits = data.test_labels, codes.codebook.shape[1]
    with torch.no_grad():  # of each granularity, embeddings and the trunk's probabilities
        known, *away = ([(e.numpy(), trunk.model.head(e).double().softmax(1).numpy())
                         for e in embeddings(trunk.model, normalize(images, trunk.recipe,
                                                                    data.pixel_max))]
                        for images in (data.test_images, *unknown.values()))

    def figures(of: MatvitCodes, i: int) -> dict[str, Any]:
        return code_figures(of.scores(known[i][0]), pack_bits(of.codebook), bits, truth,
                            data.labels)

    rows, words = {}, pack_bits(codes.codebook)
    for i, name in enumerate(TRAINED_NAMES):
        sides = [(codes.scores(e), p) for e, p in (known[i], *(x[i] for x in away))]
        rows[name] = figures(codes, i) | _against_unknown(
            words, truth, sides[0], dict(zip(unknown, sides[1:], strict=True)))
    same = {key: rows["XL"][key] for key in ("bits", "unique_codes", "collisions")}
    beside = {} if matrix is None else {"matrix": {
        "shipped": False, "parameters": matrix.n_parameters,
        "granularities": {name: figures(matrix, i) for i, name in enumerate(TRAINED_NAMES)}}}
    return {"n": len(truth), "n_subset": N_SUBSET, **same, "granularities": rows,
            "n_unknown": {name: len(x) for name, x in unknown.items()}, **beside}


def _against_unknown(words: NDArray[np.uint64], truth: NDArray[np.int64], known: tuple[Floats, ...],
                     away: Mapping[str, tuple[Floats, ...]]) -> dict[str, Any]:
    """Return what each radius accepts; each side is bit scores and the trunk's probabilities."""
    from edge_sdk.zoo.llc_evaluate import decode, share

    bits = known[0].shape[1]
    found, confidence = decode(known[0], words, bits), known[1].max(1)
    hits = {"ed": found.exact, "mhd": found.nearest, "ord": found.soft}
    distances = {name: decode(scores, words, bits).distance for name, (scores, _) in away.items()}
    rules: list[dict[str, Any]] = []
    for radius in RADII:
        accepted = found.distance <= radius
        # The softmax accepts as many known images, so that only rejection is compared.
        threshold = np.sort(confidence)[::-1][max(0, int(accepted.sum()) - 1)]
        rules.append({
            "radius": radius, "accepted_known": share(accepted),
            "right_among_accepted": share((found.nearest == truth)[accepted]),
            "rejected": {name: share(d > radius) for name, d in distances.items()},
            "softmax_rejected": {name: share(p.max(1) < threshold)
                                 for name, (_, p) in away.items()},
        })
    subset = _even(np.arange(len(truth)), N_SUBSET)
    # Where all inputs look alike to the trunk, their number says nothing.
    distinct = {name: len(np.unique(scores >= 0, axis=0)) for name, (scores, _) in away.items()}
    return {"classifier": share(known[1].argmax(1) == truth), "rules": rules,
            "distinct_words": distinct,
            "subset_hits": {key: int((ids == truth)[subset].sum()) for key, ids in hits.items()}}


# --- the card -------------------------------------------------------------------------


def render(card: Card) -> str:
    """Return the card as Markdown."""
    return "\n".join([*_head(card), *_codes(card), *_matrix(card), *_unknown(card),
                      *_limits(card), *_made(card)]) + "\n"


def _cells(*cells: object) -> str:
    from edge_sdk.zoo.llc_card import percent

    return f"| {' | '.join(percent(c) if isinstance(c, Mapping) else str(c) for c in cells)} |"


def _head(card: Card) -> list[str]:
    data, trunk, weights = card["data"], card["trunk"], card["weights"]
    (hidden, d), (bits, _) = weights["layers"]
    return [
        f"# {card['name']}", "",
        f"A {card['bits']}-bit code for each of the {card['n_classes']} classes of "
        f"`{trunk['name']}`, and the two layers", "that map its embedding to bit scores: "
        f"{d} -> {hidden}, ReLU, {hidden} -> {bits}. The trunk is frozen;",
        "S, M, L and XL share layers and codes.", "",
        f"- data: {data['name']}, license {data['license']}; {data['split']}",
        f"- weights: `{weights['file']}`, {weights['bytes']:,} bytes, {weights['parameters']:,} "
        f"parameters and the", f"  codebook; sha256 `{weights['sha256']}`",
        f"- for an image: {d * hidden + hidden * bits:,} multiply-accumulates beyond the trunk's",
        f"- trunk: sha256 `{trunk['sha256']}`", "",
    ]


def _codes(card: Card) -> list[str]:
    return [
        "## Codes", "",
        f"Top-1 in % on the {card['n']:,} held-out images, ± standard error over images.",
        "Classifier: the trunk's own. ED: the signs are the class's code. MHD: least Hamming",
        "distance. ORD: argmax of z · c. Ties go to the lowest class id. Bits: share of bits equal",
        "to the class's.", "",
        _cells("granularity", "classifier", "ED", "MHD", "ORD", "bits"), "|" + "---|" * 6,
        *(_cells(name, *(row[key] for key in ("classifier", "ed", "mhd", "ord")),
                 f"{100 * row['bit_accuracy']:.1f}")
          for name, row in card["granularities"].items()), "",
        f"- unique codes: {card['unique_codes']} of {card['n_classes']}",
        *(f"- one code: {', '.join(group)}" for group in card["collisions"]), "",
    ]


def _matrix(card: Card) -> list[str]:
    if "matrix" not in card:
        return []
    beside, ours = card["matrix"], card["granularities"]
    rows = beside["granularities"]
    gains = {key: [100 * (ours[name][key]["value"] - row[key]["value"])
                   for name, row in rows.items()] for key in ("ed", "mhd", "ord")}
    told = ", ".join(f"{key.upper()} {min(gain):+.1f} to {max(gain):+.1f}"
                     for key, gain in gains.items())
    return [
        "### Without the hidden layer", "",
        f"Measured beside and **not shipped**: one matrix from embedding to bit scores, "
        f"{beside['parameters']:,}", "parameters, with a codebook and learning rates of its own.",
        "",
        _cells("granularity", "unique codes", "ED", "MHD", "ORD"), "|" + "---|" * 5,
        *(_cells(name, *(row[key] for key in ("unique_codes", "ed", "mhd", "ord")))
          for name, row in rows.items()), "",
        f"The hidden layer gains, in points: {told}.",
        "The trunk learnt this embedding for a linear classifier; the bits of a code are no linear",
        "functions of it. That is why the hidden layer is shipped.", "",
    ]


def _unknown(card: Card) -> list[str]:
    sets, rows = card["n_unknown"], card["granularities"]
    return [
        "## Unknown inputs", "",
        "In %. An image is accepted if its signs are within the radius of a class's code; radius 0",
        "is the rule \"exact word known\". Softmax: the trunk's greatest probability reaches the",
        "threshold that accepts as many known images. Known: the held-out images. Unknown:",
        ", ".join(f"{n:,} {name}" for name, n in sets.items()) + ".", "",
        _cells("granularity", "radius", "known accepted", "right of these, MHD",
               *(f"{name} rejected{by}" for name in sets for by in ("", ", softmax"))),
        "|" + "---|" * (4 + 2 * len(sets)),
        *(_cells(name, rule["radius"], rule["accepted_known"], rule["right_among_accepted"],
                 *(rule[by][x] for x in sets for by in ("rejected", "softmax_rejected")))
          for name, row in rows.items() for rule in row["rules"]), "",
        *_verdict(card), "",
        "Different words among the unknown images; where there are few, the standard error "
        "means little:", "", _cells("granularity", *sets), "|" + "---|" * (1 + len(sets)),
        *(_cells(name, *(row["distinct_words"][x] for x in sets)) for name, row in rows.items()),
        "",
    ]


def _verdict(card: Card) -> list[str]:
    """Say of each set how often the codes reject more than the softmax, and how often fewer."""
    lines, wins, losses = [], 0, 0
    for name in card["n_unknown"]:
        pairs = [(rule["radius"], rule["rejected"][name]["value"],
                  rule["softmax_rejected"][name]["value"])
                 for row in card["granularities"].values() for rule in row["rules"]]
        more, fewer = ([r for r, a, b in pairs if a > b], [r for r, a, b in pairs if a < b])
        wins, losses = wins + len(more), losses + len(fewer)
        lines.append(f"- {name}: more{_at(more)}, fewer{_at(fewer)}, "
                     f"as many in {len(pairs) - len(more) - len(fewer)}")
    total = sum(len(row["rules"]) for row in card["granularities"].values()) * len(lines)
    return [f"The codes reject more than the softmax in {wins} of these {total} comparisons and "
            f"fewer in {losses}:", "", *lines, "",
            "**To tell unknown inputs, the greatest softmax probability is the better rule here.**"
            if losses > wins else
            "Where the codes reject more, they are the better rule, on these sets alone."]


def _at(radii: list[int]) -> str:
    if not radii:
        return " in none"
    return f" in {len(radii)} (radius {', '.join(str(r) for r in sorted(set(radii)))})"


def _limits(card: Card) -> list[str]:
    return [
        "## Limits", "",
        *card.get("limits", OMNIGLOT_LIMITS),
        "- Hyper-parameters were chosen in trials read on this held-out split: the top-1 figures",
        "  are slightly optimistic. No epoch was chosen, and nothing by unknown inputs.",
        f"- One seed ({card['recipe']['seed']}); a standard error covers the choice of images.", "",
    ]


def _made(card: Card) -> list[str]:
    recipe, made = card["recipe"], card["environment"]
    seconds = made["seconds"]
    matrix = f", the matrix {seconds['matrix']} s" if "matrix" in seconds else ""
    return [
        "## Made by", "",
        f"{recipe['passes']} augmented passes over the training images, embedded at each "
        "granularity; phase 1 of", f"{recipe['codebook_epochs']} epochs; {recipe['rounds']} round"
        f"{'' if recipe['rounds'] == 1 else 's'} "
        f"of turning class bits ({recipe['bits_turned']} in all) and {recipe['round_epochs']} "
        "epochs of phase 2.", "An epoch is as many views as there are training images.", "",
        f"torch {made['torch']}, {made['threads']} thread(s), {made['device']}: embedding "
        f"{seconds['embedding']} s, training {seconds['shipped']} s{matrix}.", "",
        "```", *card["commands"], "```",
    ]
