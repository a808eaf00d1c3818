"""The whole pipeline on this device, part by part: `python -m benchmarks.pipeline`.

A picture to its label by a bundle's session, cascade and governor beside XL bare in the same
engine; samples to words beside NumPy and ONNX Runtime; and what every size costs in every
engine: accuracy, latency, RAM. Results go to `benchmarks/results/<device>/pipeline.json`.
"""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.elastic import SIZES, Bench
from benchmarks.parts import Parts, main
from benchmarks.peers import Make, alternate, peers
from benchmarks.pipeline_calls import (
    AMPLE,
    BARE,
    IMAGE_CALLS,
    OURS,
    PEER,
    STREAM,
    TIGHT,
    WITHOUT,
    every_size,
    image,
    speech,
    unchecked,
)
from benchmarks.rows import HEADING, Row, Scale, in_child, row
from edge_sdk.artifact import SUFFIX, open_artifact
from edge_sdk.bundle import Bundle
from edge_sdk.console import command, say
from edge_sdk.engines import engine_class, process
from edge_sdk.errors import DataError, FormatError

BUILD = Path("build/pipeline")
FILES = Path("build/bench")
PACKAGES = ("numpy", "executorch", "onnxruntime", "ai-edge-litert", "torch")
MODEL = "matvit-omniglot"
ENGINES = {"executorch": "ExecuTorch", "litert": "LiteRT", "onnx": "ONNX Runtime"}
N_PICTURES, N_RECORDINGS = 100, 20
N_CASES = 100_000


# ---- a picture to its label --------------------------------------------------------------------


def images(scale: Scale, data: Path | None) -> dict[str, Any]:
    """Return latency and RAM from a picture to its label, each engine's calls in turns."""
    truth = _pictures(data)
    makes: dict[str, Make] = {target: partial(image, target=target) for target in ENGINES}
    rounds = scale.rounds(20)
    with peers(makes, unchecked, BUILD) as everybody:
        asked = [(peer, call) for peer in everybody for call in peer.calls]
        taken = alternate(asked, rounds)
    ms = {(peer.name, call): seconds * 1e3 / len(truth)
          for (peer, call), seconds in zip(asked, taken, strict=True)}
    say(HEADING)
    rows: list[Row] = []
    entries = []
    for target, name in ENGINES.items():
        for call in IMAGE_CALLS:
            mine, bare = ms[target, call], ms[target, BARE]
            found = json.loads((BUILD / f"{target}, {call}.json").read_text())
            ram_mb = _known(in_child(_image_mb, BUILD, target, call))
            entries.append({"engine": name, "call": call, "ms": mine, "ram_mb": ram_mb,
                            "accuracy": float((np.array(found) == truth).mean())})
            if call != BARE:
                rows.append(row(f"{name}: {call}", mine, bare, peer_name=BARE, unit="ms a picture",
                                ratio=bare / mine, n=len(truth), rounds=rounds))
    return {"rows": rows, "calls": entries, "n": len(truth), "model": MODEL,
            "budgets_ms": {ENGINES[target]: json.loads((BUILD / f"{target}.json").read_text())
                           for target in ENGINES}}


def _image_mb(folder: Path, target: str, call: str) -> float:
    """Return the peak MB above the imported engine of a process that makes this call alone."""
    import edge_sdk.session  # noqa: F401

    engine_class(target).prepare()
    base_mb = process.resident_mb(reset_peak=True)
    image(folder, target, (call,), checked=False)[call].run()
    return _above(base_mb)


def _known(mb: float) -> float | None:
    return None if math.isnan(mb) else mb


def _above(base_mb: float | None) -> float:
    peak_mb = process.peak_resident_mb()
    return math.nan if base_mb is None or peak_mb is None else peak_mb - base_mb


def _pictures(data: Path | None) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Write what the calls read, and return the pictures' labels (n,)."""
    BUILD.mkdir(parents=True, exist_ok=True)
    for target in ENGINES:
        bench = Bench(target, FILES, reuse=True)
        path = _exported(bench, "XL", elastic=False)
        (BUILD / f"XL{SUFFIX[target]}").write_bytes(path.read_bytes())
        bundle = _bundle(target, data)
        plans = {plan["name"]: plan for plan in (bundle.profile_content or {})["plans"]}
        # Ample: even XL fits twice. Tight: halfway from the smallest size to XL.
        (BUILD / f"{target}.json").write_text(json.dumps({
            AMPLE: 2 * plans["XL"]["latency_p95_ms"],
            TIGHT: (plans["S"]["latency_p95_ms"] + plans["XL"]["latency_p50_ms"]) / 2}))
    cases = bundle.cases()
    assert cases is not None
    chosen = np.arange(N_PICTURES) * len(cases) // N_PICTURES
    (inputs,) = cases.inputs.values()
    np.save(BUILD / "pictures.npy", np.rint(inputs[chosen, 0] * 255).astype(np.uint8))
    (BUILD / "labels.json").write_text(json.dumps(bundle.metadata().labels))
    return cases.labels[chosen]


def _exported(bench: Bench, sizes: str, quantize: str = "none", *, elastic: bool) -> Path:
    bench.folder.mkdir(parents=True, exist_ok=True)
    cases = N_CASES if quantize == "int8" else 64  # as benchmarks.elastic: files are shared
    return bench.file(MODEL, sizes, quantize, elastic=elastic, cases=cases).path


def _bundle(target: str, data: Path | None) -> Bundle:
    """Return the bundle of one target, packed and profiled here; an earlier one if it fits."""
    from edge_sdk.bundle.reference import pack_reference
    from edge_sdk.device import Device
    from edge_sdk.profile import measure

    path = BUILD / f"{target}.edge"
    wanted = open_artifact(BUILD / f"XL{SUFFIX[target]}").metadata.weights_sha256
    try:
        bundle = Bundle.open(path)
    except FormatError:
        bundle = None
    if bundle is None or bundle.manifest.weights_sha256 != wanted:
        say(f"packing {path}")
        bundle = pack_reference(MODEL, path, data=data, targets=(target,), report=say)
    profile = bundle.profile_content
    if profile is None or profile["device"]["key"] != Device().identity().key:
        bundle.replace_profile(measure(bundle, target=target, report=say))
    return bundle


# ---- samples to words --------------------------------------------------------------------------


def words(scale: Scale, data: Path | None) -> dict[str, Any]:
    """Return latency and RAM from samples to words, ours and the peer in turns."""
    seconds_heard = _recordings(data)
    makes: dict[str, Make] = {name: partial(speech, engine=name) for name in (OURS, PEER)}
    rounds = scale.rounds(40)
    with peers(makes, unchecked, BUILD) as everybody:
        asked = [(peer, call) for peer in everybody for call in peer.calls]
        taken = alternate(asked, rounds)
    ms = {(peer.name, call): seconds * 1e3 / N_RECORDINGS
          for (peer, call), seconds in zip(asked, taken, strict=True)}
    say(HEADING)
    rows: list[Row] = []
    entries = []
    for (engine, call), mine in ms.items():
        entries.append({"engine": engine, "call": call, "ms": mine,
                        "ram_mb": _known(in_child(_speech_mb, BUILD, engine, call))})
        if engine == OURS:
            # The peer of a stream is a stream.
            beside = WITHOUT if call == WITHOUT else STREAM
            theirs = ms[PEER, beside]
            rows.append(row(call, mine, theirs, peer_name=f"{PEER}, {beside}", unit="ms a word",
                            ratio=theirs / mine, n=N_RECORDINGS, rounds=rounds))
    return {"rows": rows, "calls": entries, "n": N_RECORDINGS,
            "mean_recording_s": seconds_heard / N_RECORDINGS}


def _speech_mb(folder: Path, engine: str, call: str) -> float:
    """Return the peak MB above what was imported of a process that makes this call alone."""
    import edge_sdk.listen  # noqa: F401

    if engine == PEER:
        import onnxruntime  # noqa: F401
    base_mb = process.resident_mb(reset_peak=True)
    speech(folder, engine, (call,), checked=False)[call].run()
    return _above(base_mb)


def _recordings(data: Path | None) -> float:
    """Write what the calls read; return how many seconds are heard."""
    from edge_sdk.data import fsdd
    from edge_sdk.fastgrnn import FastGRNN
    from edge_sdk.sequence.export import export_sequences
    from edge_sdk.sequence.source import SPEECH, SequenceSource, find

    source = find(SPEECH, data=data)
    assert isinstance(source, SequenceSource)
    if source.synthetic:
        raise DataError("the held-out words of fsdd", "none", where="--data or $EDGE_SDK_DATA",
                        hint="words are heard in real recordings")
    BUILD.mkdir(parents=True, exist_ok=True)
    FastGRNN.build(source.weights()).save(BUILD / "cell.grnn")
    export_sequences(source, {"onnx": BUILD / "cell.onnx"}, report=say)
    held_out = [recording for recording in fsdd(data) if recording.index < 5]
    silence = np.zeros(4000, np.int16)  # half a second
    chosen = [held_out[i * len(held_out) // N_RECORDINGS] for i in range(N_RECORDINGS)]
    sounds = [np.concatenate([silence, one.samples, silence]) for one in chosen]
    named: dict[str, Any] = {f"{i:02}": samples for i, samples in enumerate(sounds)}
    np.savez(BUILD / "recordings.npz", **named)
    labels = FastGRNN.load(BUILD / "cell.grnn").labels
    (BUILD / "words.json").write_text(json.dumps([[labels[one.digit]] for one in chosen]))
    return sum(map(len, sounds)) / 8000


# ---- every size in every engine ----------------------------------------------------------------


def sizes(scale: Scale, data: Path | None) -> dict[str, Any]:
    """Return accuracy, latency and RAM of every size, engine and precision, run alone."""
    from edge_sdk.bundle.reference import held_out

    cases = held_out(MODEL, data=data, n_cases=200 if scale.quick else None)
    files = {(target, words): _exported(Bench(target, FILES, reuse=True), ",".join(SIZES),
                                        quantize, elastic=True)
             for target in ENGINES for quantize, words in (("none", "fp32"), ("int8", "int8"))}
    makes: dict[str, Make] = {path.name: partial(every_size, file=path.name)
                              for path in files.values()}
    rounds = scale.rounds(60)
    # Each size comes again and again before it is timed: others in between refill the caches.
    with peers(makes, unchecked, FILES) as everybody:
        asked = [(peer, size) for peer in everybody for size in SIZES]
        ms = {(peer.name, size): seconds * 1e3
              for (peer, size), seconds in zip(asked, alternate(asked, rounds), strict=True)}
    entries: list[dict[str, Any]] = []
    rows: list[Row] = []
    say(HEADING)
    for (target, words), path in files.items():
        answers = process.run(path, cases.inputs, SIZES)
        for size in SIZES:
            right = answers[size]["logits"].argmax(1) == cases.labels
            entries.append({
                "engine": ENGINES[target], "precision": words, "size": size,
                "latency_ms": ms[path.name, size], "ram_mb": _alone_mb(path, size),
                "file_bytes": path.stat().st_size, "accuracy": float(right.mean())})
            rows.append(row(f"{ENGINES[target]} {words}, {size}", ms[path.name, size], unit="ms",
                            n=len(cases), rounds=rounds))
    return {"rows": rows, "sizes": entries, "n": len(cases), "model": MODEL,
            "cases": cases.words}


def _alone_mb(path: Path, size: str) -> float | None:
    """Return the peak MB above the imported engine where one size alone is run, of three runs."""
    found = [process.measure(path, [size], repeats=1).peak_rss_mb for _ in range(3)]
    return None if None in found else median(mb for mb in found if mb is not None)


# ---- the command -------------------------------------------------------------------------------


PARTS: Parts = {"images": images, "words": words, "sizes": sizes}


if __name__ == "__main__":
    command(main("pipeline", PARTS, PACKAGES))()
