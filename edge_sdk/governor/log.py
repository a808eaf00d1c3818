"""A governor's log, JSON lines: everything it was told and decided, to be decided again.

The first line holds the format's number and the choices. Each other line is an
`observe`, or a `decide` with its `decision`. null is unknown.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any, NamedTuple, TextIO

from edge_sdk import _native
from edge_sdk.errors import EdgeError, FormatError, OutputError, VersionError
from edge_sdk.governor.choices import Choice, known

FORMAT = 1
LIMITS = ("latency_ms", "energy_mj", "memory_mb", "risk", "min_accuracy", "battery_floor_pct",
          "last_until_s")
NUMBERS = ("battery_pct", "energy_left_mj", "battery_power_mw", "thermal_headroom", "free_ram_mb")
FLAGS = ("charging", "throttled", "power_saver")


class Record(NamedTuple):
    """A decision as a log holds it: the numbers of the core's edge_decision."""

    choice: int
    met: bool
    missed: int
    why: int
    better: int | None
    better_missed: int
    unpaced: bool
    switched: bool
    predicted_p95_ms: float
    better_p95_ms: float | None
    wait_s: float | None
    slowdown: float
    allowed_mj: float | None
    rate_hz: float | None


def record(answer: _native.Decision) -> Record:
    """Return a decision of the core as a log holds it."""
    return Record(
        answer.choice, answer.met, answer.missed, answer.why,
        None if answer.better == _native.NO_CHOICE else answer.better, answer.better_missed,
        answer.unpaced, answer.switched, answer.predicted_p95_ms, known(answer.better_p95_ms),
        known(answer.wait_s), answer.slowdown, known(answer.allowed_mj), known(answer.rate_hz))


class Log:
    """Where a governor writes what it is told and decides.

    Raises:
        OutputError: The path can not be written.
    """

    def __init__(self, out: str | os.PathLike[str] | list[str],
                 choices: Sequence[Choice]) -> None:
        self._file: TextIO | None = None
        self._lines: list[str] = []
        if isinstance(out, list):
            self._lines = out
        else:
            try:
                # Open until close(): a line is on the disk when its decision is made.
                self._file = open(out, "w", encoding="utf-8", buffering=1)  # noqa: SIM115
            except OSError as error:
                raise OutputError("a log that can be written", error.strerror or str(error),
                                  where=str(out), hint="check the path") from error
        self._write({"edge_governor": FORMAT, "version": _native.version(),
                     "choices": [asdict(choice) for choice in choices]})

    def decide(self, limits: Sequence[float], state: Any, now_s: float, rate_hz: float | None,
               answer: _native.Decision) -> None:
        """Add a decision, and all that it came from."""
        told: dict[str, Any] = {name: _number(limit) for name, limit in
                                zip(LIMITS, limits, strict=True)}
        told |= {name: _number(getattr(state, name, None)) for name in NUMBERS}
        told |= {name: _flag(getattr(state, name, None)) for name in FLAGS}
        told |= {"now_s": _number(now_s), "rate_hz": _number(rate_hz)}
        self._write({"decide": told, "decision": record(answer)._asdict()})

    def observe(self, choice: int, latency_ms: float, energy_mj: float | None,
                now_s: float) -> None:
        """Add an observation."""
        self._write({"observe": {"choice": choice, "latency_ms": _number(latency_ms),
                                 "energy_mj": _number(energy_mj), "now_s": _number(now_s)}})

    def close(self) -> None:
        """Close the file, if it is one."""
        if self._file is not None:
            self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps(line)
        if self._file is None:
            self._lines.append(text)
            return
        try:
            self._file.write(f"{text}\n")
        except (OSError, ValueError) as error:
            raise OutputError("room for the log", str(error), where=self._file.name,
                              hint="free some space, or do not close the governor yet") from error


def _number(value: Any) -> float | None:
    return None if value is None else known(float(value))


def _flag(value: Any) -> bool | None:
    return None if value is None else bool(value)


def replay(log: str | os.PathLike[str] | Iterable[str]) -> Iterator[tuple[Record, Record]]:
    """Yield each decision of a log, and what the core decides of the same inputs now.

    Args:
        log: A path, or the lines.

    Raises:
        FormatError: No such file, or a line that is not one of a governor's log.
        VersionError: A log of a newer format.
    """
    lines = _lines(log)
    governor: _native.Governor | None = None
    for number, text in enumerate(lines, start=1):
        try:
            line = json.loads(text)
            if governor is None:
                governor = _start(line)
            elif "observe" in line:
                seen = line["observe"]
                governor.observe(seen["choice"], _nan(seen["latency_ms"]), seen["energy_mj"],
                                 seen["now_s"])
            else:
                yield Record(**line["decision"]), record(_decide(governor, line["decide"]))
        except VersionError:
            raise
        except (EdgeError, ValueError, TypeError, KeyError, OverflowError) as error:
            raise FormatError("a line of a governor's log", f"{type(error).__name__}: {error}",
                              where=f"line {number}", hint="write the log again") from error
    if governor is None:
        raise FormatError("a governor's log", "no line", where=str(log), hint="check the path")


def _lines(log: str | os.PathLike[str] | Iterable[str]) -> Iterator[str]:
    if not isinstance(log, str | os.PathLike):
        yield from log
        return
    try:
        with open(log, encoding="utf-8") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError("a governor's log", str(error), where=str(log),
                          hint="check the path") from error


def _start(line: dict[str, Any]) -> _native.Governor:
    written = line["edge_governor"]
    if not isinstance(written, int) or written > FORMAT:
        raise VersionError(f"format {FORMAT} or older", str(written), where="line 1",
                           hint="update edge-inference-sdk")
    return _native.Governor([Choice(**choice).row() for choice in line["choices"]])


def _decide(governor: _native.Governor, told: dict[str, Any]) -> _native.Decision:
    governor.allow(*(_nan(told[name]) for name in LIMITS))
    state = SimpleNamespace(**{name: told[name] for name in (*NUMBERS, *FLAGS)})
    return governor.decide(state, told["now_s"], told["rate_hz"])


def _nan(value: float | None) -> float:
    return math.nan if value is None else value


__all__ = ["Log", "Record", "record", "replay"]
