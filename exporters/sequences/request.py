"""What every exporter of recurrent models is asked for, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from edge_sdk.artifact import Method, TensorSpec
from edge_sdk.errors import UnsupportedModel
from edge_sdk.exporters.request import Lowered
from edge_sdk.fastgrnn.weights import Weights

FRAMES, STATE = "x", "h"
NEXT_STATE, LOGITS = "h_next", "logits"

CHUNK = 11
"""Frames of a chunk where the engine has no loops; LiteRT takes some two steps' time for 11."""


@dataclass(frozen=True)
class SequenceRequest:
    """A classifier's weights to put into files.

    Attributes:
        weights: With a head.
        report: Called with what is being done, for a progress line.
    """

    weights: Weights
    report: Callable[[str], None] = field(default=lambda text: None)


@dataclass(frozen=True)
class File:
    """One lowered file; `methods` are what it offers, by name."""

    lowered: Lowered
    methods: dict[str, Method]


Files = Mapping[str, File]
"""Files by what their names add to the model's: "" for the main one."""


def method(weights: Weights, least: int, most: int | None, coverage: float | None = None) -> Method:
    """Return the method of every exporter, for `least` to `most` frames."""
    frames = least if least == most else -1
    state = (1, weights.n_hidden)
    return Method(
        inputs=(TensorSpec(FRAMES, (frames, weights.n_inputs), "float32"),
                TensorSpec(STATE, state, "float32")),
        outputs=(TensorSpec(NEXT_STATE, state, "float32"),
                 TensorSpec(LOGITS, (frames, weights.n_classes), "float32")),
        least=least, most=most, coverage=coverage)


def demand_head(weights: Weights) -> None:
    """Check that `weights` are of a classifier.

    Raises:
        UnsupportedModel: They are of a bare cell.
    """
    if weights.head is None:
        raise UnsupportedModel("a cell with a head", "a bare cell", where="`weights`",
                               hint="wrap it: edge_sdk.nn.fastgrnn.FastGRNNClassifier(cell, C)")
