"""What a governor chooses among, and what it answers, with the reason in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge_sdk._native import NO_CHOICE
from edge_sdk._native import Decision as Answer
from edge_sdk.errors import ShapeError
from edge_sdk.governor.budget import Budget, battery_of

LIMITS = ("latency", "energy", "battery", "memory", "free RAM", "risk", "accuracy")
"""By the bits of edge_limit."""

WHY = ("best", "waits", "throttled", "power saver", "battery floor", "missed")
"""By the numbers of edge_why."""

UNPACED = "the battery is not paced: what it holds, the rate or an inference's energy is unknown"


@dataclass(frozen=True)
class Choice:
    """One way to run a session, as profiled on this device; None where unknown.

    Args:
        granularity: Such as "M".
        latency_p50_ms, latency_p95_ms: Measured; the 95th percentile is not below the median.
        energy_mj: Of an inference.
        accuracy: 0 to 1.
        risk: The epsilon of a risk-controlled cascade; 0 where the full model runs.
        ram_mb: Peak.
        plan: The stored thresholds of a cascade.
        threads: Of the engine.
        name: Made of granularity, plan and threads unless given.

    Raises:
        ShapeError: Latencies that are no profile, or no thread.
    """

    granularity: str
    latency_p50_ms: float
    latency_p95_ms: float
    energy_mj: float | None = None
    accuracy: float | None = None
    risk: float | None = None
    ram_mb: float | None = None
    plan: str | None = None
    threads: int = 1
    name: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.latency_p50_ms <= self.latency_p95_ms < math.inf:
            raise ShapeError("0 < p50 <= p95, in ms",
                             f"{self.latency_p50_ms} and {self.latency_p95_ms}",
                             where=f"choice {self.granularity}", hint="measure the profile again")
        if self.threads < 1:
            raise ShapeError("1 thread or more", str(self.threads),
                             where=f"choice {self.granularity}", hint="leave it out for one")
        if not self.name:
            parts = [self.granularity, *([self.plan] if self.plan else []),
                     *([f"{self.threads} threads"] if self.threads > 1 else [])]
            object.__setattr__(self, "name", " ".join(parts))

    def row(self) -> list[float]:
        """Return the numbers that the core takes, NaN where unknown."""
        numbers = (self.latency_p50_ms, self.latency_p95_ms, self.energy_mj, self.accuracy,
                   self.risk, self.ram_mb)
        return [math.nan if number is None else float(number) for number in numbers]


class Decision:
    """What to run next. The words are made when they are asked for."""

    __slots__ = ("_answer", "_budget", "_choices", "choice", "index")

    def __init__(self, answer: Answer, choices: Sequence[Choice], budget: Budget) -> None:
        self._answer = answer
        self._choices = choices
        self._budget = budget
        self.index = answer.choice
        """Of the choice, in the order they were given."""
        self.choice = choices[answer.choice]

    @property
    def met(self) -> bool:
        """Whether the choice fits the budget."""
        return self._answer.met

    @property
    def missed(self) -> tuple[str, ...]:
        """The limits that the choice misses, of `LIMITS`."""
        return limits_of(self._answer.missed)

    @property
    def why(self) -> str:
        """The kind of reason, of `WHY`."""
        return WHY[self._answer.why]

    @property
    def switched(self) -> bool:
        """Whether the decision before was another one."""
        return self._answer.switched

    @property
    def predicted_p95_ms(self) -> float:
        """The 95th percentile that the choice is likely to have now."""
        return self._answer.predicted_p95_ms

    @property
    def slowdown(self) -> float:
        """How many times slower than its profile the device is."""
        return self._answer.slowdown

    @property
    def allowed_mj(self) -> float | None:
        """What even spending of the battery allows an inference; None if it sets no limit."""
        return known(self._answer.allowed_mj)

    @property
    def rate_hz(self) -> float | None:
        """The inferences a second that are expected; None if unknown."""
        return known(self._answer.rate_hz)

    @property
    def reason(self) -> str:
        """Why this choice and not a better one, in words with their numbers."""
        return reason(self._answer, self._choices, self._budget)

    def __repr__(self) -> str:
        return f"<Decision {self.reason}>"


def known(value: float) -> float | None:
    """Return a number of the core, None for its NaN."""
    return None if math.isnan(value) else value


def limits_of(mask: int) -> tuple[str, ...]:
    """Return the names of a mask's limits."""
    return tuple(name for bit, name in enumerate(LIMITS) if mask >> bit & 1)


def reason(answer: Answer, choices: Sequence[Choice], budget: Budget) -> str:
    """Return a decision in words."""
    choice = choices[answer.choice]
    why = WHY[answer.why]
    parts = []
    if why == "battery floor":
        floor = battery_of(budget.battery).floor_pct
        parts.append(f"the thriftiest, as the battery is at its floor of {floor:g} %")
    elif answer.missed:
        head = "the fastest, but it misses " if why == "missed" else "misses "
        parts.append(head + _misses(answer.missed, choice, answer.predicted_p95_ms, answer, budget))
    elif why == "power saver":
        parts.append(f"the thriftiest that {_fits(answer, budget)}, as the power saver is on")
    else:
        best = "the most accurate that " if why == "best" else "it "
        parts.append(best + _fits(answer, budget))
    if answer.better != NO_CHOICE:
        parts.append(_better(why, answer, choices[answer.better], budget))
    if answer.unpaced:
        parts.append(UNPACED)
    return f"{choice.name}: {'; '.join(parts)}"


def _fits(answer: Answer, budget: Budget) -> str:
    if budget.latency_ms is None:
        return "fits the budget"
    return f"keeps p95 {answer.predicted_p95_ms:.1f} ms within {budget.latency_ms:g} ms"


def _better(why: str, answer: Answer, better: Choice, budget: Budget) -> str:
    if why == "throttled":
        return f"{better.name} fits too, but the device throttles"
    if why == "waits":
        wait = f"in {answer.wait_s:.0f} s" if answer.wait_s > 0 else "soon"
        return f"{better.name} fits too, and is taken {wait} if it then does with room to spare"
    missed = _misses(answer.better_missed, better, answer.better_p95_ms, answer, budget)
    return f"{better.name} would miss {missed}"


def _misses(mask: int, choice: Choice, p95_ms: float, answer: Answer, budget: Budget) -> str:
    words = {
        "latency": lambda: f"latency: p95 {p95_ms:.1f} ms of {budget.latency_ms:g} ms",
        "energy": lambda: f"energy: {_of(choice.energy_mj, 'mJ')} of {budget.energy_mj:g} mJ",
        "battery": lambda: (f"even spending: {_of(choice.energy_mj, 'mJ')} of "
                            f"{answer.allowed_mj:.3g} mJ"),
        "memory": lambda: f"memory: {_of(choice.ram_mb, 'MB')} of {budget.memory_mb:g} MB",
        "free RAM": lambda: f"free RAM: it takes {_of(choice.ram_mb, 'MB')}",
        "risk": lambda: f"risk: {_of(choice.risk)} of {budget.risk:g}",
        "accuracy": lambda: f"accuracy: {_of(choice.accuracy)} of {budget.min_accuracy:g}",
    }
    return ", ".join(words[name]() for name in limits_of(mask))


def _of(value: float | None, unit: str = "") -> str:
    return "unknown" if value is None else f"{value:.3g} {unit}".rstrip()


__all__ = ["LIMITS", "WHY", "Choice", "Decision"]
