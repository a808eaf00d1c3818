"""The machine that measures: what it is, and whether it slowed down meanwhile."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_sdk.device import Device, DeviceState, StateReader, entries, read_text

PERIOD_S = 1.0
"""How often the device is asked during a run: a Raspberry Pi starts a process to answer."""
SLOWER_CLOCK = 0.85
"""The run's last third at this share of the first third's clock counts as slowing down."""


@dataclass(frozen=True)
class Moment:
    """What matters for speed of a device's state; None is unknown."""

    temperature_c: float | None
    frequency_mhz: float | None
    throttled: bool | None

    @classmethod
    def of(cls, state: DeviceState) -> Moment:
        """Return it of a whole state."""
        return cls(state.temperature_c, state.frequency_mhz, state.throttled)


def facts(device: StateReader, *, root: Path = Path("/")) -> dict[str, Any]:
    """Return what the machine is, for JSON: its identity and key, governors, kernel, Python."""
    identity = device.identity()
    return {**asdict(identity), "key": identity.key, "clock_governors": governors(root),
            "kernel": f"{platform.system()} {platform.release()}",
            "python": platform.python_version()}


def governors(root: Path = Path("/")) -> list[str] | None:
    """Return the names of the clock governors in use, sorted; None where Linux tells none."""
    cpus = root / "sys/devices/system/cpu"
    found = {read_text(cpu / "cpufreq/scaling_governor") for cpu in entries(cpus, r"cpu\d+")}
    return sorted(name for name in found if name) or None


class Watch:
    """Looks at the device from time to time during a run.

    Attributes:
        moments: What was seen, in order.
    """

    def __init__(self, device: StateReader | None = None, *,
                 clock: Callable[[], float] = time.monotonic, period_s: float = PERIOD_S) -> None:
        self._device = device if device is not None else Device()
        self._clock, self._period_s = clock, period_s
        self._last_s: float | None = None
        self.moments: list[Moment] = []

    def look(self, *, now: bool = False) -> None:
        """Read the device's state, if `now` or if the last time was long enough ago."""
        at = self._clock()
        if now or self._last_s is None or at - self._last_s >= self._period_s:
            self._last_s = at
            self.moments.append(Moment.of(self._device.read()))

    def report(self) -> dict[str, Any]:
        """Return the state before, after, and its extremes over the run, for JSON."""
        heats = [m.temperature_c for m in self.moments if m.temperature_c is not None]
        clocks = [m.frequency_mhz for m in self.moments if m.frequency_mhz is not None]
        told = [m.throttled for m in self.moments if m.throttled is not None]
        return {
            "before": asdict(self.moments[0]), "after": asdict(self.moments[-1]),
            "during": {
                "n": len(self.moments),
                "temperature_c": [min(heats), max(heats)] if heats else None,
                "frequency_mhz": [min(clocks), max(clocks)] if clocks else None,
                "throttled": any(told) if told else None,
            },
        }

    def notices(self) -> list[str]:
        """Say what makes the run's figures those of another speed than the device's own."""
        found = []
        throttled = [m.throttled for m in self.moments]
        if throttled[0]:
            found.append("the device was throttled before the run began: its figures are too slow")
        elif True in throttled:
            share = throttled.index(True) / max(1, len(throttled) - 1)
            found.append(f"the device throttled in mid-run, at {share:.0%} of it: "
                         "cool it and run again")
        clocks = [m.frequency_mhz for m in self.moments if m.frequency_mhz is not None]
        third = len(clocks) // 3
        if third:
            first, last = (statistics.median(part) for part in (clocks[:third], clocks[-third:]))
            if last < first * SLOWER_CLOCK:
                found.append(f"the clock fell from {first:.0f} to {last:.0f} MHz during the run")
        return found


def unreadable_counter(root: Path = Path("/")) -> Path | None:
    """Return an energy counter that is there, but not for this user; None if there is none."""
    for folder in entries(root / "sys/class/powercap", r"intel-rapl:\d+"):
        path = folder / "energy_uj"
        if path.exists() and read_text(path) is None:
            return path
    return None
