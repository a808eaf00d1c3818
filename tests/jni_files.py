"""What the tests in Java read: files of the vectors' models, and Python's answers.

`python tests/jni_files.py FOLDER` writes them, so that no test in Java needs Python at its side.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
VECTORS = HERE / "vectors"
DIGITS = HERE.parent / "android_demo/app/src/main/assets/digits-core"
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

import bundles  # noqa: E402
from sounds import silence, tone  # noqa: E402

from edge_sdk import bundle, corefile  # noqa: E402
from edge_sdk.audio.gate import GateConfig  # noqa: E402
from edge_sdk.cascade import Cascade, CoreFFN, Head  # noqa: E402
from edge_sdk.codes import CodeIndex, InstanceIndex  # noqa: E402
from edge_sdk.fastgrnn.early import EarlyDecision  # noqa: E402
from edge_sdk.fastgrnn.model import FastGRNN  # noqa: E402
from edge_sdk.governor import Budget, Choice, Governor  # noqa: E402
from edge_sdk.listen import Listener, listen  # noqa: E402


def generator(name: str) -> ModuleType:
    """Return a script of tests/vectors as a module."""
    spec = importlib.util.spec_from_file_location(name, VECTORS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    return module


def key(*columns: str) -> str:
    """Return the name of the file that belongs to a vector's columns."""
    return hashlib.sha256(" ".join(columns).encode()).hexdigest()[:16]


def lines(name: str) -> Iterator[list[str]]:
    """Yield the columns of each case of a file of vectors."""
    for line in (VECTORS / name).read_text(encoding="ascii").splitlines():
        if not line.startswith("#"):
            yield line.split(" ")


def write_codes(folder: Path) -> None:
    """Write an index for each codebook, by decoder: an ORD index has no hash of parts."""
    for decoder in ("ed", "mhd", "ord", "search"):
        for _, bits, codes, *_ in lines(f"codes_{decoder}.txt"):
            path = folder / f"{decoder}-{key(bits, codes)}.llc"
            numbers = [] if codes == "-" else [int(code, 16) for code in codes.split(",")]
            if path.exists():
                continue
            if decoder == "search":
                rows = [[number >> j & 1 for j in range(int(bits))] for number in numbers]
                table = np.array(rows, np.uint8).reshape(len(rows), int(bits))
                path.write_bytes(InstanceIndex.build(table, coding="01")._data.tobytes())
            else:
                CodeIndex.build(np.array(numbers, np.uint64), bits=int(bits), duplicates="lowest",
                                multi=True if decoder == "mhd" else None).save(path)


def write_heads(folder: Path) -> None:
    """Write the head of every case of the vectors."""
    make_mrl = generator("make_mrl")
    for case in (*make_mrl.by_hand(), *make_mrl.by_recipe()):
        head = case.head()
        columns = case.begin().split(" ")[1:8]
        Head.build([head.weights[0]] if case.tied else head.weights, head.biases, tied=case.tied,
                   dims=case.dims if case.tied else None, normalized=case.normalized,
                   scale=case.scale).save(folder / f"{key(*columns)}.mrl")


def write_ffns(folder: Path) -> None:
    """Write the layers of every case of the vectors, and what Python makes of digits by others."""
    make_ffn = generator("make_ffn")
    for case in make_ffn.cases():
        ffn = CoreFFN.build(*case.matrices(), widths=case.widths)
        ffn.save(folder / key(*next(case.lines()).split(" ")[1:8]))
        if case.widths == (4, 8, 16, 32):
            CoreFFN.build(*case.matrices(), widths=case.widths, weights_sha256="ab").save(
                folder / "small")
    shutil.copytree(DIGITS, folder / "digits", dirs_exist_ok=True)
    ffn, rng = CoreFFN.open(DIGITS), np.random.default_rng(5)
    pixels = rng.random((8, ffn.n_inputs), np.float32)
    pixels[0], pixels[1], pixels[2:5] = 0, 1, np.where(pixels[2:5] < 0.8, 0, pixels[2:5])
    (folder / "pixels.f32").write_bytes(pixels.astype("<f4").tobytes())
    for name in ffn.granularities:
        (folder / f"{name}.f32").write_bytes(ffn.embed(pixels, name).astype("<f4").tobytes())


CHOICES = [
    Choice("S", 5, 6, 4.0, 0.8, 0.0, 40.0), Choice("M", 9, 10.8, 8.0, 0.85, 0.0, 80.0),
    Choice("XL", 15, 18, 14.25, 0.9, 0.0, 150.0, threads=2),
    Choice("XL", 11, 17.5, None, 0.895, 0.02, 152.125, plan="cascade", name="cascade"),
]
BUDGETS = [
    Budget(), Budget(latency_ms=20), Budget(latency_ms=11), Budget(latency_ms=1),
    Budget(energy_mj=8.5, memory_mb=100), Budget(risk=0.01, min_accuracy=0.99),
    Budget(battery="20 %"), Budget(battery="last 2 h", latency_ms=33.3333333),
    Budget(min_accuracy=0.001, latency_ms=12345678), Budget(memory_mb=0.00001234),
]


def write_governor(folder: Path) -> None:
    """Write a governor's log, and the reasons of its decisions."""
    rng = np.random.default_rng(7)
    log: list[str] = []
    reasons = []
    governor = Governor(CHOICES, log=log)
    now = 100.0
    for step in range(400):
        state = SimpleNamespace(
            battery_pct=float(rng.uniform(0, 100)) if step % 3 else None,
            charging=[None, False, False, True][int(rng.integers(4))],
            energy_left_mj=float(rng.uniform(0, 4e4)) if step % 2 else None,
            battery_power_mw=None, thermal_headroom=float(rng.uniform(0.2, 1.2)),
            throttled=[None, False, False, False, True][int(rng.integers(5))],
            power_saver=[None, False, False, False, True][int(rng.integers(5))],
            free_ram_mb=float(rng.uniform(0, 600)) if step % 5 else None)
        budget = BUDGETS[step // 10 % len(BUDGETS)]
        now += float(rng.uniform(0.01, 3))
        decision = governor.decide(budget, state, now_s=now,
                                   rate_hz=None if step % 7 else float(rng.uniform(0.1, 5)))
        reasons.append(decision.reason)
        slow = 1.0 if step < 200 else 1.4
        governor.observe(decision, decision.choice.latency_p50_ms * slow * float(
            rng.lognormal(0, 0.2)), 5.0 if step % 4 else None, now_s=now)
    (folder / "log.jsonl").write_text("\n".join(log) + "\n", encoding="utf-8")
    (folder / "reasons.txt").write_text("\n".join(reasons) + "\n", encoding="utf-8")
    budgets = [{name: value for name, value in asdict(budget).items() if value is not None}
               for budget in BUDGETS]
    (folder / "budgets.json").write_text(json.dumps(budgets), encoding="utf-8")


def profile() -> dict[str, Any]:
    """Return the profile of a device that there is not."""
    plan = {"threads": 1, "latency_p50_ms": 1.5, "latency_p95_ms": 2.0, "energy_mj": None,
            "accuracy": 0.75, "risk": 0.0, "ram_mb": 12.5}
    return {**bundles.PROFILE, "plans": [{**plan, "name": "S"},
                                         {**plan, "name": "dims", "threads": 2}]}


def write_bundle(folder: Path) -> None:
    """Write a bundle of every kind of file, and the answers to random embeddings."""
    parts = bundles.parts(folder)
    # A margin of one bit of the codes' 12 is as large as this threshold, and not larger.
    parts["cascades"]["tie"] = Cascade(
        parts["head"], [("S", 8), ("XL", 8)], [1 / bundles.BITS], signal="llc_margin",
        codes=parts["codes"])
    packed = bundle.folder.pack(folder / "tiny.edge", **{**parts, "profile": profile()})
    rng = np.random.default_rng(2)
    answers = []
    for _ in range(50):
        embeddings = {name: (rng.normal(size=8) * rng.uniform(0.1, 3)).astype(np.float32)
                      for name in ("S", "XL")}
        codes, limit = packed.codes, packed.manifest.unknown_distance
        assert codes is not None
        assert limit is not None
        near = codes.codes.nearest(codes.words(embeddings["XL"][None]))
        answers.append({
            "embeddings": {name: list(map(float, x)) for name, x in embeddings.items()},
            "logits": list(map(float, packed.head.at(embeddings["XL"], 4)[0])),
            "known": bool(near.distances[0] < limit), "nearest": int(near.ids[0]),
            "cascades": {
                name: [int(found.id), str(found.level), int(found.place), float(found.confidence)]
                for name, cascade in packed.cascades.items()
                for found in [cascade.classify(embeddings.__getitem__)]}})
    (folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")


def write_listener(folder: Path) -> None:
    """Write sounds, models and the words that Python hears."""
    from edge_sdk.zoo.fastgrnn import runtime_file

    model = FastGRNN.load(runtime_file())
    model.save(folder / "digits.grnn")
    pieces: list[NDArray[np.int16]] = [silence(0.5, 3)]
    for i, hz in enumerate((300, 3000, 1000, 150, 2000, 700, 500, 1200)):
        # One is a click, one is too long to be a word.
        seconds = {3: 0.02, 5: 2.0}.get(i, 0.25 + 0.05 * i)
        pieces += [tone(hz, seconds, 2000 + 900 * i), silence(0.35 + 0.02 * i, 3, seed=i)]
    samples = np.concatenate([*pieces, tone(440, 0.3)])  # cut off by the end
    # Loud from the first sample on, so that silence is heard only later: noise, and then a word.
    noisy = np.concatenate([silence(0.8, 400), silence(0.5, 3), tone(800, 0.4), silence(0.4, 3)])
    for name, sound in (("samples", samples), ("noisy", noisy)):
        (folder / f"{name}.raw").write_bytes(sound.astype("<i2").tobytes())
    early = EarlyDecision((15, 25, 40), (0.625, 0.5, 0.75))
    (folder / "early.json").write_text(json.dumps(early.to_dict()), encoding="utf-8")
    stored = EarlyDecision.from_dict(model.early) if model.early else None
    other = GateConfig(1.0, 3, 0.5, 12, 5, 4, 40, 2.0, 80)
    for name, sound, rule, gate in (
            ("end", samples, None, None), ("stored", samples, stored, None),
            ("early", samples, early, None), ("gate", samples, early, other),
            ("noisy", noisy, early, None)):
        found = [asdict(word) for word in listen([sound], Listener(model, early=rule, gate=gate))]
        (folder / f"{name}.jsonl").write_text(
            "".join(json.dumps(word) + "\n" for word in found), encoding="utf-8")
        (folder / f"{name}.txt").write_text(
            "".join(f"{word['start_s']:6.2f} s  {word['label']}  {word['confidence']:.2f}\n"
                    for word in found), encoding="utf-8")


def make(folder: Path) -> Path:
    """Write everything into `folder`; return it."""
    for name, write in (("codes", write_codes), ("heads", write_heads),
                        ("ffn", write_ffns), ("governor", write_governor),
                        ("bundle", write_bundle), ("listen", write_listener)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        write(folder / name)
    # A file of each kind that a newer version wrote: its head digest is right.
    newer = np.array(bundles.head()._data)
    newer[8] = 2
    digest = _digest(newer)
    newer[56:64] = np.frombuffer(digest, np.uint8)
    (folder / "newer.mrl").write_bytes(newer.tobytes())
    return folder


def _digest(file: NDArray[np.uint8]) -> bytes:
    """Return the digest of a file's head and table."""
    from edge_sdk import _native

    digest = _native.Digest()
    digest.add(np.ascontiguousarray(file[:56]))
    digest.add(np.ascontiguousarray(file[64 : 64 + 32 * len(corefile.table(file))]))
    return int(digest.value()).to_bytes(8, "little")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
