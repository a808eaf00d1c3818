"""`Session`: a bundle, a budget, an answer with its reason."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.bundle import Bundle
from edge_sdk.bundle.runner import Run, Runner
from edge_sdk.cascade.head import Floats
from edge_sdk.device import Device, DeviceState, StateReader
from edge_sdk.errors import BudgetError, FormatError, ShapeError
from edge_sdk.governor import Budget, Choice, Decision, Governor

REFRESH_S = 1.0
"""How often the device is asked: Android's thermal headroom is NaN when polled more often."""


class ProfileWarning(UserWarning):
    """A bundle's profile was measured on another device than this one."""


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to one input.

    Attributes:
        id: Class; `label` is its name, or the id as text where the model has no names.
        confidence: Of the level that answered: by default its softmax probability.
        top: The most likely classes with their probabilities, if more than one was asked for.
        granularity, dim: The level that answered.
        plan: What was run: a granularity or a cascade.
        known: Whether the input's code lies near that of a class; None without codes.
        code_distance: Hamming distance to the nearest class code.
        latency_ms: From array to answer, of this very input.
        met: Whether the plan was expected to keep every limit of the budget.
        late: Whether this input took longer than the budget's latency; None without one.
        reason: Why this plan, and why this level, in words.
    """

    id: int
    label: str
    confidence: float
    top: tuple[tuple[str, float], ...]
    granularity: str
    dim: int
    plan: str
    known: bool | None
    code_distance: int | None
    latency_ms: float
    met: bool
    late: bool | None
    reason: str


class Session:
    """Classifies and embeds with a bundle; several threads may share it.

    All granularities stay resident. The governor learns from every latency, whichever thread
    it comes from.

    Attributes:
        bundle: What it runs.
        governor: Chooses plans by the profile; None where the bundle has none.
    """

    def __init__(
        self, bundle: Bundle, *, target: str | None = None, device: StateReader | None = None,
        clock: Callable[[], float] = time.monotonic, log: str | os.PathLike[str] | None = None,
        reprofile: bool = False, refresh_s: float = REFRESH_S, rate_hz: float | None = None,
    ) -> None:
        """Load the model and warm every granularity up.

        Args:
            bundle: An opened bundle.
            target: Engine; the one of the profile by default, else the bundle's first.
            device: What is asked for battery, heat and RAM.
            clock: Seconds that do not go back; for tests.
            log: A file to write every decision to (`python -m edge_sdk.governor replay`).
            reprofile: Measure this device now if the profile is missing or of another one.
            refresh_s: How often the device is asked.
            rate_hz: Inputs a second to expect until the battery's hour, on average, bursts and
                pauses included; by default the rate seen lately is taken to go on.

        Warns:
            ProfileWarning: The profile is of another device.

        Raises:
            FormatError: The bundle has no model for the target, or its profile is damaged.
            MissingDependency: The engine is not installed.
        """
        self.bundle = bundle
        self._device = device or Device()
        self._clock, self._refresh_s, self._rate_hz = clock, refresh_s, rate_hz
        self._check_profile(reprofile, target)
        profile = bundle.profile_content
        self._target = target or (profile["target"] if profile else None)
        self._runners: dict[int, Runner] = {}
        self._lock = Lock()
        self._state: tuple[float, DeviceState] | None = None
        choices = _choices(bundle, profile) if profile else []
        self.governor = Governor(choices, log=log) if choices else None
        first = self._runner(choices[0].threads if choices else 1)
        self.metadata = first.engine.metadata
        self.plans = tuple(first.plans)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, verify: bool = True, **options: Any) -> Session:
        """Open a bundle's folder; options as `Session`.

        Raises:
            FormatError: No bundle, or one that was changed or damaged.
            VersionError: Written by a newer version.
        """
        return cls(Bundle.open(path, verify=verify), **options)

    # ---- answers --------------------------------------------------------------------------

    def classify(
        self, x: Any, *, budget: Budget | None = None, plan: str | None = None, top: int = 1,
        strict: bool = False,
    ) -> Result:
        """Return the class of one input.

        Args:
            x: The array of the model's one input, with or without the leading axis of 1, in
                its dtype; or all inputs by name. `metadata.preprocessing` says what they are.
            budget: Lets the governor choose the plan.
            plan: A granularity or a cascade instead; without either, the bundle's default.
            top: How many classes to name, with probabilities.
            strict: Raise if no plan meets the budget. Otherwise the fastest runs.

        Raises:
            ShapeError: Another shape or dtype, or NaN.
            BudgetError: A budget without a profile, or `strict` and nothing meets it.
            GranularityError: There is no such plan.
        """
        inputs = self._inputs(x)
        if budget is not None and plan is not None:
            raise BudgetError("a budget or a plan", "both", where="`plan`",
                              hint="the governor chooses the plan by the budget")
        if budget is None:
            name = plan or self.bundle.manifest.default or self.largest
            return self._answer(name, 1, inputs, top, None, None)
        decision = self._decide(budget)
        if strict and not decision.met:
            raise BudgetError("a budget that a plan can meet", decision.reason, where="`budget`",
                              hint="allow more, or leave strict out: the fastest plan then runs")
        choice = decision.choice
        return self._answer(choice.name, choice.threads, inputs, top, budget, decision)

    def classify_batch(self, xs: Iterable[Any], **options: Any) -> list[Result]:
        """Return the class of each input of a sequence, or of an array's leading axis.

        Each input gets as much of the model as it needs, so they run one by one.

        Args:
            xs: Inputs as `classify` takes them.
            **options: As there; a budget is asked anew for each input.
        """
        return [self.classify(x, **options) for x in xs]

    def embed(self, x: Any, *, dim: int | None = None, granularity: str | None = None) -> Floats:
        """Return the embedding of one input, (dim,) float32, of length 1.

        A prefix is normalized by itself: a prefix of a unit vector is none.

        Args:
            x: As in `classify`.
            dim: A trained dim of the head; the largest by default.
            granularity: The largest by default. Embeddings of different granularities may
                be compared with one another.

        Raises:
            ShapeError: The head was not trained for `dim`, or as in `classify`.
        """
        dims = self.bundle.head.dims
        chosen = dims[-1] if dim is None else dim
        if chosen not in dims:
            raise ShapeError(f"one of the trained dims {list(dims)}", str(chosen), where="`dim`",
                             hint="a shorter prefix of other lengths was never trained")
        runner = next(iter(self._runners.values()))
        prefix = runner.embed(self._inputs(x), granularity or self.largest)[:chosen]
        length = float(np.linalg.norm(prefix.astype(np.float64)))
        embedding: Floats = (prefix / max(length, 1e-12)).astype(np.float32)
        return embedding

    @property
    def largest(self) -> str:
        """The largest granularity of the model."""
        return list(self.metadata.granularities)[-1]

    # ---- inside ---------------------------------------------------------------------------

    def _answer(self, plan: str, threads: int, inputs: dict[str, NDArray[Any]], top: int,
                budget: Budget | None, decision: Decision | None) -> Result:
        runner = self._runner(threads)
        start = time.perf_counter()
        run = runner.run(plan, inputs)
        known, distance = self._known(run)
        latency_ms = (time.perf_counter() - start) * 1e3
        if decision is not None and self.governor is not None:
            with self._lock:
                self.governor.observe(decision.choice, latency_ms, now_s=self._clock())
        answer = run.answer
        limit = budget.latency_ms if budget is not None else None
        return Result(
            id=answer.id, label=self._label(answer.id), confidence=answer.confidence,
            top=self._top(run, top), granularity=answer.level.granularity, dim=answer.level.dim,
            plan=plan, known=known, code_distance=distance, latency_ms=latency_ms,
            met=decision is None or decision.met,
            late=None if limit is None else latency_ms > limit,
            reason="; ".join(filter(None, (decision.reason if decision else f"plan {plan}",
                                           _left(runner, plan, run)))))

    def _decide(self, budget: Budget) -> Decision:
        if self.governor is None:
            raise BudgetError("a profile of this device", "none in the bundle", where="`budget`",
                              hint=f"python -m edge_sdk.profile {self.bundle.path}, or open the "
                                   "session with reprofile=True")
        with self._lock:
            now_s = self._clock()
            if self._state is None or not 0 <= now_s - self._state[0] < self._refresh_s:
                self._state = now_s, self._device.read()
            return self.governor.decide(budget, self._state[1], now_s=now_s,
                                        rate_hz=self._rate_hz)

    def _runner(self, threads: int) -> Runner:
        """Load an engine with so many threads, once; each number of threads has its own."""
        with self._lock:
            if threads not in self._runners:
                runner = Runner(self.bundle, target=self._target, threads=threads)
                blank = {spec.name: np.zeros(spec.shape, np.dtype(spec.dtype))
                         for spec in runner.engine.metadata.inputs}
                for granularity in runner.engine.granularities:
                    runner.embed(blank, granularity)
                self._runners[threads] = runner
            return self._runners[threads]

    def _inputs(self, x: Any) -> dict[str, NDArray[Any]]:
        if isinstance(x, Mapping):
            return dict(x)
        specs = self.metadata.inputs
        if len(specs) != 1:
            raise ShapeError(f"inputs by name: {', '.join(spec.name for spec in specs)}",
                             type(x).__name__, where="`x`", hint="pass a dict of arrays")
        spec = specs[0]
        if isinstance(x, np.ndarray) and x.shape == spec.shape[1:]:
            x = x[None]
        if not isinstance(x, np.ndarray) or x.shape != spec.shape or x.dtype != spec.dtype:
            got = f"{x.dtype} {list(x.shape)}" if isinstance(x, np.ndarray) else type(x).__name__
            raise ShapeError(f"{spec.dtype} {list(spec.shape[1:])}", got, where="`x`",
                             hint=f"see metadata.preprocessing: {self.metadata.preprocessing}")
        return {spec.name: np.ascontiguousarray(x)}

    def _known(self, run: Run) -> tuple[bool | None, int | None]:
        codes, limit = self.bundle.codes, self.bundle.manifest.unknown_distance
        if codes is None or limit is None:
            return None, None
        distance = int(codes.codes.nearest(codes.words(run.embedding[None])).distances[0])
        return distance < limit, distance

    def _label(self, id_: int) -> str:
        return self.metadata.labels[id_] if self.metadata.labels else str(id_)

    def _top(self, run: Run, top: int) -> tuple[tuple[str, float], ...]:
        if top <= 1:
            return ()
        logits = self.bundle.head.at(run.embedding, run.answer.level.dim,
                                     interpolate=self.bundle.head.tied)[0].astype(np.float64)
        powers = np.exp(logits - logits.max())
        best = np.argsort(-powers, kind="stable")[:top]
        return tuple((self._label(int(i)), float(powers[i] / powers.sum())) for i in best)

    def _check_profile(self, reprofile: bool, target: str | None) -> None:
        profile = self.bundle.profile_content
        here = self._device.identity()
        foreign = profile is not None and profile["device"]["key"] != here.key
        if reprofile and (profile is None or foreign):
            from edge_sdk.profile import measure

            self.bundle.replace_profile(measure(self.bundle, target=target))
        elif profile is not None and foreign:
            warnings.warn(
                f"{self.bundle.path}: the profile is of {profile['device']['model']}, "
                f"{profile['device']['cpu']}; this is {here.model}, {here.cpu}. "
                "hint: python -m edge_sdk.profile, or reprofile=True", ProfileWarning,
                stacklevel=3)


def _choices(bundle: Bundle, profile: Mapping[str, Any]) -> list[Choice]:
    """Return what the governor may choose from, as the profile has it."""
    try:
        return [Choice(
            name=plan["name"], granularity=plan["name"],
            plan=plan["name"] if plan["name"] in bundle.cascades else None,
            threads=plan["threads"], latency_p50_ms=plan["latency_p50_ms"],
            latency_p95_ms=plan["latency_p95_ms"], energy_mj=plan["energy_mj"],
            accuracy=plan["accuracy"], risk=plan["risk"], ram_mb=plan["ram_mb"],
        ) for plan in profile["plans"]]
    except (KeyError, TypeError) as error:
        raise FormatError("a profile", f"{type(error).__name__}: {error}",
                          where=str(Path(bundle.path)),
                          hint="python -m edge_sdk.profile measures it again") from error


def _left(runner: Runner, plan: str, run: Run) -> str:
    """Say why a cascade stopped where it did."""
    cascade, answer = runner.plans[plan], run.answer
    if len(cascade.levels) == 1:
        return ""
    if answer.place == len(cascade.levels) - 1:
        return f"answered at the last level, {answer.level}"
    return (f"answered at {answer.level}: {cascade.signal} {answer.confidence:.3f} above "
            f"{cascade.thresholds[answer.place]:.3f}")
