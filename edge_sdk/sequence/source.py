"""What is exported of the recurrent kind: a classifier with whole real sequences."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import DataError, ShapeError, UnsupportedModel
from edge_sdk.source import (
    SPARSE_ZOO,
    Source,
    call_factory,
    find_source,
    from_made,
    no_dims,
    require_torch,
)

if TYPE_CHECKING:
    from edge_sdk.fastgrnn.weights import Weights
    from edge_sdk.nn.fastgrnn import FastGRNNClassifier

Floats = NDArray[np.float32]

SPEECH = "fastgrnn-digits-speech"
N_SYNTHETIC = 16


@dataclass
class SequenceSource:
    """A recurrent classifier and what is known of it.

    Attributes:
        name: Zoo name or module:factory.
        model: In eval mode, its labels and preprocessing set.
        sequences: Features as they come, before normalization: (T, D) float32 each.
        inputs_are: What they are, in words.
        targets: Class ids (n,) if the sequences are labelled.
        calibration: Sequences to choose int8's ranges by; never the held-out ones.
        synthetic: The sequences are noise: they prove fp32 arithmetic, but not int8.
    """

    name: str
    model: FastGRNNClassifier
    sequences: list[Floats]
    inputs_are: str
    targets: NDArray[np.int64] | None = None
    calibration: list[Floats] = field(default_factory=list)
    synthetic: bool = False

    def __post_init__(self) -> None:
        if not self.sequences:
            raise ShapeError("one sequence or more", "none", where=self.name,
                             hint="pass real features: they prove the file")
        for sequence in (*self.sequences, *self.calibration):
            _demand_frames(sequence, self.model.cell.n_inputs)

    def weights(self) -> Weights:
        """Return the model's weights as arrays.

        Raises:
            CheckpointError: One is NaN or infinite.
        """
        from edge_sdk.fastgrnn.weights import from_module

        return from_module(self.model)


def find(
    model: str, *, checkpoint: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None, dim: int | None = None, n_cases: int | None = None,
) -> Source | SequenceSource:
    """Return the model of either kind that a command line names.

    Args:
        model: A zoo name, or module:factory; a factory of this kind returns a
            `SequenceSource`, or (FastGRNNClassifier, a list of sequences (T, D)).
        checkpoint, data, dim, n_cases: As `edge_sdk.source.find_source` has them; there is
            no `dim` of a recurrent model.

    Raises:
        UnsupportedModel: No such zoo model or factory.
        CheckpointError: The checkpoint does not fit.
    """
    require_torch()
    if model == SPEECH:
        _refuse_dim(model, dim)
        return _from_zoo(checkpoint, data, n_cases)
    if ":" not in model:
        from edge_sdk import zoo

        if model not in (*zoo.names(), SPARSE_ZOO):
            known = ", ".join(dict.fromkeys((*zoo.names(), SPARSE_ZOO, SPEECH)))
            raise UnsupportedModel(
                f"one of {known}, or module:factory", repr(model), where="--model",
                hint="module:factory names a function of yours")
        return find_source(model, checkpoint=checkpoint, data=data, dim=dim, n_cases=n_cases)
    made = call_factory(model)
    if is_classifier(made[0] if isinstance(made, tuple) and len(made) == 2 else None):
        made = from_sample(model, *made)
    if not isinstance(made, SequenceSource):
        return from_made(model, made, checkpoint, dim)
    _refuse_dim(model, dim)
    if checkpoint is not None:
        from edge_sdk.checkpoint import load_weights

        load_weights(made.model, checkpoint)
    made.model.eval()
    return made


def is_classifier(model: Any) -> bool:
    """Return whether `model` is a recurrent classifier that can be exported."""
    from edge_sdk.nn.fastgrnn import FastGRNNClassifier

    return isinstance(model, FastGRNNClassifier)


def from_sample(name: str, model: FastGRNNClassifier, sample: Any) -> SequenceSource:
    """Return a source of the given sequences.

    Args:
        name: For messages and metadata.
        model: Put in eval mode.
        sample: Arrays or tensors (T, D): a list, or one alone.
    """
    sequences = [sample] if hasattr(sample, "ndim") else list(sample)
    arrays = [each.detach().cpu().numpy() if hasattr(each, "detach") else each
              for each in sequences]
    model.eval()
    return SequenceSource(name, model, arrays, f"{len(arrays)} given sequence(s)")


def _refuse_dim(name: str, dim: int | None) -> None:
    if dim is not None:
        raise no_dims(name)


def _demand_frames(sequence: Any, n_inputs: int) -> None:
    words = f"frames (T >= 1, {n_inputs}), float32, finite"
    if not isinstance(sequence, np.ndarray):
        raise ShapeError(words, type(sequence).__name__, where="`sequences`",
                         hint="a list of arrays, one for each sequence")
    if sequence.dtype != np.float32 or sequence.ndim != 2 or len(sequence) == 0 or \
            sequence.shape[1] != n_inputs:
        raise ShapeError(words, f"{sequence.dtype} {list(sequence.shape)}", where="`sequences`",
                         hint="a sequence of length 0 has no answer")
    if not np.isfinite(sequence).all():
        raise ShapeError(words, "NaN or infinity", where="`sequences`",
                         hint="look where the features come from")


# --- the zoo ----------------------------------------------------------------------------


def _from_zoo(
    checkpoint: str | os.PathLike[str] | None, data: str | os.PathLike[str] | None,
    n_cases: int | None,
) -> SequenceSource:
    from edge_sdk.audio.logmel import LogMelConfig
    from edge_sdk.zoo.fastgrnn import load
    from edge_sdk.zoo.fastgrnn_evaluate import N_CALIBRATION
    from edge_sdk.zoo.fastgrnn_features import OFFICIAL, split, spoken_digits

    model = load(None if checkpoint is None else Path(checkpoint))
    try:
        every = spoken_digits(data, LogMelConfig(**model.preprocessing["log_mel"]))
    except DataError:
        if data is not None:
            raise
        return SequenceSource(SPEECH, model, _noise(model),
                              "synthetic noise (no data folder: pass --data)", synthetic=True)
    train, held_out = split(every, OFFICIAL)
    pick = np.arange(len(held_out))
    if n_cases is not None and n_cases < len(pick):
        pick = np.sort(np.random.default_rng(0).permutation(len(pick))[:n_cases])
    # The recordings by which the card's integers are calibrated: int8 C is then that model.
    some = np.random.default_rng(0).permutation(len(train))[:N_CALIBRATION]
    return SequenceSource(
        SPEECH, model, [held_out[i].features.numpy() for i in pick],
        "held-out fsdd (official: recordings 0-4 of each)",
        targets=np.array([held_out[i].digit for i in pick], np.int64),
        calibration=[train[i].features.numpy() for i in some])


def _noise(model: FastGRNNClassifier) -> list[Floats]:
    """Return noise of the mean and spread that the model normalizes away, 14 to 130 frames."""
    rng = np.random.default_rng(0)
    mean, scale = model.mean.numpy(), model.scale.numpy()
    lengths: Sequence[int] = rng.integers(14, 131, N_SYNTHETIC).tolist()
    return [(mean + rng.standard_normal((n, mean.size)) / scale).astype(np.float32)
            for n in lengths]
