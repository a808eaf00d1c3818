"""Proves a file of a recurrent model against the model in eager mode, on whole sequences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.artifact import Accuracy, Comparison, Golden, Metadata, pack_array
from edge_sdk.engines.process import Outputs, join
from edge_sdk.errors import CheckpointError, ComparisonError
from edge_sdk.prove import Limits, compare
from edge_sdk.sequence.source import SequenceSource

LIMITS = Limits(max_difference=1e-5)

GOLDEN_LIMIT = 1e-4
N_GOLDEN, GOLDEN_FRAMES = 2, 34
"""Three chunks of 11 and a single frame."""


def eager(source: SequenceSource) -> dict[str, NDArray[Any]]:
    """Return what the model answers: "logits" (n, C), "frames" (sum of T, C), "state" (n, H).

    Raises:
        CheckpointError: One of them is NaN or infinite.
    """
    import torch

    states, frames = [], []
    with torch.no_grad():
        for x in source.sequences:
            found = source.model.states(torch.from_numpy(x)[None])[0]
            states.append(found[-1].numpy())
            frames.append(source.model.classify(found).numpy())
    answers = {"logits": np.stack([each[-1] for each in frames]),
               "frames": np.concatenate(frames), "state": np.stack(states)}
    if not all(np.isfinite(array).all() for array in answers.values()):
        raise CheckpointError("a model whose state stays finite", "NaN or infinity",
                              where=source.name, hint="a gate without bounds, such as relu, "
                              "may diverge: train it, or take sigmoid")
    return answers


def proved(
    metadata: Metadata, source: SequenceSource, expected: dict[str, NDArray[Any]], got: Outputs,
    limits: Limits,
) -> Metadata:
    """Return `metadata` with how far the file is from the model.

    Raises:
        ComparisonError: Beyond `limits` run whole, step by step, or one beside the other.
    """
    assert metadata.sequence is not None
    found: dict[str, Comparison] = {
        way: compare(expected, got[way], quantization="none", limits=limits,
                     where=f"{metadata.target}, {way}")
        for way in ("whole", "step")
    }
    apart = max(float(np.abs(got["whole"][name] - got["step"][name]).max()) for name in expected)
    scale = max(1.0, *(float(np.abs(want).max()) for want in expected.values()))
    if not apart <= limits.max_difference * scale:
        raise ComparisonError(f"step by step within {limits.max_difference * scale:.2g} of whole",
                              f"{apart:.3g}", where=metadata.target,
                              hint="the engine miscomputes this model; no file was written")
    top1 = None
    if source.targets is not None:
        top1 = Accuracy(len(source.targets), _top1(got["whole"], source.targets),
                        _top1(expected, source.targets), source.inputs_are)
    return replace(metadata, sequence=replace(
        metadata.sequence, comparison=found, accuracy=top1, streaming_difference=apart))


def golden_sequences(source: SequenceSource) -> list[NDArray[np.float32]]:
    """Return the beginnings of the first sequences long enough, as golden inputs."""
    longest = sorted(source.sequences, key=lambda x: -min(len(x), GOLDEN_FRAMES))
    return [x[:GOLDEN_FRAMES] for x in longest[:N_GOLDEN]]


def golden(sequences: list[NDArray[np.float32]], outputs: Outputs) -> Golden:
    """Return `sequences` with the file's own answers, to be run again on a device.

    Of the answers the state and the logits after the last frame are kept: they depend on
    all frames.
    """
    return Golden(
        {name: pack_array(array) for name, array in join(sequences).items()},
        {way: {name: pack_array(by_name[name]) for name in ("logits", "state")}
         for way, by_name in outputs.items()},
        limit=GOLDEN_LIMIT)


def _top1(outputs: dict[str, NDArray[Any]], targets: NDArray[np.int64]) -> float:
    return float((outputs["logits"].argmax(-1) == targets).mean())
