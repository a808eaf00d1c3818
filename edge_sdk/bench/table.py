"""A result as aligned lines for people and grep, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from edge_sdk.bench.result import File, Ratio, Result, Row

UNKNOWN = "unknown"
MOST_DIGITS = 9


def lines(result: Result) -> list[str]:
    """Return the lines that the command prints: the machine, files, rows, then what to know."""
    found = [*_head(result), ""]
    measured = [file for file in result.files if file.error is None]
    if measured:
        found += [*columns(_FILE_HEAD, [_file_cells(file) for file in measured], left=2), ""]
        found += columns(_ROW_HEAD, _row_cells(result, measured), left=3)
        for file in measured:
            for row in file.rows:
                if row.answered:
                    shares = "  ".join(f"{level} {share:.0%}"
                                       for level, share in row.answered.items())
                    found.append(f"answers  {file.name} {row.name}: {shares}")
    for file in result.files:
        if file.error is not None:
            error = file.error
            found.append(f"error    {file.name}: {error['kind']}: expected {error['expected']}, "
                         f"got {error['got']} (hint: {error['hint']})")
    return [*found, *(f"notice   {notice}" for notice in result.notices)]


def _head(result: Result) -> list[str]:
    machine, state, settings = result.machine, result.state, result.settings
    governor = ",".join(machine["clock_governors"] or [UNKNOWN])
    names = dict.fromkeys(name for name in (machine["model"], machine["cpu"]) if name)
    heat = [f"{_shown(state[when]['temperature_c'], 1)} C" for when in ("before", "after")]
    clock = [f"{_shown(state[when]['frequency_mhz'], 0)} MHz" for when in ("before", "after")]
    throttled = [_yes(state["before"]["throttled"]), _yes(state["during"]["throttled"])]
    return [
        f"machine  {'  '.join(names) or UNKNOWN}  {machine['machine'] or UNKNOWN}  "
        f"{machine['n_cores'] or UNKNOWN} cores  {machine['kernel']}  governor {governor}",
        f"state    {heat[0]} -> {heat[1]}  {clock[0]} -> {clock[1]}  "
        f"throttled {throttled[0]} before, {throttled[1]} in the run",
        f"run      edge_sdk {result.sdk_version}  python {machine['python']}  "
        f"threads {settings['threads']}  processes {settings['passes']}  "
        f"rounds {settings['rounds']}  seconds a row {settings['seconds']:g}",
    ]


_FILE_HEAD = ("file", "engine", "bytes", "load ms", "first ms", "RAM MB peak", "above engine",
              "after load")
_ROW_HEAD = ("file", "row", "kind", "n", "first ms", "min ms", "mean ms", "p50 ms", "p90 ms",
             "p99 ms", "energy mJ", "ratio", "rerun within")


def _file_cells(file: File) -> list[str]:
    ram = file.ram
    return [file.name, " ".join(filter(None, (file.engine, file.engine_version))),
            str(file.n_bytes), _time(file.load_ms), _time(file.rows[0].first_ms),
            *(_shown(mb, 1) for mb in (ram.peak_mb, ram.above_engine_mb, ram.after_load_mb))]


def _row_cells(result: Result, measured: Sequence[File]) -> list[list[str]]:
    beside = {(ratio.file, ratio.row): ratio for ratio in result.ratios}
    cells = []
    for file in measured:
        for row in file.rows:
            ratio = beside.get((file.name, row.name))
            frames = "" if row.frames is None else \
                f", {row.frames} frame{'s' if row.frames > 1 else ''}"
            cells.append([
                file.name, row.name, row.kind + frames, str(row.n), *map(_time, _times(row)),
                UNKNOWN if row.energy_mj is None else _time(row.energy_mj),
                *(["1", "-"] if file is measured[0] else _ratio(ratio))])
    return cells


def _times(row: Row) -> list[float | None]:
    tail = [row.quantiles_ms.get(percent) for percent in (50, 90, 99)]
    return [row.first_ms, row.min_ms, row.mean_ms, *tail]


def _ratio(ratio: Ratio | None) -> list[str]:
    if ratio is None:
        return ["-", "-"]
    if ratio.low is None or ratio.high is None:
        return [f"{ratio.value:.3f}", UNKNOWN]
    return [f"{ratio.value:.3f}", f"{ratio.low:.3f}..{ratio.high:.3f}"]


def columns(head: Sequence[str], cells: Sequence[Sequence[str]], *, left: int) -> list[str]:
    """Return lines of aligned columns two spaces apart, the first `left` of them to the left."""
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    return ["  ".join(cell.ljust(width) if i < left else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
            for row in (head, *cells)]


def _shown(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def _time(value: float | None) -> str:
    """Return four significant digits without an exponent."""
    if value is None:
        return UNKNOWN
    exponent = int(f"{value:.3e}".partition("e")[2])  # after rounding: 9.9999 is 10.00
    return f"{value:.{min(max(3 - exponent, 0), MOST_DIGITS)}f}"


def _yes(value: bool | None) -> str:
    return UNKNOWN if value is None else "yes" if value else "no"


def to_csv(result: Result) -> str:
    """Return one line for each row, with a header; what is unknown is empty."""
    beside = {(ratio.file, ratio.row): ratio for ratio in result.ratios}
    table: list[dict[str, Any]] = []
    for file in result.files:
        for row in file.rows:
            ratio = beside.get((file.name, row.name))
            low, high = row.typical.low, row.typical.high
            table.append({
                "file": file.name, "engine": file.engine, "engine_version": file.engine_version,
                "threads": file.threads, "sha256": file.sha256, "n_bytes": file.n_bytes,
                "load_ms": file.load_ms, "peak_mb": file.ram.peak_mb,
                "above_engine_mb": file.ram.above_engine_mb,
                "after_load_mb": file.ram.after_load_mb, "row": row.name, "kind": row.kind,
                "frames": row.frames, "n": row.n, "first_ms": row.first_ms,
                "min_ms": row.min_ms, "mean_ms": row.mean_ms,
                **{f"p{percent}_ms": value for percent, value in row.quantiles_ms.items()},
                "typical_ms": row.typical.value, "typical_low_ms": low, "typical_high_ms": high,
                "energy_mj": row.energy_mj, "ratio": ratio and ratio.value,
                "ratio_low": ratio and ratio.low, "ratio_high": ratio and ratio.high})
    out = io.StringIO()
    writer = csv.DictWriter(out, list(table[0]) if table else ["file"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return out.getvalue().rstrip("\n")
