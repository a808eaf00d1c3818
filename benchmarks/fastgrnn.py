"""FastGRNN on this device, part by part: `python -m benchmarks.fastgrnn`.

Latency beside the engines, how far their files are from eager mode, the bytes of every form,
and deciding before a word's end. Results go to `benchmarks/results/<device>/fastgrnn.json`, and
`python -m benchmarks.readme_fastgrnn` makes the README's tables from them, from the model's
card and from the microcontroller's budget.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.fastgrnn_calls import (
    ENGINES,
    N_FRAMES,
    N_HIDDEN,
    N_INPUTS,
    RANKS,
    InC,
    check,
    pointer,
)
from benchmarks.parts import Parts, main
from benchmarks.peers import alternate, peers
from benchmarks.rows import HEADING, Row, Scale, row
from edge_sdk.audio.gate import words
from edge_sdk.audio.logmel import FEATURE_BITS, LogMelConfig, log_mel
from edge_sdk.console import command, say
from edge_sdk.data import fsdd
from edge_sdk.errors import DataError
from edge_sdk.fastgrnn import EarlyDecision, FastGRNN
from edge_sdk.fastgrnn.early import EarlyResults
from edge_sdk.reference import fastgrnn
from edge_sdk.sequence.source import SPEECH, SequenceSource, find

BUILD = Path("build/fastgrnn")
PACKAGES = ("numpy", "executorch", "onnxruntime", "ai-edge-litert", "torch")

OURS = "edge_sdk.FastGRNN"
SHAPE = f"D {N_INPUTS}, H {N_HIDDEN}, ranks {RANKS[0]}/{RANKS[1]}"
TASKS = {"step": ("step(x, h)", 1), "frame": ("a frame of a stream", 1),
         "whole": (f"{N_FRAMES} frames", N_FRAMES)}
"""What each call of `fastgrnn_calls` is in words, and its frames."""
AT_LEAST = {"step": {"ExecuTorch": 10.0, "ONNX Runtime": 10.0, "LiteRT": 3.0},
            "whole": {"ExecuTorch": 1.5, "ONNX Runtime": 1.5, "LiteRT": 1.5}}
AT_LEAST["frame"] = AT_LEAST["step"]

LIMIT = 1e-5
EPSILON, DELTA, EVERY, FIRST = 0.05, 0.1, 5, 10
N_DRAWS = 200


# ---- latency -----------------------------------------------------------------------------------


def latency(scale: Scale, data: Path | None) -> dict[str, Any]:
    """Return the times of each task, everybody's in turns."""
    from benchmarks import fastgrnn_files

    fastgrnn_files.write(BUILD, say)
    rounds = scale.rounds(600)
    with peers(ENGINES, check, BUILD) as everybody:
        asked = [(peer, call) for peer in everybody for call in peer.calls]
        # All tasks in each round: a minute in which the machine is slow then slows all alike.
        taken = alternate(asked, rounds)
    times: dict[str, dict[str, float]] = {task: {} for task in TASKS}
    for (peer, call), seconds in zip(asked, taken, strict=True):
        task, *form = call.split(",")
        times[task][",".join([peer.name, *form])] = seconds * 1e6 / TASKS[task][1]
    say(HEADING)
    rows = [made for task, us in times.items() for made in _task(task, us, rounds)]
    names = ("cell.pte", "whole.pte", "step.tflite", "chunk.tflite", "whole.tflite", "step.onnx",
             "scan.onnx", "whole.onnx", "cell.grnn")
    return {"rows": rows, "us_a_frame": times, "model": SHAPE,
            "file_bytes": {name: (BUILD / name).stat().st_size for name in names}}


def _task(task: str, us: dict[str, float], rounds: int) -> list[Row]:
    what, made = TASKS[task][0], list[Row]()
    for ours, mine in us.items():
        if not ours.startswith(OURS):
            continue
        name = f"{ours}: {what}"
        for peer, theirs in us.items():
            target = AT_LEAST[task].get(peer.partition(",")[0])
            if not peer.startswith((OURS, "generated")):
                made.append(row(name, mine, theirs, peer_name=peer, unit="us a frame",
                                ratio=theirs / mine, n=TASKS[task][1], rounds=rounds,
                                at_least=target if not ours.endswith("states") else None))
    made += [row(f"{name}: {what}", value, unit="us a frame", n=1, rounds=rounds)
             for name, value in us.items() if name.startswith("generated")]
    return made


# ---- files -------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _exports(data: Path | None) -> tuple[SequenceSource, list[Any]]:
    """Return the shipped model with the 300 held-out words, and its exports to four targets."""
    from edge_sdk.sequence.export import export_sequences, name_outs

    source = find(SPEECH, data=data)
    assert isinstance(source, SequenceSource)
    if source.synthetic:
        raise DataError("the held-out words of fsdd", "none", where="--data or $EDGE_SDK_DATA",
                        hint="files are compared on real utterances")
    BUILD.mkdir(parents=True, exist_ok=True)
    return source, export_sequences(source, name_outs(BUILD, "all", SPEECH), report=say)


def agreement(scale: Scale, data: Path | None) -> dict[str, Any]:
    """Return how far every target is from eager mode over whole words, and by steps."""
    from edge_sdk.sequence.prove import eager

    source, exports = _exports(data)
    right = eager(source)
    found: dict[str, dict[str, float]] = {}
    for done in exports:
        if not hasattr(done, "metadata"):
            continue
        about = done.metadata.sequence
        name = done.path.name.removeprefix(SPEECH)
        found[f"{done.metadata.target}, {name}"] = {
            **{way: one.max_difference for way, one in about.comparison.items()},
            "streaming": about.streaming_difference, "accuracy": about.accuracy.top1}
    c = next(done for done in exports if done.path.suffix == ".c")
    found["c, fp32"] = _apart(source, right, {"step": _in_c(c.path, c.name, source)})
    found["core, .grnn fp32"] = _apart(source, right, _in_core(source))
    rows: list[Row] = []
    say(HEADING)
    words_of = {"whole": "whole words", "step": "step by step", "streaming": "one beside the other"}
    # The exporters' limit too is of the largest number: a state of 10 has a last bit of 1e-6.
    largest = max(float(np.abs(array).max()) for array in right.values())
    for name, figures in found.items():
        rows += [row(f"{name}: {words_of[way]}", figures[way] / largest,
                     unit="of the largest", n=len(source.sequences), at_most=LIMIT)
                 for way in words_of if way in figures]
    exact = _in_float64(source)
    return {"rows": rows, "targets": found, "n": len(source.sequences), "largest": largest,
            "eager_from_float64": max(float(np.abs(right[key] - exact[key]).max())
                                      for key in right),
            "frames": sum(map(len, source.sequences))}


Answers = dict[str, NDArray[Any]]


def _in_float64(source: SequenceSource) -> Answers:
    w = source.weights()
    both = [fastgrnn(x, w=w.w, u=w.u, bias_gate=w.bias_gate, bias_update=w.bias_update,
                     zeta=w.zeta, nu=w.nu, gate=w.gate, update=w.update, head=w.head,
                     head_bias=w.head_bias, mean=w.mean, scale=w.scale) for x in source.sequences]
    return {"logits": np.stack([logits[-1] for _, logits in both]),
            "frames": np.concatenate([logits for _, logits in both]),
            "state": np.stack([states[-1] for states, _ in both])}


def _in_core(source: SequenceSource) -> dict[str, Answers]:
    cell = FastGRNN.build(source.weights())
    stream = cell.stream()
    frames, states = [], []
    for x in source.sequences:
        stream.reset()
        frames.append(np.stack([stream.push(frame) for frame in x]))
        states.append(stream.h.copy())
    # Logits in the middle of a word are those of a whole sequence that ends there.
    begun = [np.stack([cell.run(x[: t + 1]) for t in range(len(x))]) for x in source.sequences]
    return {"whole": {"logits": np.stack([each[-1] for each in begun]),
                      "frames": np.concatenate(begun),
                      "state": np.stack([cell.states(x)[-1] for x in source.sequences])},
            "step": {"logits": np.stack([each[-1] for each in frames]),
                     "frames": np.concatenate(frames), "state": np.stack(states)}}


def _in_c(path: Path, name: str, source: SequenceSource) -> Answers:
    from edge_sdk.compiler import compile_c, host_compiler

    compiler, library = host_compiler(), path.with_suffix(".so")
    assert compiler is not None
    compile_c(compiler, [path], library, ("-std=c99", "-O2", "-shared", "-fPIC"))
    cell = InC(library, name, source.model.cell.n_hidden, len(source.model.labels))
    states, frames, ends = [], [], []
    for x in source.sequences:
        cell.start()
        for frame in np.ascontiguousarray(x):
            cell.step(cell.at, pointer(frame))
            cell.result(cell.at, cell.to)
            frames.append(cell.logits.copy())
        states.append(cell.h.copy())
        ends.append(frames[-1])
    return {"logits": np.stack(ends), "frames": np.stack(frames), "state": np.stack(states)}


def _apart(source: SequenceSource, right: Answers, got: dict[str, Answers]) -> dict[str, float]:
    def most(first: Answers, second: Answers) -> float:
        return max(float(np.abs(first[key] - second[key]).max()) for key in right)

    found = {way: most(right, answers) for way, answers in got.items()}
    if len(got) == 2:
        found["streaming"] = most(got["whole"], got["step"])
    logits = next(iter(got.values()))["logits"]
    return {**found, "accuracy": float((logits.argmax(1) == source.targets).mean())}


def sizes(scale: Scale, data: Path | None) -> dict[str, Any]:
    """Return the bytes of every form of the shipped model."""
    from edge_sdk.sequence.export import export_sequences
    from edge_sdk.zoo.fastgrnn import runtime_file

    source, exports = _exports(data)
    integers: Any = export_sequences(source, {"c": BUILD / "integers.c"}, quantize="int8",
                                     report=say)[0]
    rows: list[Row] = []
    say(HEADING)

    def add(what: str, n_bytes: int, at_most: float | None = None) -> None:
        rows.append(row(what, n_bytes, unit="bytes", n=1, at_most=at_most))

    for done in exports:
        if hasattr(done, "metadata"):
            methods = " and ".join(done.metadata.sequence.methods)
            add(f"{done.metadata.target}, fp32: {methods}", done.n_bytes)
    add("core, .grnn fp32", FastGRNN.build(source.weights()).n_bytes)
    add("core, .grnn int8 as shipped, with its front end's settings", runtime_file().stat().st_size)
    add("generated C, int8: weights and constants", integers.n_bytes, at_most=6 * 1024)
    add("generated C, int8: the tanh table", integers.tanh_table_bytes)
    add("generated C, int8: state in RAM", integers.ram_bytes)
    device_words = None
    if integers.footprint is not None:
        device_words = integers.footprint.compiler
        add("generated C, int8: flash, all of it with code", integers.footprint.flash_bytes)
        if integers.footprint.stack_bytes is not None:
            add("generated C, int8: stack", integers.footprint.stack_bytes)
    return {"rows": rows, "by_part": integers.n_bytes_by_part, "device_compiler": device_words}


# ---- early decision ----------------------------------------------------------------------------


def early(scale: Scale, data: Path | None) -> dict[str, Any]:
    """Return what deciding early does to held-out words that it was not fitted on.

    Words are cut as `edge_sdk.listen` cuts them, and heard by the shipped `.grnn`. A half of the
    official test split, drawn again and again, fits; the other is measured.
    """
    from edge_sdk.zoo.fastgrnn import runtime_file

    logits, digits = _heard(FastGRNN.load(runtime_file()), data)
    rng, drawn = np.random.default_rng(0), []
    for _ in range(scale.rounds(N_DRAWS)):
        order = rng.permutation(len(logits))
        drawn.append(_halves(logits, digits, np.array_split(order, 2)))
    rows: list[Row] = []
    say(HEADING)
    n, many = len(logits) // 2, f"mean of {len(drawn)} draws"
    heard, whole = (_mean([getattr(one, name) for one in drawn])
                    for name in ("mean_frames", "full_frames"))
    rows += [
        row(f"{many}: frames heard of a word", heard, whole, peer_name="all of it",
            unit="frames", ratio=whole / heard, n=n),
        row(f"{many}: decided early", 100 * _mean([one.accuracy for one in drawn]),
            100 * _mean([one.full_accuracy for one in drawn]), peer_name="at the end",
            unit="% right", n=n),
        row(f"{n} words were enough to decide earlier",
            100 * _mean([one.early > 0 for one in drawn]), unit="% of draws", n=len(drawn)),
        row(f"more than {100 * EPSILON:g} points were lost",
            100 * _mean([one.loss > EPSILON for one in drawn]), unit="% of draws", n=len(drawn),
            at_most=100 * DELTA),
    ]
    return {"rows": rows, "epsilon": EPSILON, "delta": DELTA, "every": EVERY, "first": FIRST,
            "n": len(logits)}


def _heard(
    cell: FastGRNN, data: Path | None,
) -> tuple[list[NDArray[np.float32]], NDArray[np.int64]]:
    """Return logits (T, C) of each word that the gate cuts between silences, and digits."""
    config = LogMelConfig(**cell.preprocessing["log_mel"])
    silence, stream = np.zeros(config.rate_hz // 2, np.int16), cell.stream()
    logits, digits = [], []
    for recording in fsdd(data):
        if recording.index >= 5:
            continue
        frames = log_mel(np.concatenate([silence, recording.samples, silence]), config)
        for begin, end in words(frames, config.floor_log2)[:1]:
            stream.reset()
            features = frames[begin:end].astype(np.float32) / np.float32(1 << FEATURE_BITS)
            logits.append(np.stack([stream.push(frame) for frame in features]))
            digits.append(recording.digit)
    return logits, np.array(digits, np.int64)


def _halves(
    logits: list[NDArray[np.float32]], digits: NDArray[np.int64], halves: list[NDArray[np.int64]],
) -> EarlyResults:
    """Fit on the first half and return what becomes of the second."""
    (known, unseen), labels = ([logits[i] for i in half] for half in halves), digits
    fitted = EarlyDecision.fit(known, labels[halves[0]], every=EVERY, first=FIRST,
                               epsilon=EPSILON, delta=DELTA)
    return fitted.apply(unseen, labels[halves[1]])


def _mean(values: list[Any]) -> float:
    return float(np.mean(values))


# ---- the command -------------------------------------------------------------------------------


PARTS: Parts = {
    "latency": latency, "agreement": agreement, "sizes": sizes, "early": early,
}


if __name__ == "__main__":
    command(main("fastgrnn", PARTS, PACKAGES))()
