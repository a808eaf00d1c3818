"""A recurrent model in any engine: one frame, a chunk of frames or a whole sequence at a time."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.artifact import Metadata, SequenceInfo, open_artifact
from edge_sdk.engines.base import Engine
from edge_sdk.errors import FormatError, ShapeError

Floats = NDArray[np.float32]


class SequenceModel:
    """A loaded file of a recurrent model. Unless `engine.concurrent`, for one thread at a time.

    However a sequence is cut, the answers agree within the `streaming_difference` of the
    metadata. The state is the caller's: the model keeps none between calls.

    Attributes:
        engine: What runs it.
        info: What the file says of its methods and what they were proved on.
    """

    def __init__(self, engine: Engine) -> None:
        if engine.metadata.sequence is None:
            raise FormatError("a file of a recurrent model", f"a {engine.metadata.family} model",
                              where=str(engine.artifact.path),
                              hint="edge_sdk.load gives what suits the file")
        self.engine = engine
        self.info: SequenceInfo = engine.metadata.sequence
        self._methods = [(sys.maxsize if method.most is None else method.most, method.least, name)
                         for name, method in self.info.methods.items()]
        self._single = self._choose(1)[0]
        (self._state, self._next), = self.info.state.items()
        signature = self.info.methods[self._single]
        self._frames, = (spec.name for spec in signature.inputs if spec.name != self._state)
        self._logits, = (spec.name for spec in signature.outputs if spec.name != self._next)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, threads: int = 1) -> SequenceModel:
        """Verify `path` and load it into the engine that it was made for.

        Raises:
            FormatError: Damaged, or no recurrent model.
            MissingDependency: The engine is not installed.
        """
        from edge_sdk.engines import engine_class

        return cls(engine_class(open_artifact(path).metadata.target).load(path, threads=threads))

    @property
    def metadata(self) -> Metadata:
        """What the file says of itself."""
        return self.engine.metadata

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.metadata.labels

    def start(self) -> Floats:
        """Return the state before the first frame: zeros, (H,)."""
        return np.zeros(self.info.n_hidden, np.float32)

    def step(self, x: Floats, h: Floats | None = None) -> tuple[Floats, Floats]:
        """Return (h' (H,), logits (C,)) of a frame x (D,) float32 and the state h (H,).

        Args:
            x: Features as `metadata.preprocessing` says; normalization is inside.
            h: From the step before; None before the first.

        Raises:
            ShapeError: Another shape or dtype, or NaN or infinity.
        """
        _check(x, (self.info.n_inputs,), "x", "one frame of features")
        out = self.engine.call(self._single, {self._frames: np.ascontiguousarray(x[None]),
                                              self._state: self._checked_state(h)})
        return out[self._next][0], out[self._logits][0]

    def advance(self, x: Floats, h: Floats | None = None) -> tuple[Floats, Floats]:
        """Return (h' (H,), logits (T, C) after each frame) of frames x (T, D), T at least 1.

        Calls the method that takes the most frames first; arguments and errors as `step`.
        """
        _check(x, (-1, self.info.n_inputs), "x", "whole frames; one frame goes to step(x, h)")
        if len(x) == 0:
            raise ShapeError("at least one frame", "a sequence of length 0", where="`x`",
                             hint="it has no answer: keep the state as it is")
        state, found = self._checked_state(h), []
        x = np.ascontiguousarray(x)
        at = 0
        while at < len(x):
            name, n = self._choose(len(x) - at)
            out = self.engine.call(name, {self._frames: x[at : at + n], self._state: state})
            state, at = out[self._next], at + n
            found.append(out[self._logits])
        return state[0], found[0] if len(found) == 1 else np.concatenate(found)

    def run(self, x: Floats) -> Floats:
        """Return the logits (C,) after the last frame of a whole sequence x (T, D).

        Raises:
            ShapeError: As `step`, or T is 0.
        """
        last: Floats = self.advance(x)[1][-1]
        return last

    def stream(self) -> Stream:
        """Return a sequence to be pushed frame by frame, or in pieces."""
        return Stream(self)

    def _choose(self, left: int) -> tuple[str, int]:
        """Return the method that takes most of the frames left, and how many it takes.

        Of those that take as many, the one made for so few.
        """
        takes, _, name = max((min(most, left), -most, name)
                             for most, least, name in self._methods if least <= left)
        return name, takes

    def _checked_state(self, h: Floats | None) -> Floats:
        if h is None:
            return self.start()[None]
        _check(h, (self.info.n_hidden,), "h", "the state that the call before gave, or None")
        return np.ascontiguousarray(h[None])


class Stream:
    """A sequence under way.

    Attributes:
        h: The state after the last frame, (H,).
    """

    def __init__(self, model: SequenceModel) -> None:
        self._model = model
        self.h = model.start()

    def push(self, x: Floats) -> Floats:
        """Return the logits (C,) after a frame x (D,), or after the last of frames x (T, D).

        Raises:
            ShapeError: As `SequenceModel.step`; the state is then as before.
        """
        if isinstance(x, np.ndarray) and x.ndim == 1:
            self.h, logits = self._model.step(x, self.h)
            return logits
        self.h, each = self._model.advance(x, self.h)
        last: Floats = each[-1]
        return last

    def reset(self) -> None:
        """Begin a new sequence."""
        self.h = self._model.start()


def _check(array: Any, shape: tuple[int, ...], name: str, hint: str) -> None:
    words = f"float32 of shape ({', '.join('T' if n == -1 else str(n) for n in shape)})"
    if not isinstance(array, np.ndarray):
        raise ShapeError(f"a NumPy array, {words}", type(array).__name__, where=f"`{name}`",
                         hint=hint)
    if array.dtype != np.float32 or array.ndim != len(shape) or array.shape[-1] != shape[-1]:
        raise ShapeError(words, f"{array.dtype} of shape {array.shape}", where=f"`{name}`",
                         hint=hint)
    # A NaN would stay in the state for good.
    if not np.isfinite(array).all():
        raise ShapeError("finite numbers", "NaN or infinity", where=f"`{name}`",
                         hint="look where the features come from; the state is as before")
