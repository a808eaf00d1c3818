"""Runs an artifact in a process of its own: one process, one engine.

Engines fight over threads when they share a process, a damaged native library
can take its process down, and peak memory is a property of a process. So
comparison, timing and memory are all taken in a child, which answers in files.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk import errors
from edge_sdk.artifact import Arrays, open_artifact, unpack_array
from edge_sdk.errors import EdgeError, EngineError

Outputs = dict[str, dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class Measurement:
    """What one file cost in one process, at one thread unless said otherwise.

    `peak_rss_mb` is the peak resident memory above that of the imported engine,
    after every granularity was run once; None where the system does not tell.
    """

    load_ms: float
    latency_ms: dict[str, float]
    peak_rss_mb: float | None
    repeats: int
    threads: int


def run(
    path: Path, inputs: Arrays, granularities: Sequence[str], *, threads: int = 1
) -> Outputs:
    """Return {granularity: {output: array}} over all cases of `inputs`.

    Args:
        path: An artifact.
        inputs: Arrays with a leading axis of n cases.
        granularities: Names that the file holds.

    Raises:
        EdgeError: As the engine raised it.
        EngineError: The engine's process died.
    """
    with tempfile.TemporaryDirectory(prefix="edge_sdk-") as folder:
        _save(Path(folder) / "inputs.npz", inputs)
        _child(folder, {"do": "run", "path": str(path), "granularities": list(granularities),
                        "threads": threads})
        outputs: Outputs = {name: {} for name in granularities}
        with np.load(Path(folder) / "outputs.npz") as arrays:
            for key in arrays.files:
                name, _, output = key.partition("/")
                outputs[name][output] = arrays[key]
        return outputs


def measure(
    path: Path, granularities: Sequence[str] | None = None, *, repeats: int = 50, threads: int = 1
) -> Measurement:
    """Return latency and peak memory of a file on its own golden inputs.

    Latency is the median over `repeats` calls, the granularities taking turns.

    Raises:
        EdgeError: As the engine raised it.
        EngineError: The engine's process died.
    """
    with tempfile.TemporaryDirectory(prefix="edge_sdk-") as folder:
        result = _child(folder, {"do": "measure", "path": str(path), "threads": threads,
                                 "repeats": repeats,
                                 "granularities": list(granularities) if granularities else None})
    return Measurement(**result)


def _save(path: Path, arrays: Arrays) -> None:
    named: dict[str, Any] = dict(arrays)  # savez has a keyword of its own, which confuses mypy
    np.savez(path, **named)


def _child(folder: str, request: dict[str, Any]) -> dict[str, Any]:
    (Path(folder) / "request.json").write_text(json.dumps(request))
    environment = {**os.environ, "OMP_NUM_THREADS": str(request["threads"])}
    done = subprocess.run([sys.executable, "-m", "edge_sdk.engines.process", folder],
                          env=environment, capture_output=True, text=True, check=False)
    answer = Path(folder) / "answer.json"
    if done.returncode != 0 or not answer.exists():
        raise EngineError("an engine that answers", _death(done.returncode, done.stderr),
                          where=request["path"],
                          hint="the engine refused the model; try another --target")
    result: dict[str, Any] = json.loads(answer.read_text())
    if "error" in result:
        kind = getattr(errors, result["error"]["kind"])
        raise kind(result["error"]["expected"], result["error"]["got"],
                   where=result["error"]["where"], hint=result["error"]["hint"])
    return result


def _death(code: int, stderr: str) -> str:
    last = [line for line in stderr.strip().splitlines() if line.strip()][-1:] or ["no word"]
    if code < 0:
        return f"{signal.Signals(-code).name}: {last[0]}"
    return f"exit status {code}: {last[0]}"


# --- in the child -------------------------------------------------------------------


def _answer(folder: Path) -> None:
    request = json.loads((folder / "request.json").read_text())
    try:
        result = _run(folder, request) if request["do"] == "run" else _measure(request)
    except EdgeError as error:
        result = {"error": {"kind": type(error).__name__, "expected": error.expected,
                            "got": error.got, "where": error.where, "hint": error.hint}}
    (folder / "answer.json").write_text(json.dumps(result))


def _run(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    from edge_sdk.engines import load

    with np.load(folder / "inputs.npz") as arrays:
        inputs = {name: arrays[name] for name in arrays.files}
    engine = load(request["path"], threads=request["threads"])
    n = len(next(iter(inputs.values())))
    outputs = {}
    for granularity in request["granularities"]:
        cases = [engine.run({k: v[i : i + 1] for k, v in inputs.items()}, granularity)
                 for i in range(n)]
        for name in cases[0]:
            outputs[f"{granularity}/{name}"] = np.concatenate([case[name] for case in cases])
    _save(folder / "outputs.npz", outputs)
    return {}


def _measure(request: dict[str, Any]) -> dict[str, Any]:
    from edge_sdk.engines import engine_class, load

    metadata = open_artifact(request["path"]).metadata
    engine_class(metadata.target).prepare()
    golden = {name: unpack_array(packed) for name, packed in metadata.golden.inputs.items()}
    cases = [{name: np.ascontiguousarray(array[i : i + 1]) for name, array in golden.items()}
             for i in range(len(next(iter(golden.values()))))]
    base_mb = resident_mb(reset_peak=True)
    start = time.perf_counter()
    engine = load(request["path"], threads=request["threads"])
    load_ms = (time.perf_counter() - start) * 1e3
    names = request["granularities"] or list(engine.granularities)
    for name in names:
        engine.run(cases[0], name)
    peak_mb = peak_resident_mb()
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(request["repeats"] + 5):
        for name in names:
            start = time.perf_counter()
            engine.run(cases[turn % len(cases)], name)
            if turn >= 5:  # the first rounds warm the caches
                times[name].append((time.perf_counter() - start) * 1e3)
    return {
        "load_ms": load_ms,
        "latency_ms": {name: statistics.median(taken) for name, taken in times.items()},
        "peak_rss_mb": None if peak_mb is None or base_mb is None else peak_mb - base_mb,
        "repeats": request["repeats"], "threads": request["threads"],
    }


def resident_mb(*, reset_peak: bool = False) -> float | None:
    """Return this process's resident memory in MB, None off Linux; may reset its peak first.

    The peak must be reset by the process itself: `ru_maxrss` inherits the parent's.
    """
    if reset_peak:
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return None
    return _status_mb("VmRSS")


def peak_resident_mb() -> float | None:
    """Return the peak resident memory in MB since the last reset, None off Linux."""
    return _status_mb("VmHWM")


def _status_mb(field: str) -> float | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return int(values[0]) / 1024 if values else None


if __name__ == "__main__":
    _answer(Path(sys.argv[1]))
