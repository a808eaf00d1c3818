"""Results of runs that nobody made, for tests of what becomes of them."""

from __future__ import annotations

from dataclasses import replace

from edge_sdk.bench.result import File, Ram, Result, Row

PASSES, ROUNDS = 5, 4
MACHINE = {"model": "Raspberry Pi 5 Model B Rev 1.0", "machine": "aarch64", "cpu": "Cortex-A76",
           "n_cores": 4, "ram_mb": 8062.0, "key": "0123456789abcdef",
           "clock_governors": ["ondemand"], "kernel": "Linux 6.12.1", "python": "3.11.2"}
STATE = {"before": {"temperature_c": 48.3, "frequency_mhz": 2400.0, "throttled": False},
         "after": {"temperature_c": 61.25, "frequency_mhz": 2400.0, "throttled": False},
         "during": {"n": 30, "temperature_c": [48.3, 61.25], "frequency_mhz": [2400.0, 2400.0],
                    "throttled": False}}
NOTHING = {"before": dict.fromkeys(("temperature_c", "frequency_mhz", "throttled")),
           "after": dict.fromkeys(("temperature_c", "frequency_mhz", "throttled")),
           "during": {"n": 2, "temperature_c": None, "frequency_mhz": None, "throttled": None}}
ONCE = {"threads": 1, "passes": 1, "rounds": ROUNDS, "seconds": 2.0, "seed": 0}


def row(name="M", ms=1.0, *, spread=0.01, passes=PASSES, **changes) -> Row:
    """Return a row whose passes' medians lie around `ms`, evenly within `spread` of it."""
    middle = (passes - 1) / 2
    rounds = [[ms * (1 + spread * (i - middle) / max(middle, 1))] * ROUNDS for i in range(passes)]
    plain = {
        "kind": "granularity", "frames": None, "first_ms": 3.21 * ms, "n": 1000,
        "calls_per_sample": 1, "mean_ms": 1.05 * ms, "min_ms": 0.97 * ms,
        "quantiles_ms": {1: 0.97 * ms, 50: ms, 90: 1.2 * ms, 99: 1.7 * ms},
        "rounds_ms": rounds,
    }
    return Row(name=name, **{**plain, **changes})


def file(name="m.onnx", rows=None, peak_mb=60.0, **changes) -> File:
    """Return a file with the rows S and M, unless others are given."""
    plain = {
        "path": f"folder/{name}", "kind": "artifact", "sha256": "1" * 64, "n_bytes": 629212,
        "threads": 1, "engine": "onnx", "engine_version": "1.31.1", "load_ms": 32.5,
        "inputs": "3 golden cases",
        "ram": Ram(peak_mb, 14.25, 45.0, 55.5, [peak_mb - 0.25, peak_mb, peak_mb + 0.25]),
        "rows": (row("S", 0.5), row("M", 1.0)) if rows is None else tuple(rows),
    }
    return File(name=name, **{**plain, **changes})


def result(*files, **changes) -> Result:
    """Return a run of one file, unless others are given."""
    plain = {
        "command": "python -m edge_sdk.bench folder/m.onnx", "sdk_version": "0.1.0",
        "machine": dict(MACHINE), "state": STATE,
        "settings": {**ONCE, "passes": PASSES},
        "started_utc": "2000-01-01T00:00:00+00:00",
    }
    return Result(files=files or (file(),), **{**plain, **changes})


def slower(one: Row, by: float) -> Row:
    """Return a row that takes `by` times as long."""
    return replace(one, rounds_ms=[[ms * by for ms in rounds] for rounds in one.rounds_ms])
