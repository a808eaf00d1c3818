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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk import errors
from edge_sdk.artifact import Arrays, open_artifact, unpack_array
from edge_sdk.errors import EdgeError, EngineError

if TYPE_CHECKING:
    from edge_sdk.engines import Engine, SequenceModel

Outputs = dict[str, dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class Measurement:
    """What one file cost in one process, at one thread unless said otherwise.

    `peak_rss_mb` is the peak resident memory above that of the imported engine,
    after every granularity was run once; None where the system does not tell.
    `frames` says how many frames a call of each method of a recurrent model took.
    """

    load_ms: float
    latency_ms: dict[str, float]
    peak_rss_mb: float | None
    repeats: int
    threads: int
    frames: dict[str, int] = field(default_factory=dict)


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


def run_sequences(path: Path, sequences: Sequence[NDArray[np.float32]]) -> Outputs:
    """Return what the file of a recurrent model answers on whole sequences.

    Args:
        path: An artifact.
        sequences: n of them, (T, D) each.

    Returns:
        {"whole": ..., "step": ...}, run at once and frame by frame, each with "logits"
        (n, C) after the last frame, "frames" (sum of T, C) after each, and "state" (n, H).

    Raises:
        EdgeError: As the engine raised it.
        EngineError: The engine's process died.
    """
    with tempfile.TemporaryDirectory(prefix="edge_sdk-") as folder:
        _save(Path(folder) / "inputs.npz", join(sequences))
        _child(folder, {"do": "run_sequences", "path": str(path), "threads": 1})
        outputs: Outputs = {"whole": {}, "step": {}}
        with np.load(Path(folder) / "outputs.npz") as arrays:
            for key in arrays.files:
                way, _, output = key.partition("/")
                outputs[way][output] = arrays[key]
        return outputs


def join(sequences: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    """Return sequences end to end, "x" (sum of T, D), and their "lengths" (n,)."""
    return {"x": np.concatenate(sequences), "lengths": np.array([len(x) for x in sequences])}


def part(joined: Arrays) -> list[NDArray[np.float32]]:
    """Return the sequences that `join` put end to end."""
    return np.split(joined["x"], np.cumsum(joined["lengths"])[:-1])


def measure(
    path: Path, granularities: Sequence[str] | None = None, *, repeats: int = 50, threads: int = 1
) -> Measurement:
    """Return latency and peak memory of a file on its own golden inputs.

    Latency is the median over `repeats` calls, the granularities taking turns: of one process,
    enough to print beside an export. `edge_sdk.bench` says how far such a figure may be believed.

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
        raise EngineError("an engine that answers", death(done.returncode, done.stderr),
                          where=request["path"],
                          hint="the engine refused the model; try another --target")
    result: dict[str, Any] = json.loads(answer.read_text())
    if "error" in result:
        raise unpack_error(result["error"])
    return result


def pack_error(error: EdgeError) -> dict[str, Any]:
    """Return an error as JSON, for the process that waits for an answer."""
    return {"kind": type(error).__name__, "expected": error.expected, "got": error.got,
            "where": error.where, "hint": error.hint}


def unpack_error(packed: dict[str, Any]) -> EdgeError:
    """Return the error that `pack_error` packed."""
    error: EdgeError = getattr(errors, packed["kind"])(
        packed["expected"], packed["got"], where=packed["where"], hint=packed["hint"])
    return error


def death(code: int, stderr: str) -> str:
    """Say how a process ended: its signal or status, and the last line it wrote to stderr."""
    last = [line for line in stderr.strip().splitlines() if line.strip()][-1:] or ["no word"]
    if code < 0:
        return f"{signal.Signals(-code).name}: {last[0]}"
    return f"exit status {code}: {last[0]}"


# --- in the child -------------------------------------------------------------------


def _answer(folder: Path) -> None:
    request = json.loads((folder / "request.json").read_text())
    try:
        result = {"run": _run, "run_sequences": _run_sequences, "measure": _measure}[
            request["do"]](folder, request)
    except EdgeError as error:
        result = {"error": pack_error(error)}
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


def _run_sequences(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    from edge_sdk.engines import SequenceModel

    with np.load(folder / "inputs.npz") as arrays:
        sequences = part(arrays)
    model = SequenceModel.load(request["path"], threads=request["threads"])

    def by_step(x: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        h, each = model.start(), []
        for frame in x:
            h, logits = model.step(frame, h)
            each.append(logits)
        return h, np.stack(each)

    outputs = {}
    for way, advance in (("whole", model.advance), ("step", by_step)):
        states, frames = zip(*map(advance, sequences), strict=True)
        outputs[f"{way}/logits"] = np.stack([each[-1] for each in frames])
        outputs[f"{way}/frames"] = np.concatenate(frames)
        outputs[f"{way}/state"] = np.stack(states)
    _save(folder / "outputs.npz", outputs)
    return {}


def _measure(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    from edge_sdk.engines import engine_class, load

    metadata = open_artifact(request["path"]).metadata
    engine_class(metadata.target).prepare()
    base_mb = resident_mb(reset_peak=True)
    start = time.perf_counter()
    model = load(request["path"], threads=request["threads"])
    load_ms = (time.perf_counter() - start) * 1e3
    calls, frames = calls_of(model, request["granularities"])
    for call in calls.values():
        call(0)
    peak_mb = peak_resident_mb()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(request["repeats"] + 5):
        for name, call in calls.items():
            start = time.perf_counter()
            call(turn)
            if turn >= 5:  # the first rounds warm the caches
                times[name].append((time.perf_counter() - start) * 1e3)
    return {
        "load_ms": load_ms,
        "latency_ms": {name: statistics.median(taken) for name, taken in times.items()},
        "peak_rss_mb": None if peak_mb is None or base_mb is None else peak_mb - base_mb,
        "repeats": request["repeats"], "threads": request["threads"], "frames": frames,
    }


def calls_of(
    model: Any, names: Sequence[str] | None = None
) -> tuple[dict[str, Callable[[int], object]], dict[str, int]]:
    """Return what can be asked of a loaded file on its golden inputs, and frames a call.

    Args:
        model: What `edge_sdk.engines.load` gave.
        names: Granularities; all by default. Of a recurrent model all methods are returned.

    Returns:
        By name, a function of the turn: each turn takes the next golden case.
    """
    golden = {name: unpack_array(packed)
              for name, packed in model.metadata.golden.inputs.items()}
    if model.metadata.sequence is None:
        return _granularity_calls(model, golden, names), {}
    return _method_calls(model, golden)


def _granularity_calls(
    engine: Engine, golden: Arrays, names: Sequence[str] | None,
) -> dict[str, Callable[[int], object]]:
    """Return a function for each granularity that runs it on the golden case of a turn."""
    cases = [{name: np.ascontiguousarray(array[i : i + 1]) for name, array in golden.items()}
             for i in range(len(next(iter(golden.values()))))]
    return {name: lambda turn, name=name: engine.run(  # type: ignore[misc]
        cases[turn % len(cases)], name) for name in names or engine.granularities}


def _method_calls(
    model: SequenceModel, golden: Arrays,
) -> tuple[dict[str, Callable[[int], object]], dict[str, int]]:
    """Return functions that run each method on golden frames, and how many frames each takes."""
    x, frames = golden["x"], {}
    calls: dict[str, Callable[[int], object]] = {}
    for name, method in model.info.methods.items():
        n = max(method.least, min(method.most or len(x), len(x)))
        inputs = {spec.name: np.zeros(spec.shape, np.float32) if spec.name in model.info.state
                  else np.resize(x, (n, x.shape[1])) for spec in method.inputs}
        calls[name] = lambda turn, name=name, inputs=inputs: (  # type: ignore[misc]
            model.engine.call(name, inputs))
        frames[name] = n
    return calls, frames


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
