"""The taxonomy that class codes make: average linkage over Hamming distances, and its picture.

The picture is an SVG with one drawing of every class at its leaf, written without
a plotting library, so that it is the same bytes everywhere.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.data import Dataset
from edge_sdk.nn.llc import unpack_bits

PER_ALPHABET = 6
ROW = 22
LEFT, TREE, RIGHT = 16, 620, 260
TOP = 56
COLOURS = ("#1b6ca8", "#b5541c", "#2e7d32", "#8e24aa", "#c2185b", "#00838f", "#6d4c41", "#5c6bc0")


@dataclass(frozen=True)
class Merge:
    """One step of the linkage: two clusters joined at their mean distance in bits.

    Clusters 0..n-1 are the leaves; merge i makes cluster n + i.
    """

    left: int
    right: int
    height: float


def hamming(words: NDArray[np.uint64], bits: int) -> NDArray[np.float64]:
    """Return all distances between words, (n, n), in bits."""
    codes = unpack_bits(words, bits).numpy().astype(np.float64)
    distances: NDArray[np.float64] = (bits - codes @ codes.T) / 2
    return distances


def average_linkage(distances: NDArray[np.float64]) -> list[Merge]:
    """Return the n - 1 merges of agglomerative clustering by mean distance (UPGMA).

    Of equally near pairs the one with the lowest cluster numbers is joined first.
    """
    n = len(distances)
    between = np.full((2 * n - 1, 2 * n - 1), np.inf)
    between[:n, :n] = distances
    np.fill_diagonal(between, np.inf)
    sizes = np.ones(2 * n - 1)
    merges = []
    for new in range(n, 2 * n - 1):
        a, b = np.unravel_index(between.argmin(), between.shape)
        left, right = sorted((int(a), int(b)))
        merges.append(Merge(left, right, float(between[left, right])))
        mean = (sizes[left] * between[left] + sizes[right] * between[right]) \
            / (sizes[left] + sizes[right])
        sizes[new] = sizes[left] + sizes[right]
        between[new, :], between[:, new] = mean, mean
        for gone in (left, right, new):
            between[new, gone] = between[gone, new] = np.inf
        between[[left, right], :] = np.inf
        between[:, [left, right]] = np.inf
    return merges


def leaf_order(merges: Sequence[Merge], n: int) -> list[int]:
    """Return the leaves from top to bottom, so that no two branches cross."""
    stack, order = [n + len(merges) - 1], []
    while stack:
        cluster = stack.pop()
        if cluster < n:
            order.append(cluster)
        else:
            stack += [merges[cluster - n].right, merges[cluster - n].left]
    return order


def mean_distances(words: NDArray[np.uint64], bits: int, labels: Sequence[str]) -> dict[str, float]:
    """Return mean Hamming distances in bits between pairs of classes, by what they share.

    rotations: one character turned differently. alphabet: other characters of one
    alphabet. others: different alphabets.
    """
    distances = hamming(words, bits)
    characters = np.array([label.split("@")[0] for label in labels])
    alphabets = np.array([label.split("/")[0] for label in labels])
    pairs = np.triu(np.ones(distances.shape, bool), 1)
    same_character = characters[:, None] == characters
    same_alphabet = alphabets[:, None] == alphabets
    masks = {"rotations": same_character, "alphabet": same_alphabet & ~same_character,
             "others": ~same_alphabet}
    return {name: round(float(distances[pairs & mask].mean()), 4) for name, mask in masks.items()}


def chosen_classes(labels: Sequence[str]) -> list[int]:
    """Return the picture's classes: the first six characters of every alphabet, upright."""
    taken: dict[str, int] = {}
    chosen = []
    for class_id, label in enumerate(labels):
        alphabet = label.split("/")[0]
        if label.endswith("@0") and taken.get(alphabet, 0) < PER_ALPHABET:
            taken[alphabet] = taken.get(alphabet, 0) + 1
            chosen.append(class_id)
    return chosen


def dendrogram(words: NDArray[np.uint64], bits: int, data: Dataset) -> str:
    """Return the SVG of `chosen_classes`, each leaf with its first training drawing.

    Args:
        words: Class codes, shape (n_classes,).
        bits: Their length.
        data: Omniglot, for drawings and names.
    """
    classes = chosen_classes(data.labels)
    n = len(classes)
    merges = average_linkage(hamming(words[classes], bits))
    place = {leaf: row for row, leaf in enumerate(leaf_order(merges, n))}
    tallest = max(merge.height for merge in merges)
    height = TOP + n * ROW + 40
    alphabets = sorted({data.labels[c].split("/")[0] for c in classes})
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + TREE + RIGHT}" height="{height}" '
        f'viewBox="0 0 {LEFT + TREE + RIGHT} {height}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" font-size="15">Learnt {bits}-bit class codes of Omniglot: '
        "average linkage over Hamming distances</text>",
        f'<text x="{LEFT}" y="40" fill="#555">the first {PER_ALPHABET} characters of each '
        "alphabet, upright; one colour an alphabet</text>",
        *_axis(tallest, TOP + n * ROW + 6),
        *_branches(merges, n, place, tallest),
    ]
    for leaf, class_id in enumerate(classes):
        label = data.labels[class_id].removesuffix("@0")
        colour = COLOURS[alphabets.index(label.split("/")[0]) % len(COLOURS)]
        y = TOP + place[leaf] * ROW
        drawing = data.train_images[np.flatnonzero(data.train_labels == class_id)[0], 0]
        parts.append(f'<image x="{LEFT + TREE + 6}" y="{y + 1}" width="20" height="20" '
                     f'href="data:image/png;base64,{_png(drawing)}"/>')
        parts.append(f'<text x="{LEFT + TREE + 34}" y="{y + 15}" fill="{colour}">{label}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(height: float, tallest: float) -> float:
    return LEFT + TREE * (1 - height / tallest)


def _branches(
    merges: Sequence[Merge], n: int, place: dict[int, int], tallest: float
) -> list[str]:
    middle: dict[int, float] = {leaf: TOP + (row + 0.5) * ROW for leaf, row in place.items()}
    at: dict[int, float] = dict.fromkeys(range(n), _x(0.0, tallest))
    lines = []
    for i, merge in enumerate(merges):
        x = _x(merge.height, tallest)
        top, bottom = middle[merge.left], middle[merge.right]
        lines.append(f'<path d="M{at[merge.left]:.1f} {top:.1f}H{x:.1f}V{bottom:.1f}'
                     f'H{at[merge.right]:.1f}" fill="none" stroke="#333"/>')
        middle[n + i], at[n + i] = (top + bottom) / 2, x
    return lines


def _axis(tallest: float, y: float) -> list[str]:
    parts = []
    for bits in range(0, int(tallest) + 1, 2):
        x = _x(bits, tallest)
        parts.append(f'<path d="M{x:.1f} {TOP}V{y}" stroke="#ddd"/>'
                     f'<text x="{x:.1f}" y="{y + 16}" text-anchor="middle" fill="#555">{bits}'
                     "</text>")
    parts.append(f'<text x="{LEFT + TREE + 34}" y="{y + 16}" fill="#555">mean distance in bits'
                 "</text>")
    return parts


def _png(drawing: NDArray[np.uint8]) -> str:
    from PIL import Image

    file = io.BytesIO()
    # 4 grey levels are enough for a thumbnail and keep the picture small.
    levels: Any = (255 - drawing) // 64 * 85
    Image.fromarray(levels.astype(np.uint8)).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")
