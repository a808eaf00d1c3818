"""The energy of an inference: measured where there is a counter, modelled where asked, labelled.

Counters see more than one inference: the processor's package, or the whole
device. Measure a span of many inferences on an otherwise idle device, take the
idle power off, and divide:

    meter = Meter()
    meter.idle(seconds=20)
    with meter:
        for _ in range(1000):
            model(x)
    print(meter.energy.per(1000))
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol

from edge_sdk.device import Batteries, Run, Vcgencmd, entries, read_number, read_text
from edge_sdk.errors import EdgeError

# A 32-bit float multiplication (3.7 pJ) and addition (0.9 pJ) at 45 nm and 0.9 V: M. Horowitz,
# "Computing's energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9.
PJ_PER_MAC = 4.6
# 640 pJ for a 32-bit word of DRAM: S. Han et al., "Learning both Weights and Connections for
# Efficient Neural Networks", NIPS 2015, after Horowitz.
PJ_PER_BYTE = 160.0

MOST_GIVEN = 1e30  # of operations, bytes or picojoules: far off, and products stay finite
MOST_AMPERES, MOST_VOLTS, MOST_MW = 100.0, 100.0, 1e6


@dataclass(frozen=True)
class Energy:
    """An amount of energy and where it comes from.

    Attributes:
        mj: Millijoules; None if unknown.
        source: The counter or the model, what was taken off, or why it is unknown.
        measured: Whether a counter of this device gave `mj`.
    """

    mj: float | None
    source: str
    measured: bool

    def per(self, n: int) -> Energy:
        """Return the mean over the `n` inferences of the span.

        Raises:
            EdgeError: `n` is not positive.
        """
        if n < 1:
            raise EdgeError("one inference or more", str(n), where="n",
                            hint="pass how many ran between start() and stop()")
        if self.mj is None:
            return self
        return Energy(self.mj / n, f"{self.source}, mean of {n}", self.measured)


def modelled(macs: int, bytes_moved: int, *, pj_per_mac: float = PJ_PER_MAC,
             pj_per_byte: float = PJ_PER_BYTE) -> Energy:
    """Return macs * pj_per_mac + bytes_moved * pj_per_byte: a model, and labelled as one.

    It ranks variants of one network; it does not say what a battery loses. The defaults are
    published figures of a 45 nm chip and its DRAM (Horowitz, ISSCC 2014; Han et al., NIPS
    2015), not this device's: those come from fitting measured spans.

    Args:
        macs: Multiplications with accumulation, of 32-bit floats for the default.
        bytes_moved: Bytes to and from DRAM.
        pj_per_mac: Picojoules each.
        pj_per_byte: Picojoules each.

    Raises:
        EdgeError: A number is negative, NaN or beyond 1e30.
    """
    given = {"macs": macs, "bytes_moved": bytes_moved,
             "pj_per_mac": pj_per_mac, "pj_per_byte": pj_per_byte}
    for name, value in given.items():
        if not 0 <= value <= MOST_GIVEN:
            raise EdgeError(f"a number from 0 to {MOST_GIVEN:g}", str(value), where=name,
                            hint="count the model's operations and bytes; costs are in picojoules")
    published = pj_per_mac == PJ_PER_MAC and pj_per_byte == PJ_PER_BYTE
    whose = "published for 45 nm, not this device's" if published else "as given by the caller"
    return Energy((macs * pj_per_mac + bytes_moved * pj_per_byte) * 1e-9,
                  f"model: {pj_per_mac:g} pJ/MAC + {pj_per_byte:g} pJ/byte, {whose}", False)


# ---- counters -------------------------------------------------------------------------

Reading = tuple[float, ...]


class Sample(NamedTuple):
    """What a counter said at a time in seconds; None if it did not answer."""

    time_s: float
    reading: Reading | None


class Unmeasured(Exception):
    """Why a span has no energy; becomes the `source` of an `Energy`."""


class Counter(Protocol):
    """A source of energy or power.

    `min_span_s` is the shortest span it resolves, `period_s` how often it must be read.
    """

    source: str
    min_span_s: float
    period_s: float

    def read(self) -> Reading | None: ...

    def energy_mj(self, samples: list[tuple[float, Reading]]) -> float: ...


class RaplCounter:
    """Intel's and AMD's running average power limit: energy of the processor packages.

    DRAM and the rest of the board are not in it. The counter moves about every millisecond
    (Intel, Software Developer's Manual, volume 3B, "RAPL Interfaces"), so 0.1 s resolves one
    in a hundred. It wraps within minutes to hours: it is read every 10 s, and turns between
    two readings are counted once. Most systems let only root read it.
    """

    source = "rapl package"
    min_span_s = 0.1
    period_s = 10.0

    def __init__(self, root: Path) -> None:
        # intel-rapl:0:1 is inside intel-rapl:0, and intel-rapl-mmio:0 is it once more.
        self._packages = [
            folder for folder in entries(root / "sys/class/powercap", r"intel-rapl:\d+")
            if (read_text(folder / "name") or "").startswith("package")]
        self._ranges_uj = [read_number(folder / "max_energy_range_uj")
                           for folder in self._packages]

    def read(self) -> Reading | None:
        """Return microjoules of each package."""
        values = [read_number(folder / "energy_uj") for folder in self._packages]
        known = tuple(value for value in values if value is not None and value >= 0)
        return known if known and len(known) == len(values) else None

    def energy_mj(self, samples: list[tuple[float, Reading]]) -> float:
        total_uj = 0.0
        for (_, before), (_, after) in pairwise(samples):
            for start_uj, end_uj, range_uj in zip(before, after, self._ranges_uj, strict=True):
                total_uj += _turned(start_uj, end_uj, range_uj)
        if total_uj == 0:
            raise Unmeasured("the counter stood still")
        return total_uj * 1e-3


def _turned(start_uj: float, end_uj: float, range_uj: float | None) -> float:
    """Return the difference of two readings of a counter that starts again at `range_uj`."""
    if end_uj >= start_uj:
        return end_uj - start_uj
    if range_uj is None or range_uj < start_uj:
        raise Unmeasured("the counter went back and its range is unknown")
    return end_uj + range_uj - start_uj


class PowerCounter:
    """A gauge of momentary power; its energy is the trapezoids between samples."""

    source = ""

    def energy_mj(self, samples: list[tuple[float, Reading]]) -> float:
        return sum((end_s - start_s) * (start_mw + end_mw) / 2
                   for (start_s, (start_mw,)), (end_s, (end_mw,)) in pairwise(samples))


class PmicCounter(PowerCounter):
    """The Raspberry Pi 5's power chip: sum of volt times ampere over the rails it supplies.

    What runs on the 5 V input itself (USB, a fan) and the chip's own losses are not in it. Each
    reading starts a process, which is in it.
    """

    source = "pi 5 pmic"
    min_span_s = 1.0
    period_s = 0.25

    def __init__(self, root: Path, run: Run | None) -> None:
        self._firmware = Vcgencmd(root, run)

    def read(self) -> Reading | None:
        """Return milliwatts."""
        power_mw = pmic_power_mw(self._firmware.ask("pmic_read_adc") or "")
        return None if power_mw is None else (power_mw,)


def pmic_power_mw(text: str) -> float | None:
    """Return the milliwatts that `vcgencmd pmic_read_adc` printed.

    Lines are "VDD_CORE_A current(7)=1.5A" and "VDD_CORE_V volt(15)=0.8V". A rail with a voltage
    alone (the 5 V input, the clock's battery) has no known power and does not count; a current
    without its voltage would make the sum too small, so then all is unknown.
    """
    lines = re.findall(r"^\s*(\w+)_([AV]) (?:current|volt)\(\d+\)=([0-9]{1,3}\.[0-9]{1,12})\2\s*$",
                       text, re.MULTILINE)
    amperes = {rail: float(value) for rail, unit, value in lines if unit == "A"}
    volts = {rail: float(value) for rail, unit, value in lines if unit == "V"}
    if not amperes or not amperes.keys() <= volts.keys():
        return None
    if max(amperes.values()) > MOST_AMPERES or max(volts.values()) > MOST_VOLTS:
        return None
    power_mw = 1e3 * sum(ampere * volts[rail] for rail, ampere in amperes.items())
    return power_mw if 0 < power_mw <= MOST_MW else None


class BatteryCounter(PowerCounter):
    """What leaves the batteries: the whole device with its screen, and only while discharging.

    Gauges average over seconds, hence the long span.
    """

    source = "battery current"
    min_span_s = 10.0
    period_s = 1.0

    def __init__(self, root: Path) -> None:
        self._batteries = Batteries(root)

    def read(self) -> Reading | None:
        """Return milliwatts, None while charging."""
        drain_mw = self._batteries.read().drain_mw
        return (drain_mw,) if drain_mw is not None and drain_mw > 0 else None

    def there(self) -> bool:
        """Return whether a battery has a gauge, even if it is charging now."""
        return any(read_number(folder / name) is not None for folder in self._batteries.folders
                   for name in ("power_now", "current_now"))


# ---- meter ----------------------------------------------------------------------------


class Meter:
    """Measures the energy of a span, by the best counter that can be read.

    RAPL, else the Raspberry Pi 5's power chip, else the battery. `with meter:` is start() and
    stop(), and leaves the result in `meter.energy`. A thread of its own reads the counter
    between the two. One span at a time.

    Args:
        root: Where /sys lies.
        run: Runs a command, as in `Device`.
        idle_mw: Power of the idle device, taken off every span; `idle` measures it.
        clock: Seconds.
        sleep: Waits for seconds.
        background: False leaves reading between start() and stop() to your calls of `sample`.
    """

    def __init__(self, *, root: Path = Path("/"), run: Run | None = None,
                 idle_mw: float | None = None, clock: Callable[[], float] = time.perf_counter,
                 sleep: Callable[[float], None] = time.sleep, background: bool = True) -> None:
        if idle_mw is not None and not (math.isfinite(idle_mw) and idle_mw >= 0):
            raise EdgeError("a finite power, 0 or more", str(idle_mw), where="idle_mw",
                            hint="measure it with idle(seconds), or leave it out")
        self.idle_mw = idle_mw
        self.energy: Energy | None = None
        self._counter = _best_counter(root, run)
        self._clock, self._sleep, self._background = clock, sleep, background
        self._samples: list[Sample] = []
        self._sampling = threading.Lock()
        self._running = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def source(self) -> str:
        """The counter's name: "rapl package", "pi 5 pmic", "battery current" or "none"."""
        return self._counter.source if self._counter is not None else "none"

    def start(self) -> None:
        """Begin a span.

        Raises:
            EdgeError: One has begun already.
        """
        if self._running:
            raise EdgeError("one span at a time", "start() after start()", where="Meter",
                            hint="call stop() first, or use a second Meter")
        self._running, self._samples = True, []
        self.sample()
        if self._background and self._counter is not None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._watch, args=(self._counter.period_s,),
                                            name="edge_sdk energy meter", daemon=True)
            self._thread.start()

    def sample(self) -> None:
        """Read the counter once, within a span."""
        if self._counter is not None:
            with self._sampling:
                self._samples.append(Sample(self._clock(), self._counter.read()))

    def stop(self) -> Energy:
        """End the span and return its energy, less `idle_mw` if that is known.

        `mj` is None, and `source` says why, if there is no counter, the span is shorter than
        the counter resolves, a reading failed, or nothing is left above idle.

        Raises:
            EdgeError: No span has begun.
        """
        self._end()
        try:
            total_mj, span_s = self._total()
            self.energy = self._less_idle(total_mj, span_s)
        except Unmeasured as why:
            self.energy = Energy(None, f"{self.source}: {why}", False)
        return self.energy

    def idle(self, seconds: float) -> float | None:
        """Wait, measure the mean power in milliwatts, and take it off every later span.

        Returns None, and takes nothing off, if it can not be measured in this time.
        """
        self.start()
        try:
            self._sleep(seconds)
        finally:
            self._end()
        try:
            total_mj, span_s = self._total()
            self.idle_mw = total_mj / span_s
        except Unmeasured:
            self.idle_mw = None
        return self.idle_mw

    def __enter__(self) -> Meter:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def _watch(self, period_s: float) -> None:
        while not self._stopping.wait(period_s):
            self.sample()

    def _end(self) -> None:
        if not self._running:
            raise EdgeError("start() before stop()", "stop() alone", where="Meter",
                            hint="use `with meter:`")
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.sample()
        self._running = False

    def _total(self) -> tuple[float, float]:
        """Return (millijoules, seconds) of the span."""
        if self._counter is None:
            raise Unmeasured("no energy counter can be read here")
        span_s = self._samples[-1].time_s - self._samples[0].time_s
        if not span_s >= self._counter.min_span_s:
            raise Unmeasured(f"a span of {span_s:.3g} s, it resolves "
                             f"{self._counter.min_span_s:g} s or more")
        # A gap is not bridged: what ran meanwhile may be just what was to be measured.
        known = [(time_s, reading) for time_s, reading in self._samples if reading is not None]
        if len(known) < len(self._samples):
            raise Unmeasured("it did not answer throughout the span")
        total_mj = self._counter.energy_mj(known)
        if total_mj / span_s > MOST_MW:  # a counter that began anew looks like one that turned
            raise Unmeasured(f"{total_mj / span_s:.3g} mW can not be right")
        return total_mj, span_s

    def _less_idle(self, total_mj: float, span_s: float) -> Energy:
        if self.idle_mw is None:
            return Energy(total_mj, self.source, True)
        if total_mj <= self.idle_mw * span_s:
            raise Unmeasured(f"nothing above the idle {self.idle_mw:.0f} mW")
        return Energy(total_mj - self.idle_mw * span_s,
                      f"{self.source}, less idle {self.idle_mw:.0f} mW", True)


def _best_counter(root: Path, run: Run | None) -> Counter | None:
    rapl, pmic, battery = RaplCounter(root), PmicCounter(root, run), BatteryCounter(root)
    if rapl.read() is not None:
        return rapl
    if pmic.read() is not None:
        return pmic
    return battery if battery.there() else None
