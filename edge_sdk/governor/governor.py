"""`Governor`: the core's decisions, with times of day, words and a log."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Protocol

from edge_sdk import _native
from edge_sdk.errors import BudgetError, ShapeError
from edge_sdk.governor.budget import Battery, Budget, battery_of
from edge_sdk.governor.choices import Choice, Decision
from edge_sdk.governor.log import Log

REFRESH_S = 60.0
"""How often a time of day is looked up again: the two clocks may part, as in suspend."""


class DeviceState(Protocol):
    """What a device says of itself; any may be None."""

    @property
    def battery_pct(self) -> float | None: ...
    @property
    def charging(self) -> bool | None: ...
    @property
    def energy_left_mj(self) -> float | None: ...
    @property
    def battery_power_mw(self) -> float | None: ...
    @property
    def thermal_headroom(self) -> float | None: ...
    @property
    def throttled(self) -> bool | None: ...
    @property
    def power_saver(self) -> bool | None: ...
    @property
    def free_ram_mb(self) -> float | None: ...


class Governor:
    """Picks granularity, thresholds and threads of the next inference, and learns from the last.

    For one stream of inferences in one thread. Equal inputs from the start on
    give equal decisions, in every language; the rules are in runtime/src/governor.c.

    Args:
        choices: The profile; 1 to 32. Where accuracies are unknown, in ascending order.
        log: A path to write, or a list to append to: JSON lines that `replay` takes.
        clock: The local time of day, for "last until 18:00".

    Raises:
        ShapeError: No choice, or more than 32.
        OutputError: The log can not be written.
    """

    def __init__(
        self, choices: Sequence[Choice], *, log: str | os.PathLike[str] | list[str] | None = None,
        clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        if not 1 <= len(choices) <= _native.MAX_CHOICES:
            raise ShapeError(f"1 to {_native.MAX_CHOICES} choices", str(len(choices)),
                             where="`choices`", hint="leave out those that are never best")
        self.choices = tuple(choices)
        self._clock = clock
        self._native = _native.Governor([choice.row() for choice in self.choices])
        self._budget: Budget | None = None
        self._battery = Battery()
        self._ends: datetime | None = None
        self._ends_s = math.nan
        self._look_up_s = math.inf
        self._limits: tuple[float, ...] = ()
        self._log = None if log is None else Log(log, self.choices)

    def decide(
        self, budget: Budget, state: DeviceState | None = None, *, now_s: float | None = None,
        rate_hz: float | None = None, strict: bool = False,
    ) -> Decision:
        """Return how to run the next inference: the most accurate choice that fits.

        If nothing fits, the fastest choice runs, and the decision says that the
        budget was missed.

        Args:
            budget: A new one is followed at once.
            state: Any object with the attributes of `DeviceState`; None: nothing is known.
            now_s: Any clock that does not go back; `time.monotonic()` if left out.
            rate_hz: Inferences a second to expect; learnt from the calls if left out.
            strict: Raise instead of missing the budget.

        Raises:
            BudgetError: With `strict`, nothing fits.
            ShapeError: A signal that is no number.
        """
        if now_s is None:
            now_s = time.monotonic()
        if budget is not self._budget or not now_s < self._look_up_s:
            self._allow(budget, now_s)
        try:
            answer = self._native.decide(state, now_s, rate_hz)
        except (TypeError, ValueError, OverflowError) as error:
            raise ShapeError("numbers or None", str(error), where="`state`, `now_s`, `rate_hz`",
                             hint="unknown signals are None") from error
        if self._log is not None:
            self._log.decide(self._limits, state, now_s, rate_hz, answer)
        decision = Decision(answer, self.choices, budget)
        if strict and not answer.met:
            raise BudgetError("a choice within the budget", decision.reason, where="`budget`",
                              hint="allow more, or leave out strict=True")
        return decision

    def observe(
        self, ran: Decision | Choice, latency_ms: float, energy_mj: float | None = None, *,
        now_s: float | None = None,
    ) -> None:
        """Learn from an inference that has run; latencies that are no such thing are ignored.

        Raises:
            ShapeError: A choice that is none of this governor's, or no number.
        """
        if now_s is None:
            now_s = time.monotonic()
        index = ran.index if isinstance(ran, Decision) else self._index(ran)
        try:
            self._native.observe(index, latency_ms, energy_mj, now_s)
        except (TypeError, ValueError, OverflowError) as error:
            raise ShapeError("numbers", f"{latency_ms!r}, {energy_mj!r}, {now_s!r}",
                             where="`latency_ms`, `energy_mj`, `now_s`",
                             hint="an unknown energy is None") from error
        if self._log is not None:
            self._log.observe(index, latency_ms, energy_mj, now_s)

    def close(self) -> None:
        """Close the log."""
        if self._log is not None:
            self._log.close()

    def __enter__(self) -> Governor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def _index(self, choice: Choice) -> int:
        try:
            return self.choices.index(choice)
        except ValueError:
            raise ShapeError("a choice of this governor", repr(choice), where="`ran`",
                             hint="pass the decision") from None

    def _allow(self, budget: Budget, now_s: float) -> None:
        """Hand the core a budget, its time of day on the clock of `now_s`."""
        if budget != self._budget:
            self._battery = battery_of(budget.battery)
            self._ends = self._battery.ends(self._clock)
            self._ends_s = math.nan
        self._budget = budget
        self._look_up_s = math.inf
        if not math.isfinite(now_s):  # no time yet: look again at the next decision
            now_s = self._look_up_s = math.nan
        if self._ends is not None:
            self._ends_s = now_s + (self._ends.timestamp() - self._clock().timestamp())
            self._look_up_s = now_s + REFRESH_S
        elif self._battery.for_s is not None and math.isnan(self._ends_s):
            self._ends_s = now_s + self._battery.for_s
        limits = (budget.latency_ms, budget.energy_mj, budget.memory_mb, budget.risk,
                  budget.min_accuracy, self._battery.floor_pct)
        self._limits = (*(math.nan if limit is None else float(limit) for limit in limits),
                        self._ends_s)
        self._native.allow(*self._limits)


__all__ = ["DeviceState", "Governor"]
