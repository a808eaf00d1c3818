"""`python -m edge_sdk.listen FILE.wav`, or `--mic`: print words as they are recognised.

One loop for files and the microphone: samples become log-mel frames, a gate cuts words out of
the silence between them, a FastGRNN reads a word frame by frame, and its answer comes when it
is sure, or else at the word's end. All of it in memory that does not grow.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import typer
from numpy.typing import NDArray

from edge_sdk.audio import LogMel, LogMelConfig, microphone, read_wav
from edge_sdk.audio.gate import Cut, Gate, GateConfig
from edge_sdk.audio.logmel import FEATURE_BITS, Samples
from edge_sdk.console import command, say
from edge_sdk.errors import UnsupportedModel
from edge_sdk.fastgrnn.early import Decider, Decision, EarlyDecision

SCALE = np.float32(2.0**-FEATURE_BITS)
"""From a front end's integers to a model's features, exactly."""

BLOCK = 4096
"""Samples that are turned into frames at once, however many are pushed."""


class Stream(Protocol):
    """A recurrent model at work on one sequence."""

    def push(self, frame: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Take a frame (D,); return logits (C,)."""

    def reset(self) -> None:
        """Begin a new sequence."""


class Model(Protocol):
    """What `Listener` needs of an `edge_sdk.FastGRNN`."""

    @property
    def labels(self) -> Sequence[str]: ...
    @property
    def preprocessing(self) -> Mapping[str, Any]: ...
    @property
    def n_inputs(self) -> int: ...
    def stream(self) -> Stream: ...


@dataclass(frozen=True)
class Heard:
    """A word.

    Attributes:
        start_s: When it began, in seconds from the start of the stream.
        decided_s: How much of the stream had been heard when it was decided.
        id: Class.
        label: Its name.
        confidence: The largest softmax probability.
        sure: Decided before its end; see `EarlyDecision`.
    """

    start_s: float
    decided_s: float
    id: int
    label: str
    confidence: float
    sure: bool


class Listener:
    """Samples in, words out."""

    def __init__(self, model: Model, *, early: EarlyDecision | None = None,
                 gate: GateConfig | None = None) -> None:
        """Begin a stream.

        Args:
            model: Of log-mel features: its `preprocessing` says which.
            early: When to decide before a word ends; by default at the end alone. Its
                promise holds if it was fitted on words that such a gate has cut:
                `edge_sdk.audio.gate.words`.
            gate: What is a word.

        Raises:
            UnsupportedModel: The model's features are not log-mel.
        """
        self.config = front_end(model)
        self.labels = tuple(model.labels)
        self._front = LogMel(self.config)
        self._gate = Gate(self.config.n_bands, self.config.floor_log2, gate)
        self._stream = model.stream()
        self._decider: Decider = (early or EarlyDecision((), ())).stream()
        self._told = False

    def push(self, samples: Samples) -> list[Heard]:
        """Take samples (n,) int16; return the words that they decide.

        Raises:
            ShapeError: Another shape or dtype.
        """
        heard = []
        for start in range(0, max(len(samples), 1), BLOCK):
            for frame in self._front.push(samples[start : start + BLOCK]):
                heard += self._take(self._gate.push(frame))
        return heard

    def finish(self) -> list[Heard]:
        """Return the word that the end of the stream cut off, if any, and begin a new stream."""
        heard = self._tell(self._decider.finish()) if self._gate.is_open else []
        self._front.reset()
        self._gate.reset()
        return heard

    def _take(self, cut: Cut) -> list[Heard]:
        if cut.begins:
            self._stream.reset()
            self._decider.reset()
            self._told = False
        if len(cut.frames):
            for frame in cut.frames * SCALE:
                self._decider.push(self._stream.push(frame))
        if cut.dropped:
            self._told = True
        # A decision waits until the gate knows that this is no noise.
        sure = self._decider.decision is not None and self._gate.is_settled
        return self._tell(self._decider.finish()) if sure or cut.ends else []

    def _tell(self, decision: Decision) -> list[Heard]:
        """Return a word once."""
        if self._told:
            return []
        self._told = True
        second, gate = self.config.rate_hz, self._gate
        label = self.labels[decision.id] if self.labels else str(decision.id)
        return [Heard(gate.began * self.config.hop / second,
                      ((gate.frame - 1) * self.config.hop + self.config.window) / second,
                      decision.id, label, decision.confidence, decision.sure)]


def front_end(model: Model) -> LogMelConfig:
    """Return the front end that a model was trained behind.

    Raises:
        UnsupportedModel: It has none, or one that does not fit its inputs.
    """
    stored = model.preprocessing.get("log_mel")
    if not isinstance(stored, Mapping):
        raise UnsupportedModel("a model of log-mel features",
                               f"one of {', '.join(model.preprocessing) or 'unknown features'}",
                               where="`model`", hint="its preprocessing names its front end")
    try:
        config = LogMelConfig(**stored)
    except TypeError as error:
        raise UnsupportedModel("a log-mel front end known here", str(error), where="`model`",
                               hint="update edge-inference-sdk") from error
    if config.n_bands != model.n_inputs:
        raise UnsupportedModel(f"{model.n_inputs} bands, the model's inputs", str(config.n_bands),
                               where="`model`", hint="its preprocessing is of another model")
    return config


def listen(blocks: Iterable[Samples], listener: Listener) -> Iterator[Heard]:
    """Yield words as they are recognised in blocks of samples."""
    for block in blocks:
        yield from listener.push(block)
    yield from listener.finish()


def _from_file(path: Path, rate_hz: int) -> Iterator[Samples]:
    recording = read_wav(path, rate_hz)
    if recording.notice:
        print(f"notice: {path}: {recording.notice}", file=sys.stderr, flush=True)
    yield recording.samples


def _load(path: Path | None) -> tuple[Model, EarlyDecision | None]:
    from edge_sdk.fastgrnn.model import FastGRNN

    if path is None:
        from edge_sdk.zoo.fastgrnn import runtime_file

        path = runtime_file()
    model = FastGRNN.load(path)
    early = model.early
    return model, EarlyDecision.from_dict(early, where=str(path)) if early else None


def main(
    file: Path | None = typer.Argument(None, help="A wav file."),
    mic: bool = typer.Option(False, "--mic", help="Listen to the microphone instead."),
    model: Path | None = typer.Option(None, "--model", help="A .grnn file of a model of log-mel "
                                      "features; by default the spoken digits of the zoo."),
    as_json: bool = typer.Option(False, "--json", help="Print a JSON object for each word."),
) -> None:
    """Print the words in FILE, or spoken into the microphone, as they are recognised."""
    if (file is None) != mic:
        raise typer.BadParameter("name a wav file, or --mic", param_hint="FILE")
    loaded, early = _load(model)
    listener = Listener(loaded, early=early)
    rate_hz = listener.config.rate_hz
    blocks: Any = microphone(rate_hz) if file is None else _from_file(file, rate_hz)
    with closing(blocks):
        for word in listen(blocks, listener):
            say(json.dumps(asdict(word)) if as_json else
                f"{word.start_s:6.2f} s  {word.label}  {word.confidence:.2f}")


app = command(main, interrupted="words until then were printed")

if __name__ == "__main__":
    app()
