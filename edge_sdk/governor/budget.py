"""What the caller allows an inference to cost."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_sdk.errors import BudgetError

UNIT_S = {"s": 1, "min": 60, "h": 3600}
FORMS = 'battery="last until 18:00", "last 6 h", "last 90 min", "20 %" or 20'

_UNTIL = re.compile(r"last\s+until\s+(\d{1,2}):(\d{2})")
_FOR = re.compile(r"last\s+(\d+(?:\.\d+)?)\s*(s|min|h)")
_FLOOR = re.compile(r"(\d+(?:\.\d+)?)\s*%")


@dataclass(frozen=True)
class Budget:
    """What an inference may cost; None where there is no limit.

    A cost that is unknown misses a limit on it.

    Args:
        latency_ms: Of the 95th percentile.
        energy_mj: Of an inference.
        battery: "last until 18:00" (local time; tomorrow's if it is past),
            "last 6 h" or "last 90 min" from the first decision on: what is
            left is spent evenly until then. 20 or "20 %" is a floor, below
            which the thriftiest choice runs.
        memory_mb: Of RAM.
        risk: Of a cascade's early answer being another than the full model's, 0 to 1.
        min_accuracy: 0 to 1.

    Raises:
        BudgetError: A limit that is no number, is out of range, or a text of another form.
    """

    latency_ms: float | None = None
    energy_mj: float | None = None
    battery: str | float | None = None
    memory_mb: float | None = None
    risk: float | None = None
    min_accuracy: float | None = None

    def __post_init__(self) -> None:
        for name in ("latency_ms", "energy_mj", "memory_mb"):
            _demand_within(getattr(self, name), 0, math.inf, name)
        for name in ("risk", "min_accuracy"):
            _demand_within(getattr(self, name), 0, 1, name)
        battery_of(self.battery)


@dataclass(frozen=True)
class Battery:
    """A battery policy, read: a floor, a time of day, or a length of time."""

    floor_pct: float | None = None
    until: tuple[int, int] | None = None
    for_s: float | None = None

    def ends(self, clock: Callable[[], datetime]) -> datetime | None:
        """Return the next such time of day on the local clock; None if none is named."""
        if self.until is None:
            return None
        now = clock()
        hour, minute = self.until
        end = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        return end if end > now else end + timedelta(days=1)


def battery_of(policy: str | float | None) -> Battery:
    """Return what a battery policy says.

    Raises:
        BudgetError: It is of none of the forms that `Budget` names.
    """
    if policy is None:
        return Battery()
    if isinstance(policy, str):
        text = policy.strip().lower()
        if found := _UNTIL.fullmatch(text):
            hour, minute = int(found[1]), int(found[2])
            if hour < 24 and minute < 60:
                return Battery(until=(hour, minute))
        elif found := _FOR.fullmatch(text):
            for_s = float(found[1]) * UNIT_S[found[2]]
            if 0 < for_s <= 366 * 86400:
                return Battery(for_s=for_s)
        elif found := _FLOOR.fullmatch(text):
            return Battery(floor_pct=_demand_within(float(found[1]), 0, 100, "battery"))
        raise BudgetError("a battery policy", repr(policy), where="`battery`", hint=FORMS)
    return Battery(floor_pct=_demand_within(policy, 0, 100, "battery"))


def _demand_within(value: float | None, least: float, most: float, name: str) -> float | None:
    """Return `value` as a number from `least` to `most`; above 0 and finite if `most` is not."""
    if value is None:
        return None
    limit = f"a number above {least}" if most == math.inf else f"a number from {least} to {most}"
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (least <= number <= most and number < math.inf and (number > 0 or most < math.inf)):
        hint = FORMS if name == "battery" else "leave it out for no limit"
        raise BudgetError(limit, repr(value), where=f"`{name}`", hint=hint)
    return number


__all__ = ["Battery", "Budget", "battery_of"]
