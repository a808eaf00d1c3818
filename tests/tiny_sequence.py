"""A small FastGRNN and feature-like sequences: what a test needs of a recurrent model.

A module of its own, so that `--model tiny_sequence:model_and_sequences` finds it.
"""

from __future__ import annotations

import numpy as np
import torch

from edge_sdk.nn.fastgrnn import FastGRNNCell, FastGRNNClassifier
from edge_sdk.sequence.source import SequenceSource

N_INPUTS, N_HIDDEN, N_CLASSES = 32, 24, 10
LENGTHS = (1, 11, 12, 130, 14, 43, 57)
PREPROCESSING = {"log_mel": {"rate_hz": 8000, "n_bands": 32, "low_hz": 60.0, "floor_log2": 12}}


def model(**options) -> FastGRNNClassifier:
    """Return a classifier of random weights, always alike; `options` are the cell's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        cell = FastGRNNCell(N_INPUTS, N_HIDDEN, **{"rank_w": 6, "rank_u": 8, **options})
        made = FastGRNNClassifier(cell, N_CLASSES)
        with torch.no_grad():
            made.head.weight *= 4.0
            cell.bias_gate += torch.randn(cell.bias_gate.shape)
            made.mean.copy_(22.0 + torch.randn(N_INPUTS))
            made.scale.copy_(0.25 + 0.05 * torch.rand(N_INPUTS))
    made.labels = tuple("abcdefghij")
    made.preprocessing = PREPROCESSING
    return made.eval()


def sequences(lengths=LENGTHS, seed: int = 0) -> list[np.ndarray]:
    """Return features like those of speech: octaves around 22, spread 4, changing slowly."""
    rng = np.random.default_rng(seed)
    found = []
    for n in lengths:
        steps = rng.standard_normal((n, N_INPUTS))
        walk = 22.0 + 4.0 * (0.5 * rng.standard_normal(N_INPUTS) + 0.2 * np.cumsum(steps, 0) / 2)
        found.append((np.rint(walk.clip(12, 40) * 512) / 512).astype(np.float32))
    return found


def answers(made: FastGRNNClassifier, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (states (T, H), logits (T, C)) in eager mode."""
    with torch.no_grad():
        states = made.states(torch.from_numpy(x)[None])[0]
        return states.numpy(), made.classify(states).numpy()


def source(**options) -> SequenceSource:
    """Return the model with labelled sequences, its own answers being the right ones but one."""
    made, some = model(**options), sequences()
    targets = np.array([answers(made, x)[1][-1].argmax() for x in some], np.int64)
    targets[0] = (targets[0] + 1) % N_CLASSES
    return SequenceSource("tiny", made, some, "held-out walks", targets=targets,
                          calibration=sequences((40, 50), seed=1))


def model_and_sequences() -> tuple[FastGRNNClassifier, list[np.ndarray]]:
    """Return what the simplest factory returns."""
    return model(), sequences((14, 43))


def nan_weights() -> tuple[FastGRNNClassifier, list[np.ndarray]]:
    """Return a model with a NaN in one weight."""
    made, some = model_and_sequences()
    with torch.no_grad():
        made.cell.U1[3, 2] = float("nan")
    return made, some


def an_empty_sequence() -> tuple[FastGRNNClassifier, list[np.ndarray]]:
    """Return a model with a sequence of length 0."""
    return model(), [np.zeros((0, N_INPUTS), np.float32)]


def nan_frames() -> tuple[FastGRNNClassifier, list[np.ndarray]]:
    """Return a model with a NaN in one frame."""
    made, some = model_and_sequences()
    some[1][7, 3] = np.nan
    return made, some


def too_few_features() -> tuple[FastGRNNClassifier, list[np.ndarray]]:
    """Return a model with sequences of another width."""
    made, some = model_and_sequences()
    return made, [x[:, :31].copy() for x in some]
