"""`Cascade`: the cheapest level that is sure of its answer gives it.

A level is (granularity, dim). Dims of one granularity are prefixes of one embedding and are
evaluated in one call of the core; a larger granularity runs the model again, and only if the
smaller one was not sure. Source: Kusupati et al. 2022 (arXiv:2205.13147), adaptive
classification; escalation between MatFormer's submodels (Devvrit et al. 2023,
arXiv:2310.07707) is the same rule with another model at each level.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sdk import _native
from edge_sdk.cascade import published, risk
from edge_sdk.cascade.head import Floats, Head, rows, single
from edge_sdk.cascade.outcomes import Outcomes, as_thresholds
from edge_sdk.cascade.signals import llc_margin
from edge_sdk.codes import CodeIndex
from edge_sdk.errors import FormatError, ShapeError

CORE_SIGNALS = {"max_softmax": 1, "margin": 2, "entropy": 3}
"""Signals that the core computes with the logits, by their number there."""
SIGNALS = (*CORE_SIGNALS, "llc_margin")

Embeddings = Mapping[str, Floats] | Floats
"""By granularity, each (n, d) float32; the array alone where there is one granularity."""


_NONE = _native.NONE
_tuple = tuple.__new__


class Level(NamedTuple):
    """One entry of a cascade: which submodel, and how much of its embedding."""

    granularity: str
    dim: int

    def __str__(self) -> str:
        return f"{self.granularity}/{self.dim}"


class Answer(NamedTuple):
    """What one input got.

    Attributes:
        id: Class.
        level: The one that answered; `place` is its place in the cascade, from 0.
        confidence: Of that level's signal.
    """

    id: int
    level: Level
    place: int
    confidence: float


@dataclass(frozen=True, eq=False)
class Answers:
    """What a batch got: ids (n,) int64, levels (n,) int64 and confidences (n,) float32."""

    ids: NDArray[np.int64]
    levels: NDArray[np.int64]
    confidences: NDArray[np.float32]


@dataclass(frozen=True)
class CodeSignal:
    """What the signal "llc_margin" needs.

    Attributes:
        codes: Class codes of k bits.
        project: Linear layers, heads of one dim each, with ReLU between them: from an
            embedding to k scores, one for each bit.
    """

    codes: CodeIndex
    project: tuple[Head, ...]

    def __post_init__(self) -> None:
        widths = [layer.dim for layer in self.project[1:]] + [self.codes.bits]
        if not self.project or [layer.n_classes for layer in self.project] != widths:
            raise ShapeError(f"layers that lead to {self.codes.bits} bits",
                             str([(layer.dim, layer.n_classes) for layer in self.project]),
                             where="`project`", hint="codes and projection are trained together")

    def scores(self, embeddings: Floats) -> Floats:
        """Return the scores of the bits, (n, k) float32."""
        *inner, last = self.project
        for layer in inner:
            embeddings = np.maximum(layer.at(embeddings), 0)
        return last.at(embeddings)

    def words(self, embeddings: Floats) -> NDArray[np.uint64]:
        """Return the codes of embeddings (n, d), shape (n,); bit j is 1 where score j >= 0."""
        bits = self.scores(embeddings) >= 0
        places = np.arange(bits.shape[1], dtype=np.uint64)
        words: NDArray[np.uint64] = (bits.astype(np.uint64) << places).sum(
            axis=1, dtype=np.uint64)
        return words

    def confidences(self, embeddings: Floats) -> Floats:
        """Return the code margins of embeddings (n, d), shape (n,) float32."""
        found = self.codes.nearest(self.words(embeddings))
        return llc_margin(found.distances, found.runners_up, self.codes.bits).astype(np.float32)


class _Group(NamedTuple):
    granularity: str
    first: int
    dims: tuple[int, ...]
    steps: _native.Steps


class Cascade:
    """Levels, cheapest first, with a threshold for each but the last; immutable.

    A case leaves at the first level whose confidence is greater than its threshold. Several
    threads may share a cascade.

    Attributes:
        head: The Matryoshka head of all granularities.
        levels: In the order they are tried.
        thresholds: (n_levels - 1,) float32; inf where no case leaves.
        signal: What confidence is, one of `SIGNALS`.
        agree: An answer counts only if the level before gave the same class.
        interpolate: Dims between the trained ones are allowed (tied heads only).
        provenance: Where the thresholds come from: method, data digest, n, epsilon, delta.
    """

    def __init__(
        self, head: Head, levels: Sequence[tuple[str, int]], thresholds: ArrayLike = (), *,
        signal: str = "max_softmax", agree: bool = False, interpolate: bool = False,
        codes: CodeSignal | None = None, provenance: Mapping[str, Any] | None = None,
    ) -> None:
        """Make a cascade with thresholds that are known; `learn` finds them.

        Raises:
            ShapeError: No level, dims the head was not trained for or that do not grow within
                a granularity, a granularity that comes twice, a wrong number of thresholds,
                an unknown signal, or one that lacks its codes.
        """
        self.head = head
        self.levels = tuple(Level(str(granularity), int(dim)) for granularity, dim in levels)
        if not self.levels:
            raise ShapeError("one level at least", "none", where="`levels`",
                             hint="levels=[('S', 64), ('XL', 192)]")
        self.thresholds = as_thresholds(thresholds, len(self.levels))
        self.signal, self.agree, self.interpolate = signal, agree, interpolate
        self.provenance = dict(provenance or {"method": "given"})
        self._codes = codes
        self._check_signal()
        self._groups = list(self._grouped())
        # One granularity and the core's own signal: one call is all there is to do.
        self._alone = (self._groups[0].granularity, self._groups[0].steps.one) \
            if len(self._groups) == 1 and codes is None else None

    # ---- construction ---------------------------------------------------------------------

    @classmethod
    def learn(
        cls, head: Head, levels: Sequence[tuple[str, int]], embeddings: Embeddings,
        labels: NDArray[np.int64], *, costs: ArrayLike | None = None,
        epsilon: float | None = None, delta: float = 0.1, seed: int = 0, data: str = "",
        **options: Any,
    ) -> Cascade:
        """Learn the thresholds on held-out cases.

        Args:
            head, levels: As in `Cascade`.
            embeddings: Of the calibration cases, by granularity.
            labels: Their classes, (n,) int64.
            costs: What a case costs that leaves at each level, growing; by default its dim
                within one granularity, and its place where there are several.
            epsilon: Accuracy that may be lost against the last level, with probability
                1 - delta no more (`edge_sdk.cascade.risk`). None learns the thresholds as
                published for MRL, which promise nothing (`edge_sdk.cascade.published`).
            delta: Probability that more is lost.
            seed: Of the risk control.
            data: What the cases are, in words, for the provenance.
            **options: `signal`, `agree`, `interpolate`, `codes`.

        Returns:
            The cascade, without levels at which no case would leave (`pruned`).

        Raises:
            CalibrationError: The set is too small for epsilon and delta.
            ShapeError: As in `Cascade`, or the shapes of the data do not fit.
        """
        empty = np.full(max(len(levels) - 1, 0), np.inf, np.float32)
        untrained = cls(head, levels, empty, **options)
        outcomes = untrained.outcomes(embeddings, labels, costs=costs)
        origin: dict[str, Any] = {
            "data": data, "data_sha256": untrained.digest(embeddings, labels), "n": outcomes.n,
        }
        if epsilon is None:
            thresholds = published.learn(outcomes)
            origin |= {"method": "published"}
        else:
            found = risk.control(outcomes, epsilon=epsilon, delta=delta, seed=seed)
            thresholds = found.thresholds
            origin |= {"method": found.method, "epsilon": epsilon, "delta": delta, "seed": seed,
                       "n_tested": found.n_tested, "p_value": found.p_value, "note": found.note}
        applied = outcomes.apply(thresholds)
        origin |= {"accuracy": applied.accuracy, "full_accuracy": applied.full_accuracy,
                   "mean_cost": applied.mean_cost}
        return cls(head, levels, thresholds, provenance=origin, **options).pruned()

    def pruned(self) -> Cascade:
        """Return the cascade without the levels at which no case ever leaves.

        The answers are the same, and nothing is spent on what can not answer. With `agree`
        every level stays: the next one may need its class.
        """
        keep = [*(~np.isposinf(self.thresholds)).tolist(), True]
        if self.agree or all(keep):
            return self
        levels = [level for level, kept in zip(self.levels, keep, strict=True) if kept]
        return Cascade(
            self.head, levels, self.thresholds[keep[:-1]], signal=self.signal,
            interpolate=self.interpolate, codes=self._codes, provenance={
                **self.provenance, "tried": [list(level) for level in self.levels]})

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON; the head is stored beside it."""
        return {
            "levels": [list(level) for level in self.levels],
            # JSON has no infinities.
            "thresholds": [float(t) if np.isfinite(t) else str(t) for t in self.thresholds],
            "signal": self.signal, "agree": self.agree, "interpolate": self.interpolate,
            "provenance": self.provenance,
        }

    @classmethod
    def from_dict(
        cls, stored: Mapping[str, Any], head: Head, *, codes: CodeSignal | None = None,
        where: str = "cascade",
    ) -> Cascade:
        """Return the cascade that `to_dict` stored.

        Raises:
            FormatError: It is none.
            ShapeError: It does not fit the head.
        """
        try:
            return cls(
                head, [(str(granularity), int(dim)) for granularity, dim in stored["levels"]],
                [float(threshold) for threshold in stored["thresholds"]],
                signal=stored["signal"], agree=bool(stored["agree"]),
                interpolate=bool(stored["interpolate"]), provenance=stored["provenance"],
                codes=codes if stored["signal"] == "llc_margin" else None,
            )
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise FormatError("a stored cascade", f"{type(error).__name__}: {error}", where=where,
                              hint="write it with Cascade.to_dict") from error

    @property
    def granularities(self) -> tuple[str, ...]:
        """The granularities, in the order they are tried."""
        return tuple(group.granularity for group in self._groups)

    # ---- answers --------------------------------------------------------------------------

    def classify(self, embed: Callable[[str], Floats] | Floats) -> Answer:
        """Return the answer to one input.

        Args:
            embed: Gives the input's embedding (d,) float32 at a granularity; called once for
                each granularity that is needed, and not for the others. Where there is one
                granularity, the embedding itself will do.

        Raises:
            ShapeError: An embedding of another shape or dtype.
            CodeError: One with NaN, infinity or a coordinate beyond 1e15.
        """
        if self._alone is not None:
            granularity, one = self._alone
            vector = embed(granularity) if callable(embed) else embed
            try:
                id_, step, confidence, _ = one(vector)
            except (TypeError, ShapeError):  # checked only now: most are what they should be
                id_, step, confidence, _ = one(single(vector, self.head.dim))
            # As Answer(...) does, in a third of the time: all of it takes some microseconds.
            return _tuple(Answer, (id_, self.levels[step], step, confidence))
        previous = _NONE
        for group in self._groups:
            granularity, first, _, steps = group
            vector = embed(granularity) if callable(embed) else self._only(embed)
            try:
                id_, step, confidence, sure = steps.one(vector, previous)
            except (TypeError, ShapeError):  # checked only now: most are what they should be
                vector = single(vector, self.head.dim)
                id_, step, confidence, sure = steps.one(vector, previous)
            if self._codes is not None:
                confidence = float(self._codes.confidences(vector[None])[0])
                sure = self._is_last(group) or confidence > self.thresholds[first]
            if sure:
                break
            previous = id_
        place = first + step
        return Answer(id_, self.levels[place], place, confidence)

    def run(self, embeddings: Embeddings) -> Answers:
        """Return the answers to n inputs whose embeddings are known at every granularity.

        Raises:
            ShapeError: A granularity is missing, or embeddings of another shape or dtype.
            CodeError: NaN, infinity or a coordinate beyond 1e15.
        """
        known = self._known(embeddings)
        n = len(known[0])
        ids, levels = np.zeros(n, np.int64), np.zeros(n, np.int64)
        confidences = np.zeros(n, np.float32)
        left = np.arange(n)
        previous = np.full(n, _native.NONE, np.uint32)
        for group, every in zip(self._groups, known, strict=True):
            vectors = np.ascontiguousarray(every[left])
            found, steps, confident, sure = group.steps.many(vectors, previous)
            if self._codes is not None:
                confident = self._codes.confidences(vectors)
                if not self._is_last(group):
                    sure = confident > self.thresholds[group.first]
            ids[left], levels[left], confidences[left] = found, group.first + steps, confident
            left, previous = left[~sure], np.ascontiguousarray(found[~sure].astype(np.uint32))
        return Answers(ids, levels, confidences)

    def outcomes(self, embeddings: Embeddings, labels: NDArray[np.int64], *,
                 costs: ArrayLike | None = None) -> Outcomes:
        """Return what every level answers to n labelled inputs, whatever the thresholds.

        Args:
            embeddings, labels, costs: As in `learn`.

        Raises:
            ShapeError: As in `run`, or the labels or costs do not fit.
        """
        ids, confidences = [], []
        previous = None
        for group, vectors in zip(self._groups, self._known(embeddings), strict=True):
            found, confident = group.steps.every(vectors, previous)
            if self._codes is not None:
                confident = self._codes.confidences(vectors)[:, None]
            ids.append(found)
            confidences.append(confident)
            previous = np.ascontiguousarray(found[:, -1].astype(np.uint32))
        by_default = [level.dim if len(self._groups) == 1 else place
                      for place, level in enumerate(self.levels, start=1)]
        return Outcomes(
            np.concatenate(ids, axis=1), np.concatenate(confidences, axis=1), labels,
            np.asarray(by_default if costs is None else costs, np.float64))

    def digest(self, embeddings: Embeddings, labels: NDArray[np.int64]) -> str:
        """Return the sha256 of calibration data as the cascade sees it, bytes in order."""
        digest = hashlib.sha256()
        for group, vectors in zip(self._groups, self._known(embeddings), strict=True):
            digest.update(f"{group.granularity} {list(vectors.shape)}\n".encode())
            digest.update(vectors.astype("<f4").tobytes())
        digest.update(np.asarray(labels).astype("<i8").tobytes())
        return digest.hexdigest()

    # ---- inside ---------------------------------------------------------------------------

    def _only(self, vector: Floats) -> Floats:
        if len(self._groups) > 1:
            raise ShapeError(f"a function that embeds at {', '.join(self.granularities)}",
                             "one embedding", where="`embed`",
                             hint="each granularity has an embedding of its own")
        return vector

    def _is_last(self, group: _Group) -> bool:
        return group.first + len(group.dims) == len(self.levels)

    def _check_signal(self) -> None:
        if self.signal not in SIGNALS:
            raise ShapeError(f"one of the signals {', '.join(SIGNALS)}", repr(self.signal),
                             where="`signal`", hint="max_softmax is the published one")
        if (self.signal == "llc_margin") != (self._codes is not None):
            raise ShapeError("class codes for the signal llc_margin, and for no other",
                             f"signal {self.signal}", where="`codes`",
                             hint="codes=CodeSignal(index, project)")
        if self.signal == "llc_margin" and self.agree:
            raise ShapeError("`agree` with a signal of the head", self.signal, where="`agree`",
                             hint="leave one of them out")

    def _grouped(self) -> Iterator[_Group]:
        first, seen = 0, set()
        for granularity, members in groupby(self.levels, key=lambda level: level.granularity):
            dims = tuple(level.dim for level in members)
            if granularity in seen or dims != tuple(sorted(set(dims))):
                raise ShapeError("each granularity once, with dims that grow",
                                 ", ".join(map(str, self.levels)), where="`levels`",
                                 hint="levels=[('S', 32), ('S', 64), ('XL', 192)]")
            if self._codes is not None and len(dims) > 1:
                raise ShapeError("one dim for each granularity with llc_margin", f"{dims}",
                                 where="`levels`", hint="a code has one margin, whatever the dim")
            self._check_dims(dims)
            limits = np.append(self.thresholds, np.float32(-np.inf))[first : first + len(dims)]
            seen.add(granularity)
            yield _Group(granularity, first, dims, _native.Steps(
                self.head, dims, limits.tolist(), CORE_SIGNALS.get(self.signal, 1), self.agree,
                self.interpolate))
            first += len(dims)

    def _check_dims(self, dims: tuple[int, ...]) -> None:
        for dim in dims:
            between = self.interpolate and self.head.tied and 1 <= dim <= self.head.dim
            if dim not in self.head.dims and not between:
                raise ShapeError(f"one of the trained dims {list(self.head.dims)}", str(dim),
                                 where="`levels`",
                                 hint="a tied head (MRL-E) has others with interpolate=True")

    def _known(self, embeddings: Embeddings) -> list[Floats]:
        given = embeddings
        if isinstance(given, np.ndarray):
            given = {self._groups[0].granularity: given}
        missing = [group.granularity for group in self._groups if group.granularity not in given]
        if missing:
            raise ShapeError(f"embeddings of {', '.join(self.granularities)}",
                             ", ".join(given) or "none", where="`embeddings`",
                             hint="a mapping from granularity to (n, d) float32")
        known = [rows(given[group.granularity], self.head.dim) for group in self._groups]
        if len({len(vectors) for vectors in known}) != 1:
            raise ShapeError("as many embeddings of every granularity",
                             str([len(vectors) for vectors in known]), where="`embeddings`",
                             hint="the same inputs, in the same order")
        return known
