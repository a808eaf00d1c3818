"""Measures files side by side: `bench`.

Each file has a process of its own. All are started, then take turns, in an order drawn anew
each round, so that what slows the machine for a while slows all of them. Then all are ended and
started again: figures of one process agree too well with themselves (see `stats`).
"""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import edge_sdk
from edge_sdk.bench import machine, stats
from edge_sdk.bench.process import Process
from edge_sdk.bench.result import File, Ram, Result, Row
from edge_sdk.bench.subject import Subject
from edge_sdk.device import Device, StateReader
from edge_sdk.energy import Meter
from edge_sdk.engines.process import pack_error
from edge_sdk.errors import EdgeError, ShapeError

PASSES, ROUNDS, SECONDS = 5, 10, 2.0
ENERGY_SPAN_S = {"rapl package": 1.0, "pi 5 pmic": 3.0, "battery current": 12.0}
"""How long a row runs alone for each counter, above what the counter resolves."""

Report = Callable[[str], None]


@dataclass
class _Taken:
    """What one row gave so far; in ms."""

    opened: list[dict[str, Any]] = field(default_factory=list)
    rounds: list[list[float]] = field(default_factory=list)
    samples: list[float] = field(default_factory=list)
    energy: tuple[float | None, str] = (None, "not measured")


@dataclass
class _Measured:
    """One subject, what starts it, and what it gave so far."""

    subject: Subject
    command: list[str]
    version: str | None
    opened: list[dict[str, Any]] = field(default_factory=list)
    rows: list[_Taken] = field(default_factory=list)
    ram: list[dict[str, float | None]] = field(default_factory=list)
    error: EdgeError | None = None


def bench(
    subjects: Sequence[Subject], *, threads: int = 1, passes: int = PASSES, rounds: int = ROUNDS,
    seconds: float = SECONDS, seed: int = 0, energy: bool = True,
    device: StateReader | None = None, meter: Meter | None = None, command: str = "",
    prefix: Sequence[str] = (), report: Report = lambda text: None,
) -> Result:
    """Measure subjects side by side.

    A subject that can not be measured has its error in the result; the others are measured.

    Args:
        subjects: As `subject.find` gives them; ratios are to the first that can be measured.
        threads: Of each engine.
        passes: Processes of each subject, one after the other.
        rounds: Turns of each row in each process.
        seconds: That each row is timed in all.
        seed: Of the order of turns.
        energy: Read the energy counter, if there is one.
        device: What is asked for heat and clock.
        meter: What reads energy.
        command: Kept in the result.
        prefix: Put before every command, such as `time`.
        report: Called with what is being done.

    Raises:
        ShapeError: Nothing to measure, or a number below 1.
    """
    if not subjects or min(threads, passes, rounds) < 1 or not seconds > 0:
        raise ShapeError("files, and 1 or more threads, passes, rounds, seconds",
                         f"{len(subjects)} files, {threads}, {passes}, {rounds}, {seconds}",
                         where="`subjects`", hint="bench(find(paths), threads=1)")
    reader = device if device is not None else Device()
    gauge = meter if meter is not None else Meter()
    watch, draw = machine.Watch(reader), random.Random(seed)
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    watch.look(now=True)
    with tempfile.TemporaryDirectory(prefix="edge_sdk-") as name:
        measured = [_prepare(subject, Path(name), i, threads)
                    for i, subject in enumerate(subjects)]
        for i in range(passes):
            report(f"pass {i + 1} of {passes}")
            last = i == passes - 1
            _pass(measured, threads=threads, rounds=rounds, draw=draw, watch=watch,
                  turn_s=seconds / (passes * rounds), prefix=prefix, report=report,
                  meter=gauge if energy and last and gauge.source != "none" else None)
    watch.look(now=True)
    files = tuple(_file(one, threads) for one in measured)
    return Result(
        command=command, sdk_version=edge_sdk.__version__, machine=machine.facts(reader),
        settings={"threads": threads, "passes": passes, "rounds": rounds, "seconds": seconds,
                  "seed": seed},
        state=watch.report(), files=files, started_utc=started,
        notices=(*watch.notices(), *_notices(files, gauge if energy else None)))


def _prepare(subject: Subject, folder: Path, i: int, threads: int) -> _Measured:
    own = folder / str(i)
    own.mkdir()
    try:
        return _Measured(subject, *subject.command(own, threads))
    except EdgeError as error:
        return _Measured(subject, [], None, error=error)


def _pass(
    measured: Sequence[_Measured], *, threads: int, rounds: int, draw: random.Random,
    watch: machine.Watch, turn_s: float, prefix: Sequence[str], report: Report,
    meter: Meter | None,
) -> None:
    """Start all that can be started, let them take turns, and end them."""
    with ExitStack() as stack:
        live: dict[int, Process] = {}
        for i, one in enumerate(measured):
            if one.error is None:
                report(f"loading {one.subject.name}")
                _start(live, i, one, threads, prefix, stack)
                watch.look()
        turns = [(i, j) for i in live for j in range(len(measured[i].rows))]
        for _ in range(rounds):
            for i, j in draw.sample(turns, len(turns)):
                if i in live:
                    _turn(live, i, j, measured[i], turn_s)
            watch.look()
        if meter is not None:
            for i, j in turns:
                if i in live:
                    report(f"energy of {measured[i].subject.name}")
                    _energy(live, i, j, measured[i], meter)
        for i in list(live):
            try:
                measured[i].ram.append(live[i].end())
            except EdgeError as error:
                measured[i].error = error


def _start(live: dict[int, Process], i: int, one: _Measured, threads: int,
           prefix: Sequence[str], stack: ExitStack) -> None:
    try:
        process = stack.enter_context(Process(
            [*prefix, *one.command], where=str(one.subject.path), threads=threads))
    except EdgeError as error:
        one.error = error
        return
    live[i] = process
    one.opened.append(process.opened)
    one.rows = one.rows or [_Taken() for _ in process.opened["rows"]]
    for taken, row in zip(one.rows, process.opened["rows"], strict=True):
        taken.opened.append(row)
        taken.rounds.append([])


def _turn(live: dict[int, Process], i: int, j: int, one: _Measured, turn_s: float) -> None:
    try:
        samples = live[i].turn(j, turn_s)
    except EdgeError as error:
        one.error = error
        del live[i]
        return
    one.rows[j].samples += samples
    one.rows[j].rounds[-1].append(statistics.median(samples))


def _energy(live: dict[int, Process], i: int, j: int, one: _Measured, meter: Meter) -> None:
    meter.start()
    try:
        n = live[i].spin(j, ENERGY_SPAN_S.get(meter.source, 1.0))
    except EdgeError as error:
        one.error = error
        del live[i]
        return
    finally:
        total = meter.stop()
    used = total.per(n)
    one.rows[j].energy = used.mj, used.source


# ---- what they gave -------------------------------------------------------------------------


def _file(one: _Measured, threads: int) -> File:
    subject = one.subject
    first = one.opened[0] if one.opened else {}
    whole = {} if one.error is not None else {
        "load_ms": _median([o.get("load_ms") for o in one.opened]),
        "inputs": first.get("inputs", "numbers drawn at random"),
        "ram": _ram(one.ram), "rows": tuple(map(_row, one.rows))}
    return File(
        path=str(subject.path), name=subject.name, kind=subject.kind, sha256=subject.sha256,
        n_bytes=subject.n_bytes, threads=subject.threads(threads),
        engine=first.get("engine", subject.engine),
        engine_version=first.get("engine_version", one.version),
        error=None if one.error is None else pack_error(one.error), **whole)


def _row(taken: _Taken) -> Row:
    first = taken.opened[0]
    return Row(
        name=first["name"], kind=first.get("kind", "method"), frames=first.get("frames"),
        first_ms=statistics.median(row["first_ms"] for row in taken.opened),
        n=len(taken.samples),
        calls_per_sample=max(row["calls_per_sample"] for row in taken.opened),
        mean_ms=statistics.fmean(taken.samples), min_ms=min(taken.samples),
        quantiles_ms=stats.quantiles(taken.samples), rounds_ms=taken.rounds,
        energy_mj=taken.energy[0], energy_source=taken.energy[1],
        answered=first.get("answered"))


def _ram(passes: Sequence[dict[str, float | None]]) -> Ram:
    def middle(name: str) -> float | None:
        return _median([ram.get(name) for ram in passes])

    return Ram(peak_mb=middle("peak_mb"), above_engine_mb=middle("above_engine_mb"),
               engine_mb=middle("engine_mb"), after_load_mb=middle("after_load_mb"),
               peaks_mb=[ram.get("peak_mb") for ram in passes])


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known and len(known) == len(values) else None


def _notices(files: Sequence[File], meter: Meter | None) -> list[str]:
    found = []
    done = [file for file in files if file.error is None]
    if any(file.ram.peak_mb is None for file in done):
        found.append("this system does not tell a process's peak memory")
    elif any(file.ram.above_engine_mb is None and file.kind != "c" for file in done):
        found.append("memory above the engine is unknown: /proc/self/clear_refs is not writable")
    if meter is not None and meter.source == "none":
        blocked = machine.unreadable_counter()
        if blocked is not None:
            found.append(f"no energy: {blocked} is there but can not be read")
    restless = max(((stats.unrest(row.rounds_ms), file.name, row.name)
                    for file in done for row in file.rows), default=(1.0, "", ""))
    if restless[0] > stats.UNREST:
        found.append(f"something else ran: {restless[1]} {restless[2]} took {restless[0]:.1f} "
                     "times as long in one process as in another; measure again when all is quiet")
    unknown = {row.energy_source for file in done for row in file.rows
               if row.energy_mj is None and row.energy_source != "not measured"}
    found += [f"energy unknown: {why}" for why in sorted(unknown)]
    return found
