"""Run everything in a folder of `make_files.py` on this device, and write what it answers.

Usage: python runtime/tools/devices/answers.py FOLDER OUT. OUT gets `numbers.npz`, arrays that
another processor may round otherwise, and `exact.json`, what it may not: classes, levels of
cascades, decoded codes, found items, features, the governor's log. `compare.py` compares two.
Needs the package with [onnx,litert] alone.
"""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk import CodeIndex, FastGRNN, InstanceIndex, Session, VectorIndex, _native
from edge_sdk.audio import read_wav
from edge_sdk.audio.logmel import log_mel
from edge_sdk.bundle import Bundle
from edge_sdk.device import DeviceState, FixedDevice
from edge_sdk.engines import load
from edge_sdk.fastgrnn.early import EarlyDecision
from edge_sdk.governor import Budget, Choice, Governor, replay
from edge_sdk.listen import Listener, front_end, listen
from edge_sdk.zoo.fastgrnn import runtime_file

N_CASES = 16
"""Of a bundle, by each of its plans, and by each model of its kind."""

Numbers = dict[str, NDArray[Any]]
Exact = dict[str, Any]


def models(folder: Path, numbers: Numbers, exact: Exact) -> None:
    """Run each model on the cases of its bundle at each granularity, those of bundles too."""
    cases = {bundle.manifest.model: bundle.cases()
             for bundle in map(Bundle.open, folder.glob("*.edge"))}
    for path in sorted([*folder.rglob("*.onnx"), *folder.rglob("*.tflite")]):
        name_of_file = path.relative_to(folder).as_posix()
        engine = load(path)
        inputs = cases[engine.metadata.model]
        assert inputs is not None
        for granularity in engine.granularities:
            rows = [engine.run(inputs.one(i), granularity)
                    for i in range(min(N_CASES, len(inputs)))]
            for name in rows[0]:
                key = f"{name_of_file}/{granularity}/{name}"
                numbers[key] = np.concatenate([row[name] for row in rows])
                exact[f"{key}/argmax"] = numbers[key].argmax(-1).tolist()


def bundles(folder: Path, numbers: Numbers, exact: Exact) -> None:
    """Classify and embed a bundle's own cases by each of its plans, in each engine."""
    for path in sorted(folder.glob("*.edge")):
        for target in Bundle.open(path).targets:
            session = Session.open(path, target=target, device=FixedDevice())
            cases = session.bundle.cases()
            assert cases is not None
            inputs = [cases.one(i) for i in range(min(N_CASES, len(cases)))]
            key = f"{path.name}/{target}"
            for granularity in session.metadata.granularities:
                numbers[f"{key}/{granularity}"] = np.stack(
                    [session.embed(x, granularity=granularity) for x in inputs])
            for plan in session.plans:
                answers = [session.classify(x, plan=plan, top=3) for x in inputs]
                numbers[f"{key}/{plan}/confidence"] = np.array([a.confidence for a in answers])
                exact[f"{key}/{plan}"] = [[a.id, a.label, a.granularity, a.dim, a.plan, a.known,
                                           a.code_distance, [name for name, _ in a.top]]
                                          for a in answers]


def indexes(folder: Path, numbers: Numbers, exact: Exact) -> None:
    """Decode codes by every decoder, and search items and vectors."""
    queries = np.load(folder / "queries.npz")
    codes = CodeIndex.open(folder / "classes.llc")
    nearest, ordered = codes.nearest(queries["classes"]), codes.decode_ord(queries["scores"])
    found = codes.search(queries["classes"], 5)
    exact["codes"] = {
        "ed": codes.decode_ed(queries["classes"]).tolist(), "mhd": nearest.ids.tolist(),
        "distances": nearest.distances.tolist(), "runners_up": nearest.runners_up.tolist(),
        "ord": ordered.ids.tolist(), "lookups": ordered.lookups.tolist(),
        "penalties": [value.hex() for value in ordered.penalties.tolist()],
        "soft": codes.decode_soft(queries["scores"]).ids.tolist(),
        "known": codes.known(queries["classes"], radius=1).tolist(),
        "hits": [found.ids.tolist(), found.distances.tolist()]}
    items = InstanceIndex.open(folder / "items.llc").search(
        queries["items"].astype(np.uint8), k=10)
    exact["items"] = [items.ids.tolist(), items.distances.tolist()]
    vectors = VectorIndex.open(folder / "vectors.vec")
    for name, hits in (("search", vectors.search(queries["vectors"], k=10)),
                       ("funnel", vectors.funnel(queries["vectors"], k=10)),
                       ("flat", vectors.flat(queries["vectors"], k=10))):
        exact[f"vectors/{name}"] = hits.ids.tolist()
        numbers[f"vectors/{name}"] = hits.scores


def words(folder: Path, exact: Exact) -> None:
    """Hear recorded words: features, logits and answers, each to the bit."""
    model = FastGRNN.load(runtime_file())
    early = EarlyDecision.from_dict(model.early or {}, where="the zoo's .grnn")
    config = front_end(model)
    for path in sorted(folder.glob("*.wav")):
        samples = read_wav(path, config.rate_hz).samples
        features = log_mel(samples, config)
        stream = model.stream()
        logits = [stream.push(frame.astype(np.float32) / np.float32(512)) for frame in features]
        heard = list(listen([samples], Listener(model, early=early)))
        exact[f"word/{path.name}"] = {
            "features": features.tolist(), "logits": np.stack(logits).view(np.int32).tolist(),
            "heard": [{**asdict(word), "confidence": float(word.confidence).hex()}
                      for word in heard]}


def governor(folder: Path, exact: Exact) -> None:
    """Decide 500 times on a made-up device whose heat, battery and latency wander."""
    random = np.random.default_rng(3)
    choices = [Choice(name, p50, 1.2 * p50, energy_mj=3 * p50, accuracy=accuracy, ram_mb=20 + p50)
               for name, p50, accuracy in (("S", 5.0, 0.90), ("M", 9.0, 0.93), ("L", 15.0, 0.95),
                                           ("XL", 24.0, 0.96))]
    lines: list[str] = []
    told, slow = Governor(choices, log=lines), 1.0
    budgets = [Budget(latency_ms=30), Budget(latency_ms=12, battery="last 6 h"),
               Budget(energy_mj=40), Budget(battery=40), Budget(latency_ms=1)]
    for i in range(500):
        slow = float(np.clip(slow * random.lognormal(0, 0.1), 0.5, 4))
        state = DeviceState(battery_pct=100 - i / 6, charging=bool(i % 97 == 0),
                            energy_left_mj=4e7 - 6e4 * i, thermal_headroom=float(random.random()),
                            throttled=bool(random.random() < 0.05), free_ram_mb=500.0)
        decision = told.decide(budgets[i // 100], state, now_s=float(i))
        told.observe(decision, decision.choice.latency_p50_ms * slow, now_s=i + 0.1)
    exact["governor"] = lines
    here = folder / "governor.log"
    if here.is_file():  # of the machine that made the files
        exact["governor/replayed"] = all(then == now for then, now in replay(here))
    else:
        here.write_text("\n".join(lines) + "\n")
        exact["governor/replayed"] = True


def main() -> None:
    """Run everything; the last line says on what."""
    folder, out = map(Path, sys.argv[1:])
    numbers: Numbers = {}
    exact: Exact = {}
    models(folder, numbers, exact)
    bundles(folder, numbers, exact)
    indexes(folder, numbers, exact)
    words(folder, exact)
    governor(folder, exact)
    out.mkdir(parents=True, exist_ok=True)
    named: dict[str, Any] = dict(numbers)
    np.savez(out / "numbers.npz", **named)
    (out / "exact.json").write_text(json.dumps(exact))
    print(f"ran     {platform.machine()}, kernels {_native.isa()}: {len(numbers)} arrays, "
          f"{len(exact)} lists of decisions")


if __name__ == "__main__":
    main()
