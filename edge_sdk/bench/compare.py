"""A run beside an older one: what is slower or larger than noise explains."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from edge_sdk.bench import stats
from edge_sdk.bench.result import File, Result
from edge_sdk.errors import ComparisonError

FLOOR = 0.05
"""A change below this share is never called one: days differ by more than passes of an hour."""
FLOOR_MB = 1.0


@dataclass(frozen=True)
class Change:
    """One figure, then and now.

    Attributes:
        file, row: Where; the row is "" for memory.
        what: "latency ms" or "peak RAM MB".
        old, new: The figures.
        limit: The share by which `new` may exceed `old`, of noise or the floor.
        verdict: "slower", "larger", "faster", "smaller", "same", or "noise unknown" where a
            run of one pass is beyond the floor and nothing says whether that is noise.
    """

    file: str
    row: str
    what: str
    old: float
    new: float
    limit: float
    verdict: str

    @property
    def is_regression(self) -> bool:
        """Whether this fails a comparison."""
        return self.verdict in ("slower", "larger")


@dataclass(frozen=True)
class Comparison:
    """All changes, and what else differs between the runs."""

    changes: tuple[Change, ...]
    notices: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Change, ...]:
        """Those that fail it."""
        return tuple(change for change in self.changes if change.is_regression)

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {**asdict(self), "n_regressions": len(self.regressions)}


def compare(old: Result, new: Result, *, floor: float = FLOOR) -> Comparison:
    """Return how `new` differs from `old`, files by name and engine, rows by name and frames.

    Latency: a row's typical time. It has changed if it differs by more than both runs' noise
    (99 %, between passes) and by more than `floor`. Memory: the peak of the whole process,
    beyond the largest and the least of both runs' passes, and beyond `floor` and 1 MB.

    Raises:
        ComparisonError: Another machine, other threads, or nothing that both runs measured.
    """
    demand_comparable(old, new.machine, new.settings["threads"])
    changes: list[Change] = []
    notices = _differences(old, new)
    before = {(file.name, file.engine): file for file in old.files if file.error is None}
    for file in new.files:
        then = before.get((file.name, file.engine))
        if then is None or file.error is not None:
            notices.append(f"{file.name} ({file.engine}) is not in both runs")
            continue
        changes += _file_changes(then, file, floor, notices)
    missing = before.keys() - {(file.name, file.engine) for file in new.files}
    notices += [f"{name} ({engine}) is not in both runs" for name, engine in sorted(missing)]
    if not changes:
        raise ComparisonError("a file and a row that both runs measured", "none",
                              where="--compare", hint="measure the files of the older run")
    return Comparison(tuple(changes), tuple(notices))


def demand_comparable(old: Result, machine: dict[str, Any], threads: int) -> None:
    """Demand that an older run was made on this machine with as many threads.

    Args:
        old: The older run.
        machine: As `machine.facts` gives it.
        threads: Of the engines.

    Raises:
        ComparisonError: It was not.
    """
    hint = "measure the older version here and now, and compare to it"
    then, now = (f"{facts['cpu']}, {facts['key']}" for facts in (old.machine, machine))
    if old.machine["key"] != machine["key"]:
        raise ComparisonError(f"the same machine as the older run: {then}", now,
                              where="--compare", hint=hint)
    if old.settings["threads"] != threads:
        raise ComparisonError(f"the same threads as the older run: {old.settings['threads']}",
                              str(threads), where="--compare", hint=hint)


def _differences(old: Result, new: Result) -> list[str]:
    found = []
    for what, then, now in [
        ("edge_sdk", old.sdk_version, new.sdk_version),
        *((what, old.machine[what], new.machine[what])
          for what in ("python", "kernel", "clock_governors")),
    ]:
        if then != now:
            found.append(f"{what} was {then}, is {now}")
    found += [f"then: {notice}" for notice in old.notices if notice not in new.notices]
    return found


def _file_changes(old: File, new: File, floor: float, notices: list[str]) -> list[Change]:
    if old.sha256 != new.sha256:
        notices.append(f"{new.name} is another file than then: its bytes differ")
    if old.engine_version != new.engine_version:
        notices.append(f"{new.name}: {new.engine} was {old.engine_version}, "
                       f"is {new.engine_version}")
    changes = []
    for row in new.rows:
        then = old.row(row.name, row.frames)
        if then is None:
            notices.append(f"{new.name} {row.name} is not in both runs")
            continue
        noises = [stats.noise(then.rounds_ms), stats.noise(row.rounds_ms)]
        one, two = then.typical.value, row.typical.value
        known = [noise for noise in noises if noise is not None]
        limit = max(math.exp(math.hypot(*known)) - 1, floor)
        verdict = _verdict(one, two, limit, "slower", "faster")
        if verdict != "same" and len(known) < 2:
            verdict = "noise unknown"
        changes.append(Change(new.name, row.name, "latency ms", one, two, limit, verdict))
    gone = [row.name for row in old.rows if new.row(row.name, row.frames) is None]
    notices += [f"{new.name} {name} is not in both runs" for name in gone]
    return [*changes, *_memory(old, new, floor)]


def _memory(old: File, new: File, floor: float) -> list[Change]:
    then, now = old.ram.peak_mb, new.ram.peak_mb
    if then is None or now is None:
        return []
    spread = sum(max(peaks) - min(peaks) for peaks in (
        [mb for mb in ram.peaks_mb if mb is not None] or [0.0] for ram in (old.ram, new.ram)))
    limit = max(floor, FLOOR_MB / then, spread / then)
    verdict = _verdict(then, now, limit, "larger", "smaller")
    return [Change(new.name, "", "peak RAM MB", then, now, limit, verdict)]


def _verdict(old: float, new: float, limit: float, worse: str, better: str) -> str:
    if new > old * (1 + limit):
        return worse
    return better if new * (1 + limit) < old else "same"


def lines(comparison: Comparison) -> list[str]:
    """Return the lines that the command prints."""
    from edge_sdk.bench.table import columns

    cells = [[change.verdict, change.file, change.row or "-", change.what,
              f"{change.old:.4g}", f"{change.new:.4g}", f"{change.new / change.old - 1:+.1%}",
              f"{change.limit:.1%}"] for change in comparison.changes]
    n = len(comparison.regressions)
    return [*columns(("compare", "file", "row", "figure", "old", "new", "change", "limit"), cells,
                     left=4),
            *(f"notice   {notice}" for notice in comparison.notices),
            f"verdict  {n} of {len(cells)} figures worse than noise explains"]
