"""The measured process: opens one file in one engine, and times calls when asked to.

`python -m edge_sdk.bench.child REQUEST` answers in lines of JSON on the stdout it was started
with; whatever native libraries print goes to stderr. The first line says what can be called.
Then it reads lines from stdin:

    turn ROW SECONDS    time calls for so long; {"ms": [...]}
    spin ROW SECONDS    only make them; {"n": ...}
    end                 {"ram": {...}}, and the process ends

Nothing is imported here that the engine does not need: the process is what is measured.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from edge_sdk.bench.stats import warm_up
from edge_sdk.engines.process import calls_of, pack_error, peak_resident_mb, resident_mb
from edge_sdk.errors import EdgeError

LEAD_S = 3e-3
"""Calls of this long come before those that are timed: other processes ran in between."""
SAMPLE_S = 20e-6
"""Faster calls are timed several at a time, so that reading the clock does not count."""
MOST_SAMPLES = 500
N_FRAMES = 64
"""Frames of a .grnn's whole sequence."""

Call = Callable[[int], object]


@dataclass
class Row:
    """One thing that can be called; `call` takes the number of the turn."""

    name: str
    kind: str
    call: Call
    frames: int | None = None
    turns: int = 0
    per_sample: int = 1
    facts: dict[str, Any] = field(default_factory=dict)

    def __call__(self) -> None:
        self.call(self.turns)
        self.turns += 1


@dataclass
class Opened:
    """What was loaded, and how long that took."""

    engine: str
    engine_version: str | None
    load_ms: float
    inputs: str
    rows: list[Row]
    ram: dict[str, float | None]


def open_artifact_file(request: dict[str, Any]) -> Opened:
    """Load a .pte, .tflite or .onnx; a row for each granularity or method."""
    from edge_sdk.artifact import open_artifact
    from edge_sdk.engines import engine_class, load

    path = request["path"]
    target = open_artifact(path).metadata.target
    engine_class(target).prepare()
    ram = _imported()
    start = time.perf_counter()
    model = load(path, threads=request["threads"])
    load_ms = (time.perf_counter() - start) * 1e3
    ram["after_load_mb"] = resident_mb()
    calls, frames = calls_of(model)
    kind = "method" if frames else "granularity"
    rows = [Row(name, kind, call, frames.get(name)) for name, call in calls.items()]
    packed = next(iter(model.metadata.golden.inputs.values()))
    words = f"{packed['shape'][0]} golden {'frames' if frames else 'cases'}"
    return Opened(target, _version(target), load_ms, words, rows, ram)


def open_bundle(request: dict[str, Any]) -> Opened:
    """Load a bundle's model and head; a row for each granularity, cascade and level of these.

    A level is measured alone: its granularity, and as much of the embedding, answer at once.
    """
    from edge_sdk.artifact import unpack_array
    from edge_sdk.bundle import Bundle
    from edge_sdk.bundle.runner import Runner
    from edge_sdk.cascade import Cascade
    from edge_sdk.engines import engine_class

    target = request["target"]
    engine_class(target).prepare()
    ram = _imported()
    start = time.perf_counter()
    bundle = Bundle.open(request["path"])
    runner = Runner(bundle, target=target, threads=request["threads"])
    load_ms = (time.perf_counter() - start) * 1e3
    ram["after_load_mb"] = resident_mb()
    packed = bundle.cases()
    if packed is not None:
        cases, words = [packed.one(i) for i in range(len(packed))], f"{len(packed)} cases packed"
    else:
        golden = {name: unpack_array(each)
                  for name, each in runner.engine.metadata.golden.inputs.items()}
        n = len(next(iter(golden.values())))
        cases = [{name: np.ascontiguousarray(a[i : i + 1]) for name, a in golden.items()}
                 for i in range(n)]
        words = f"{n} golden"
    levels = {str(level): level for cascade in bundle.cascades.values()
              for level in cascade.levels}
    kinds = {name: "cascade" if name in bundle.cascades else "granularity"
             for name in runner.plans}
    for name, level in levels.items():
        runner.plans[name] = Cascade(bundle.head, [level])
        kinds[name] = "level"
    rows = [Row(name, kind, lambda turn, name=name: runner.run(  # type: ignore[misc]
        name, cases[turn % len(cases)])) for name, kind in kinds.items()]
    for row in rows:
        if row.kind == "cascade":
            row.facts["answered"] = lambda name=row.name: _answered(runner, name, cases)
    return Opened(target, _version(target), load_ms, words, rows, ram)


def _answered(runner: Any, name: str, cases: list[Any]) -> dict[str, float]:
    """Return the share of the cases that each level of a cascade answers."""
    found = [str(runner.run(name, case).answer.level) for case in cases]
    return {str(level): found.count(str(level)) / len(found)
            for level in runner.plans[name].levels}


def open_grnn(request: dict[str, Any]) -> Opened:
    """Open a .grnn in the core: one frame at a time, and a whole sequence."""
    from edge_sdk import _native
    from edge_sdk.fastgrnn import FastGRNN

    ram = _imported()
    start = time.perf_counter()
    model = FastGRNN.load(request["path"])
    load_ms = (time.perf_counter() - start) * 1e3
    ram["after_load_mb"] = resident_mb()
    x = np.random.default_rng(0).uniform(-1, 1, (N_FRAMES, model.n_inputs)).astype(np.float32)
    h = np.zeros(model.n_hidden, np.float32)
    out = (h, np.zeros(model.n_classes, np.float32))
    run = model.run if model.n_classes else model.states
    rows = [Row("step", "method", lambda turn: model.step(x[turn % N_FRAMES], h, out), 1),
            Row("whole", "method", lambda turn: run(x), N_FRAMES)]
    return Opened("core", f"{_native.version()} {_native.isa()}", load_ms,
                  f"{N_FRAMES} frames drawn at random", rows, ram)


OPENERS = {"artifact": open_artifact_file, "bundle": open_bundle, "grnn": open_grnn}


def _imported() -> dict[str, float | None]:
    """Return the memory of the imported engine, and let the peak begin anew."""
    peak_mb, engine_mb = peak_resident_mb(), resident_mb()
    may_reset = resident_mb(reset_peak=True) is not None
    return {"import_peak_mb": peak_mb, "engine_mb": engine_mb if may_reset else None,
            "after_load_mb": None}


def _version(target: str) -> str | None:
    """Return the version of the engine's distribution that was loaded."""
    from importlib.metadata import PackageNotFoundError, version

    names = {"executorch": ["executorch"], "onnx": ["onnxruntime"],
             "litert": ["ai-edge-litert", "tflite-runtime"]}[target]
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


# ---- serving --------------------------------------------------------------------------------


def introduce(opened: Opened) -> dict[str, Any]:
    """Run each row for the first time, then warm, and return the first answer.

    All first calls come before any other: what they cost is not hidden by a neighbour's warmth.
    """
    first_ms = []
    for row in opened.rows:
        start = time.perf_counter()
        row()
        first_ms.append((time.perf_counter() - start) * 1e3)
    rows = []
    for row, first in zip(opened.rows, first_ms, strict=True):
        warm_calls, call_s = warm_up(row, clock=time.perf_counter)
        row.per_sample = max(1, round(SAMPLE_S / max(call_s, 1e-9)))
        rows.append({"name": row.name, "kind": row.kind, "frames": row.frames,
                     "first_ms": first, "warm_calls": warm_calls,
                     "calls_per_sample": row.per_sample,
                     **{key: value() for key, value in row.facts.items()}})
    return {"engine": opened.engine, "engine_version": opened.engine_version,
            "load_ms": opened.load_ms, "inputs": opened.inputs, "rows": rows}


def turn(row: Row, seconds: float, *, clock: Callable[[], float] = time.perf_counter,
         lead_s: float = LEAD_S) -> list[float]:
    """Return the ms of calls made for `seconds`, one at least, after others that do not count."""
    spin(row, lead_s, clock=clock)
    found: list[float] = []
    end = clock() + seconds
    while len(found) < MOST_SAMPLES:
        start = clock()
        for _ in range(row.per_sample):
            row()
        now = clock()
        found.append((now - start) / row.per_sample * 1e3)
        if now >= end:
            break
    return found


def spin(row: Row, seconds: float, *, clock: Callable[[], float] = time.perf_counter) -> int:
    """Call for `seconds`, once at least, and return how often."""
    end, n = clock() + seconds, 0
    while True:
        row()
        n += 1
        if clock() >= end:
            return n


def memory(ram: dict[str, float | None]) -> dict[str, float | None]:
    """Return MB of memory at the end: of the whole process, and above the imported engine."""
    peak_mb, base_mb = peak_resident_mb(), ram["engine_mb"]
    before_mb = ram["import_peak_mb"]
    return {
        "peak_mb": None if peak_mb is None else max(peak_mb, before_mb or 0.0),
        "above_engine_mb": None if peak_mb is None or base_mb is None else peak_mb - base_mb,
        "engine_mb": base_mb, "after_load_mb": ram["after_load_mb"],
    }


def serve(request: dict[str, Any], lines: IO[str], answers: IO[str]) -> None:
    """Answer until told to end, or until nobody asks any more."""
    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    try:
        opened = OPENERS[request["kind"]](request)
        answer(introduce(opened))
        for line in lines:
            what, *arguments = line.split()
            if what == "end":
                answer({"ram": memory(opened.ram)})
                return
            row, seconds = opened.rows[int(arguments[0])], float(arguments[1])
            if what == "turn":
                answer({"ms": turn(row, seconds)})
            else:
                answer({"n": spin(row, seconds)})
    except EdgeError as error:
        answer({"error": pack_error(error)})


def main() -> None:
    """Serve the request on the command line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(json.loads(sys.argv[1]), sys.stdin, answers)


if __name__ == "__main__":
    main()
