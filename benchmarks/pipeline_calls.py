"""Whole pipelines, each in a process of its own: a picture to its label, samples to words.

The peers are what a careful user would write without this SDK: the engine's own Python runner
on a file of XL with its head, memory bound before and outputs read in place; for speech NumPy's
FFT, a gate by thresholds over the whole recording, and ONNX Runtime. A call is one pass over all
pictures or recordings, so that a cascade's easy and hard inputs are all in it, and what it
answered is compared before it is timed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import Call, Calls
from edge_sdk.artifact import SUFFIX
from edge_sdk.errors import ComparisonError

WHITE = np.float32(255)
BARE, XL, CASCADE, AMPLE, TIGHT = (
    "bare XL", "Session, XL", "Session, cascade", "Session, ample budget", "Session, tight budget")
IMAGE_CALLS = (BARE, XL, CASCADE, AMPLE, TIGHT)
BLOCK = 800
"""Samples of a block, 100 ms, as a microphone gives them."""
BLOCKS, AT_ONCE = "Listener, blocks of 100 ms", "Listener, a recording at once"
WITHOUT, STREAM = "a recording at once", "frame by frame, the same gate"
OURS, PEER = "edge_sdk", "NumPy and ONNX Runtime"

Ids = NDArray[np.int64]
Pictures = NDArray[np.uint8]
Answer = Callable[[Pictures], int]
Samples = NDArray[np.int16]
Hear = Callable[[Samples], tuple[str, ...]]


def unchecked(name: str, call: Call) -> None:
    """Check nothing: the functions here compare answers themselves."""


# ---- a picture to its label --------------------------------------------------------------------


def image(folder: Path, target: str, only: Sequence[str] = IMAGE_CALLS, *,
          checked: bool = True) -> Calls:
    """Return the calls of one engine over `folder`'s pictures.

    Args:
        folder: With `pictures.npy` (n, H, W) uint8, `labels.json`, and for the target its
            bundle, its file of XL, and its budgets.
        target: Engine.
        only: Which calls.
        checked: Compare the answers with those that the plans give offline.

    Raises:
        ComparisonError: A call answers something else.
    """
    pictures: Pictures = np.load(folder / "pictures.npy")
    answers: dict[str, Answer] = {}
    if BARE in only:
        answers[BARE] = _bare(folder, target)
    asked = [name for name in only if name != BARE]
    right = None
    if asked:
        from edge_sdk.session import Session

        session = Session.open(folder / f"{target}.edge", target=target)
        plans = {XL: session.largest, CASCADE: session.bundle.manifest.default}
        budgets = json.loads((folder / f"{target}.json").read_text())
        for name in asked:
            answers[name] = (_by_plan(session, plans[name]) if name in plans
                             else _by_budget(session, budgets[name]))
        right = _offline(session, pictures) if checked else None
    if right is not None:
        for name in only:
            _compare_image(folder, target, name, answers[name], pictures, right)
    return {name: _pass(answers[name], pictures) for name in only}


def _pass(answer: Answer, pictures: Pictures) -> Call:
    found = np.zeros(len(pictures), np.int64)

    def run() -> None:
        for i, picture in enumerate(pictures):
            found[i] = answer(picture)

    return Call(run, lambda: found.astype(np.float32))


def _by_plan(session: Any, plan: str) -> Answer:
    def answer(picture: Pictures) -> int:
        x = np.divide(picture, WHITE)[None]
        result = session.classify(x, plan=plan)
        answer.plan = plan  # type: ignore[attr-defined]
        return int(result.id)

    return answer


def _by_budget(session: Any, latency_ms: float) -> Answer:
    from edge_sdk.governor import Budget

    budget = Budget(latency_ms=latency_ms)

    def answer(picture: Pictures) -> int:
        x = np.divide(picture, WHITE)[None]
        result = session.classify(x, budget=budget)
        answer.plan = result.plan  # type: ignore[attr-defined]
        return int(result.id)

    return answer


def _offline(session: Any, pictures: Pictures) -> dict[str, Ids]:
    """Return the class ids of every plan, embeddings first and plans over all of them then."""
    from edge_sdk.bundle.cases import embed
    from edge_sdk.bundle.runner import Runner

    runner = Runner(session.bundle, target=session.bundle.targets[0])
    inputs = {session.metadata.inputs[0].name: np.divide(pictures, WHITE)[:, None]}
    embeddings = embed(runner.engine, inputs, runner.engine.granularities)
    return {name: plan.run(embeddings).ids for name, plan in runner.plans.items()}


def _compare_image(folder: Path, target: str, name: str, answer: Answer, pictures: Pictures,
                   right: dict[str, Ids]) -> None:
    """Demand of every picture the answer of the plan that ran, and store the answers."""
    found, plans = [], []
    for picture in pictures:
        found.append(answer(picture))
        plans.append(getattr(answer, "plan", "XL"))
    wrong = [i for i, (id_, plan) in enumerate(zip(found, plans, strict=True))
             if id_ != right[plan][i]]
    if wrong:
        raise ComparisonError("the answers of the plans, offline",
                              f"{len(wrong)} of {len(found)} others", where=f"{target}, {name}",
                              hint="a call that answers something else is not timed")
    (folder / f"{target}, {name}.json").write_text(json.dumps(found))


def _bare(folder: Path, target: str) -> Answer:
    """Return XL in an engine's own runner: (H, W) uint8 to the id of the largest logit."""
    labels = json.loads((folder / "labels.json").read_text())
    path = folder / f"XL{SUFFIX[target]}"
    x, logits, run = {"onnx": _onnx, "litert": _litert, "executorch": _executorch}[target](path)

    def answer(picture: Pictures) -> int:
        np.divide(picture, WHITE, out=x)
        run()
        id_ = int(logits().argmax())
        _ = labels[id_]
        return id_

    return answer


Bound = tuple[NDArray[np.float32], Callable[[], NDArray[np.float32]], Callable[[], object]]
"""Where the picture goes, how to see the logits, and the run."""


def _shape(path: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    from edge_sdk.artifact import open_artifact

    metadata = open_artifact(path).metadata
    logits = next(spec for spec in metadata.outputs if spec.name == "logits")
    return metadata.inputs[0].shape, logits.shape


def _onnx(path: Path) -> Bound:
    import onnxruntime

    given, taken = _shape(path)
    x, out = np.zeros(given, np.float32), np.zeros(taken, np.float32)
    session = _session(path)
    binding = session.io_binding()
    value = onnxruntime.OrtValue.ortvalue_from_numpy
    binding.bind_ortvalue_input(session.get_inputs()[0].name, value(x))
    binding.bind_ortvalue_output("logits", value(out))
    run = partial(session._sess.run_with_iobinding, binding._iobinding, onnxruntime.RunOptions())
    return x[0, 0], lambda: out, run


def _litert(path: Path) -> Bound:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    wanted = next(spec for spec in interpreter.get_output_details() if "logits" in spec["name"])
    x = interpreter.tensor(interpreter.get_input_details()[0]["index"])()
    out = interpreter.tensor(wanted["index"])()
    run = interpreter._interpreter.Invoke
    return x[0, 0], lambda: out, partial(_run_alive, run, interpreter)


def _run_alive(run: Callable[[], object], keep: object) -> None:
    run()


def _executorch(path: Path) -> Bound:
    import torch
    from executorch.extension.pybindings import portable_lib
    from executorch.runtime import Runtime

    torch.set_num_threads(1)
    if portable_lib._threadpool_get_thread_count() != 1:
        portable_lib._unsafe_reset_threadpool(1)
    x = np.zeros(_shape(path)[0], np.float32)
    program = Runtime.get().load_program(path)
    method = program.load_method("XL")
    assert method is not None
    call, tensor, outputs = method._method.call, [torch.from_numpy(x)], list[Any]()

    def run() -> None:
        outputs[:] = call(tensor, False)

    def logits() -> NDArray[np.float32]:
        made: NDArray[np.float32] = outputs[0].numpy()
        return made

    run.program = program  # type: ignore[attr-defined]  # must outlive its method
    return x[0, 0], logits, run


# ---- every size of a file ----------------------------------------------------------------------


def every_size(folder: Path, file: str) -> Calls:
    """Return a call of each size of an elastic file, on its first golden input."""
    from edge_sdk.artifact import unpack_array
    from edge_sdk.engines import load

    engine = load(folder / file)
    inputs = {name: np.ascontiguousarray(unpack_array(packed)[:1])
              for name, packed in engine.metadata.golden.inputs.items()}

    def call(size: str) -> Call:
        run = partial(engine.run, inputs, size)
        return Call(run, lambda: run()["logits"])

    return {size: call(size) for size in engine.granularities}


# ---- samples to words --------------------------------------------------------------------------


def speech(folder: Path, engine: str, only: Sequence[str] = (), *, checked: bool = True) -> Calls:
    """Return the calls over `folder`'s recordings, each of one word between silences.

    Args:
        folder: With `recordings.npz`, `words.json` that must be heard, and the model as
            `cell.grnn` and `cell.onnx`.
        engine: OURS or PEER.
        only: Which calls; all if empty.
        checked: Compare the words with those.

    Raises:
        ComparisonError: A call hears other words.
    """
    with np.load(folder / "recordings.npz") as stored:
        recordings = [stored[name] for name in stored.files]
    made = _ours(folder) if engine == OURS else _peer(folder)
    right = [tuple(words) for words in json.loads((folder / "words.json").read_text())]
    calls = {}
    for name, hear in made.items():
        if only and name not in only:
            continue
        heard = [hear(samples) for samples in recordings] if checked else right
        if heard != right:
            wrong = sum(mine != theirs for mine, theirs in zip(heard, right, strict=True))
            raise ComparisonError("the same words", f"{wrong} of {len(right)} others",
                                  where=f"{engine}, {name}",
                                  hint="a call that hears something else is not timed")
        calls[name] = _hearing(hear, recordings)
    return calls


def _hearing(hear: Hear, recordings: list[Samples]) -> Call:
    n_words = np.zeros(len(recordings), np.float32)

    def run() -> None:
        for i, samples in enumerate(recordings):
            n_words[i] = len(hear(samples))

    return Call(run, lambda: n_words)


def _ours(folder: Path) -> dict[str, Hear]:
    from edge_sdk import FastGRNN
    from edge_sdk.audio import LogMel
    from edge_sdk.audio.gate import words
    from edge_sdk.audio.logmel import FEATURE_BITS
    from edge_sdk.listen import Listener, front_end

    cell = FastGRNN.load(folder / "cell.grnn")
    listener, config = Listener(cell), front_end(cell)
    one = np.float32(1 << FEATURE_BITS)

    def by_blocks(samples: Samples, block: int) -> tuple[str, ...]:
        heard = []
        for start in range(0, len(samples), block):
            heard += listener.push(samples[start : start + block])
        return tuple(word.label for word in [*heard, *listener.finish()])

    def at_once(samples: Samples) -> tuple[str, ...]:
        frames = LogMel(config).push(samples)
        return tuple(cell.labels[int(cell.run(frames[begin:end].astype(np.float32) / one).argmax())]
                     for begin, end in words(frames, config.floor_log2))

    return {BLOCKS: partial(by_blocks, block=BLOCK), AT_ONCE: partial(by_blocks, block=1 << 30),
            WITHOUT: at_once}


def _peer(folder: Path) -> dict[str, Hear]:
    """Return NumPy's log-mel and ONNX Runtime, over a whole recording and as a stream."""
    from edge_sdk.fastgrnn import FastGRNN

    cell = FastGRNN.load(folder / "cell.grnn")  # for its names alone
    labels, zeros = cell.labels, np.zeros((1, cell.n_hidden), np.float32)
    config = cell.preprocessing["log_mel"]
    front, whole = front_end_of(config), _session(folder / "cell.onnx")
    listen = _stream(config, _session(folder / "cell-step.onnx"), zeros)

    def at_once(samples: Samples) -> tuple[str, ...]:
        frames = front(samples)
        return tuple(
            labels[int(whole.run(["logits"], {"x": frames[begin:end], "h": zeros})[0][-1]
                       .argmax())]
            for begin, end in loud(frames))

    return {WITHOUT: at_once,
            STREAM: lambda samples: tuple(labels[id_] for id_ in listen(samples))}


def _stream(config: dict[str, Any], step: Any, zeros: NDArray[np.float32]) -> Callable[
        [Samples], list[int]]:
    """Return what hears samples (n,) hop by hop: class ids of the words."""
    from edge_sdk.audio.gate import Gate
    from edge_sdk.audio.logmel import FEATURE_BITS, LogMelConfig

    made, front = LogMelConfig(**config), front_end_of(config)
    outputs = [spec.name for spec in step.get_outputs()]
    one = np.float32(1 << FEATURE_BITS)

    def listen(samples: Samples) -> list[int]:
        gate, h, logits, found = Gate(made.n_bands, made.floor_log2), zeros, None, []
        for start in range(0, len(samples) - made.window + 1, made.hop):
            octaves = front(samples[start : start + made.window])[0]
            cut = gate.push(np.rint(octaves * one).astype(np.int16))
            h = zeros if cut.begins else h
            for frame in cut.frames:
                given = {"x": (frame / one).astype(np.float32)[None], "h": h}
                h, logits = step.run(outputs, given)
            if cut.ends and logits is not None:
                found.append(int(logits[-1].argmax()))
        if gate.is_open and logits is not None:
            found.append(int(logits[-1].argmax()))
        return found

    return listen


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def front_end_of(config: dict[str, Any]) -> Callable[[Samples], NDArray[np.float32]]:
    """Return a log-mel front end in NumPy, float32: samples (n,) to octaves (T, n_bands)."""
    from edge_sdk.audio.logmel import POSITION_BITS, LogMelConfig, tables, triangles

    made = LogMelConfig(**config)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(made.window) / made.window)).astype(
        np.float32)
    matrix = (triangles(tables(made).position, made.n_bands) / (1 << POSITION_BITS)).astype(
        np.float32)
    floor = np.float32(1 << made.floor_log2)

    def log_mel(samples: Samples) -> NDArray[np.float32]:
        rows = np.lib.stride_tricks.sliding_window_view(samples, made.window)[:: made.hop]
        spectrum = np.fft.rfft(rows * window, made.n_fft)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        octaves: NDArray[np.float32] = np.log2(power.astype(np.float32) @ matrix + floor)
        return octaves

    return log_mel


def loud(frames: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Return words in frames of octaves: (begin, end), by the thresholds of `audio.gate`.

    The floor is that of the whole recording, so this can not follow a stream.
    """
    loudness = frames.mean(axis=1)
    smooth = np.convolve(loudness, np.full(3, 1 / 3, np.float32), "valid")
    floor = smooth.min() if len(smooth) else np.float32(0)
    sound = np.flatnonzero(loudness > floor + 1.5)
    if not len(sound):
        return []
    found = []
    for run in np.split(sound, np.flatnonzero(np.diff(sound) > 20) + 1):
        on = loudness[run[0] : run[-1] + 1] > floor + 2.0
        begins = np.flatnonzero(np.convolve(on, np.ones(4), "valid") == 4)
        if len(begins):
            found.append((max(run[0] + begins[0] - 7, 0), min(run[-1] + 6, len(frames))))
    return found
