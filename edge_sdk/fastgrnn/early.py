"""`EarlyDecision`: stop listening when sure.

A recurrent classifier has logits after every frame. At certain frames the largest softmax
probability is compared with a threshold; the first one above it decides, and the rest of the
sequence need not be heard. A sequence that ends first is decided by its last frame.

That is a cascade whose levels are moments: the rule of Kusupati et al. 2022 (arXiv:2205.13147),
adaptive classification, along time. So are its thresholds: as published, or with the promise
of `edge_sdk.cascade.risk` that at most epsilon accuracy is lost against hearing every
sequence to its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sdk.cascade import published, risk
from edge_sdk.cascade.outcomes import Outcomes
from edge_sdk.cascade.signals import max_softmax
from edge_sdk.errors import FormatError, ShapeError

Floats = NDArray[np.float32]


class Decision(NamedTuple):
    """What a sequence was taken for.

    Attributes:
        id: Class; of equal logits the lowest.
        frame: Frames heard until then.
        confidence: The largest softmax probability, float32.
        sure: Above a threshold; False where the sequence ended first.
    """

    id: int
    frame: int
    confidence: float
    sure: bool


@dataclass(frozen=True)
class EarlyResults:
    """What early decision does to a set of sequences.

    Attributes:
        accuracy: Sequences it decides right, a fraction.
        full_accuracy: Sequences whose last frame is right.
        loss: full_accuracy - accuracy; negative where deciding early is better.
        mean_frames: Frames heard of a sequence.
        full_frames: Frames of a sequence.
        early: Sequences decided before their last frame, a fraction.
    """

    accuracy: float
    full_accuracy: float
    loss: float
    mean_frames: float
    full_frames: float
    early: float


@dataclass(frozen=True)
class EarlyDecision:
    """When to decide.

    Attributes:
        frames: Frames heard at each checkpoint, ascending, 1 or more.
        thresholds: Of each; the largest probability must be greater. From 0 up to 1,
            exactly representable in float32.
        provenance: How they were found.

    Raises:
        ShapeError: Another number of thresholds, or one out of range.
    """

    frames: tuple[int, ...]
    thresholds: tuple[float, ...]
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        steps = np.diff(np.array([0, *self.frames]))
        if len(self.frames) != len(self.thresholds) or (steps < 1).any():
            raise ShapeError("ascending frames from 1 and a threshold for each",
                             f"{list(self.frames)} and {list(self.thresholds)}",
                             where="`frames`", hint="EarlyDecision.fit makes both")
        wrong = [t for t in self.thresholds if not (0.0 <= t < 1.0 and float(np.float32(t)) == t)]
        if wrong:
            raise ShapeError("thresholds from 0 up to 1, of float32", str(wrong[0]),
                             where="`thresholds`", hint="a probability is never above 1")

    @classmethod
    def fit(
        cls, logits: Sequence[ArrayLike], labels: ArrayLike, *, every: int = 10,
        first: int | None = None, epsilon: float | None = None, delta: float = 0.1,
        seed: int = 0, data: str = "",
    ) -> EarlyDecision:
        """Return thresholds for checkpoints every so many frames; those never used are dropped.

        The promise of `epsilon` holds for sequences drawn and cut as these were: a word that
        is cut out of a recording in another way is another population.

        Args:
            logits: (T, C) of each sequence, T its frames; not from the model's training data.
            labels: (n,) class ids.
            every: Frames from one checkpoint to the next.
            first: Frames before the first; `every` by default.
            epsilon: Accuracy lost at most, in (0, 1). None: thresholds as published, without
                a promise. Those compare neighbours alone: where two checkpoints are equally
                wrong the first one decides, whatever the end would say.
            delta: Probability that more is lost.
            seed: See `risk.control`.
            data: Name of the calibration data, for `provenance`.

        Raises:
            CalibrationError: Too few sequences for epsilon and delta.
            ShapeError: Logits of another shape or with NaN, or all sequences end before the
                first checkpoint.
        """
        first = every if first is None else first
        if every < 1 or first < 1:
            raise ShapeError("a frame or more", f"every={every}, first={first}", where="`every`",
                             hint="10 frames of 10 ms are a tenth of a second")
        rows = _checked(logits)
        longest = max(len(row) for row in rows)
        frames = np.arange(first, longest, every)
        if not len(frames):
            raise ShapeError(f"a sequence of more than {first} frames", f"at most {longest}",
                             where="`logits`", hint="take a smaller `first` or `every`")
        outcomes = _outcomes(rows, labels, frames)
        origin: dict[str, Any] = {"data": data, "n": outcomes.n, "every": every, "first": first}
        if epsilon is None:
            thresholds = published.learn(outcomes)
            origin |= {"method": "published"}
        else:
            found = risk.control(outcomes, epsilon=epsilon, delta=delta, seed=seed)
            thresholds = found.thresholds
            origin |= {"method": found.method, "epsilon": epsilon, "delta": delta, "seed": seed,
                       "n_tested": found.n_tested, "p_value": found.p_value, "note": found.note}
        made = cls(*_pruned(frames, thresholds))
        results = made.apply(rows, labels)
        origin |= {"accuracy": results.accuracy, "full_accuracy": results.full_accuracy,
                   "mean_frames": results.mean_frames, "full_frames": results.full_frames}
        return cls(made.frames, made.thresholds, origin)

    def stream(self) -> Decider:
        """Return what decides one sequence after the other."""
        return Decider(self)

    def run(self, logits: ArrayLike) -> Decision:
        """Return the decision about a whole sequence, logits (T, C).

        Raises:
            ShapeError: Another shape, no frame, or NaN.
        """
        row, = _checked([logits])
        decider = self.stream()
        for frame in row:
            decision = decider.push(frame)
            if decision is not None:
                return decision
        return decider.finish()

    def apply(self, logits: Sequence[ArrayLike], labels: ArrayLike) -> EarlyResults:
        """Return accuracy and frames on labelled sequences; arguments as in `fit`.

        Raises:
            ShapeError: As in `fit`.
        """
        rows = _checked(logits)
        lengths = np.array([len(row) for row in rows])
        outcomes = _outcomes(rows, labels, np.array(self.frames, np.int64))
        thresholds = np.array(self.thresholds, np.float32)
        applied, levels = outcomes.apply(thresholds), outcomes.leave(thresholds)
        heard = np.append(np.array(self.frames, np.int64), lengths.max())[levels]
        heard = np.minimum(heard, lengths)
        return EarlyResults(
            accuracy=applied.accuracy, full_accuracy=applied.full_accuracy, loss=applied.loss,
            mean_frames=float(heard.mean()), full_frames=float(lengths.mean()),
            early=float((heard < lengths).mean()))

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {"signal": "max_softmax", "frames": list(self.frames),
                "thresholds": list(self.thresholds), "provenance": self.provenance}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], *, where: str = "early") -> EarlyDecision:
        """Return what `to_dict` stored.

        Raises:
            FormatError: It is none.
        """
        try:
            if stored["signal"] != "max_softmax":
                raise ValueError(f"signal {stored['signal']!r}")
            frames = [int(frame) for frame in stored["frames"]]
            if frames != stored["frames"]:
                raise ValueError(f"frames {stored['frames']}")
            return cls(tuple(frames), tuple(float(t) for t in stored["thresholds"]),
                       dict(stored["provenance"]))
        except (KeyError, TypeError, ValueError, OverflowError, ShapeError) as error:
            raise FormatError("a stored early decision", f"{type(error).__name__}: {error}",
                              where=where, hint="write it with EarlyDecision.to_dict") from error


class Decider:
    """Decides sequences frame by frame, in memory that does not grow.

    Attributes:
        decision: Of this sequence, if there is one yet.
        frame: Frames heard of it.
    """

    def __init__(self, early: EarlyDecision) -> None:
        self._thresholds = dict(zip(early.frames, early.thresholds, strict=True))
        self.decision: Decision | None = None
        self.frame = 0
        self._last: Floats | None = None

    def reset(self) -> None:
        """Begin a new sequence."""
        self.decision, self.frame, self._last = None, 0, None

    def push(self, logits: ArrayLike) -> Decision | None:
        """Return a decision once, when one falls with the logits (C,) after one more frame.

        Raises:
            ShapeError: Another shape, or at a checkpoint NaN.
        """
        last = np.array(logits, np.float32)
        if last.ndim != 1 or (self._last is not None and last.shape != self._last.shape):
            raise ShapeError("logits (C,) after one frame", str(list(last.shape)),
                             where="`logits`", hint="push them frame by frame")
        self.frame, self._last = self.frame + 1, last
        threshold = self._thresholds.get(self.frame)
        if self.decision is None and threshold is not None:
            answer = _decision(last, self.frame, sure=True)
            if answer.confidence > threshold:
                self.decision = answer
                return answer
        return None

    def finish(self) -> Decision:
        """Return this sequence's decision: the early one, or else by its last frame.

        Raises:
            ShapeError: There was no frame, or the last one's logits hold NaN.
        """
        if self._last is None:
            raise ShapeError("a frame or more", "none", where="`push`",
                             hint="a sequence of length 0 has no answer")
        if self.decision is None:
            self.decision = _decision(self._last, self.frame, sure=False)
        return self.decision


def _decision(logits: Floats, frame: int, *, sure: bool) -> Decision:
    return Decision(int(logits.argmax()), frame, float(_confidences(logits[None])[0]), sure)


def _confidences(logits: Floats) -> Floats:
    """Return the largest probabilities (n,) of logits (n, C)."""
    return max_softmax(logits).astype(np.float32)


def _checked(logits: Sequence[ArrayLike]) -> list[Floats]:
    rows = [np.asarray(row, np.float32) for row in logits]
    shapes = [row.shape for row in rows]
    wrong = [s for s in shapes if len(s) != 2 or 0 in s or s[1] != shapes[0][1]]
    if wrong or not rows:
        raise ShapeError("logits (T, C) of each sequence, one C, T at least 1",
                         str(list(wrong[0])) if wrong else "none", where="`logits`",
                         hint="after every frame, not after the last alone")
    return rows


def _outcomes(rows: list[Floats], labels: ArrayLike, frames: NDArray[np.int64]) -> Outcomes:
    """Return what every checkpoint answers, and the end, which is the last level.

    A sequence that ended before a checkpoint is never sure there. A level costs the frames
    that are heard on average if every sequence is stopped there.
    """
    given = np.asarray(labels)
    if given.shape != (len(rows),) or not np.issubdtype(given.dtype, np.integer):
        raise ShapeError(f"labels ({len(rows)},) of integers", f"{given.dtype} {list(given.shape)}",
                         where="`labels`", hint="a class id for each sequence")
    lengths = np.array([len(row) for row in rows])
    stops = np.minimum(np.append(frames, lengths.max()), lengths[:, None])
    chosen = np.concatenate([row[stop - 1] for row, stop in zip(rows, stops, strict=True)])
    confidences = _confidences(chosen).reshape(stops.shape)
    confidences[:, :-1][frames > lengths[:, None]] = -np.inf
    return Outcomes(chosen.argmax(1).astype(np.int64).reshape(stops.shape), confidences,
                    given.astype(np.int64), stops.mean(0))


def _pruned(frames: NDArray[np.int64],
            thresholds: Floats) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return the checkpoints at which something can be decided, thresholds cut at 0."""
    kept: dict[int, float] = {}
    for frame, threshold in zip(frames.tolist(), thresholds.tolist(), strict=True):
        if threshold < 1.0:
            kept[frame] = max(threshold, 0.0)
        if threshold <= 0.0:  # every sequence is decided here
            break
    return tuple(kept), tuple(kept.values())
