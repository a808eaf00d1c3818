"""Sparse weights on this device, part by part: `python -m benchmarks.sparse`.

Layers beside the dense ones of ExecuTorch and ONNX Runtime, from how many zeros on they are
faster, the shipped model end to end, and the bytes of files. Results go to
`benchmarks/results/<device>/sparse.json`; `python -m benchmarks.readme_sparse` makes the
README's tables from them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import edge_sdk
from benchmarks.parts import Parts, main
from benchmarks.peers import Calls, alternate, peers
from benchmarks.rows import HEADING, Row, Scale, row
from benchmarks.sparse_calls import (
    CORE,
    EXECUTORCH,
    ONNX,
    Layer,
    Task,
    check,
    engines,
    executorch_call,
    onnx_call,
    task,
    write,
)
from edge_sdk.console import command, say
from edge_sdk.errors import DataError

BUILD = Path("build/sparse")
PACKAGES = ("numpy", "executorch", "onnxruntime", "torch")
SHAPES = ((768, 192), (3072, 768), (1024, 1024))
AT_LEAST = {(49, 90): 2.0, (196, 90): 2.0, (49, 95): 4.0, (196, 95): 4.0, (1, 95): 1.3}
"""What the float32 kernel should be faster than the best dense, by N and percent of zeros."""

PERCENTS = (50, 60, 70, 75, 80, 85, 90, 95)
CONVS = (Layer(32, 288, 1024, True), Layer(64, 576, 256, True), Layer(128, 1152, 64, True),
         Layer(256, 2304, 49, True), Layer(256, 2304, 16, True))

MODEL, N_IMAGES = "str-cifar10", 1000
MODEL_FASTER, MODEL_WITHIN = 1.3, 1e-4
SMALLER = {(90, "float32"): 0.16, (95, "float32"): 0.09, (90, "int8"): 0.06, (95, "int8"): 0.035}
"""Bytes of a file, of those of the dense float32 file of the same target."""
TARGETS = {"executorch": ".pte", "litert": ".tflite", "onnx": ".onnx"}


# ---- layers ------------------------------------------------------------------------------------


def kernels(scale: Scale, data: Path | None) -> dict[str, Any]:
    """Return the times of layers at 90 and 95 % zeros beside the best dense ones."""
    layers = [Layer(*shape, tokens) for tokens in (1, 49, 196) for shape in SHAPES]
    tasks = [Task(layer, percent, form) for layer in layers
             for percent, form in ((90, "dense"), (90, "float32"), (95, "float32"),
                                   (90, "int8"), (95, "int8"))]
    rounds = scale.rounds(60)
    times = _measure(tasks, rounds)
    say(HEADING)
    rows = []
    for layer in layers:
        dense = times[Task(layer, 90, "dense")]
        best = min(dense, key=lambda name: dense[name])
        for asked in tasks:
            if asked.layer == layer and asked.form != "dense":
                rows += [_beside(asked, engine, us, f"dense in {best}", dense[best], rounds)
                         for engine, us in times[asked].items()]
    return {"rows": rows, "dense_us": {layer.name: times[Task(layer, 90, "dense")]
                                       for layer in layers}}


def _beside(
    asked: Task, engine: str, mine: float, peer: str, theirs: float, rounds: int,
) -> Row:
    wanted = AT_LEAST.get((asked.layer.tokens, round(asked.percent)))
    return row(f"{asked.layer.name}, {asked.percent:g} % zeros, {asked.form}, {engine}",
               mine, theirs, peer_name=peer, unit="us", ratio=theirs / mine,
               n=asked.layer.tokens, rounds=rounds,
               at_least=wanted if asked.form == "float32" and engine == CORE else None)


def _measure(
    tasks: list[Task], rounds: int, *, only: Container[str] = (CORE, EXECUTORCH, ONNX),
) -> dict[Task, dict[str, float]]:
    """Return the us of each engine, and form of file where there are several, by task."""
    write(BUILD, tasks, say)
    asked_of = {name: make for name, make in engines(tasks).items() if name in only}
    with peers(asked_of, check, BUILD) as everybody:
        asked = [(peer, call) for peer in everybody for call in peer.calls]
        taken = alternate(asked, rounds)
    times: dict[Task, dict[str, float]] = defaultdict(dict)
    for (peer, call), seconds in zip(asked, taken, strict=True):
        _, _, form = call.partition(",")
        times[task(call)][", ".join(filter(None, (peer.name, form)))] = seconds * 1e6
    return times


def crossover(scale: Scale, data: Path | None) -> dict[str, Any]:
    """Return from how many zeros on our operator is faster than XNNPACK, layer by layer."""
    layers = [*(Layer(*shape, tokens) for tokens in (1, 8, 49, 196) for shape in SHAPES), *CONVS]
    tasks = [Task(layer, 90, "dense") for layer in layers]
    tasks += [Task(layer, percent, form) for layer in layers for percent in PERCENTS
              for form in ("float32", "int8")]
    rounds = scale.rounds(40)
    times = _measure(tasks, rounds, only=(EXECUTORCH,))
    rows, curves = [], {}
    say(HEADING)
    for layer in layers:
        dense = times[Task(layer, 90, "dense")][EXECUTORCH]
        for form in ("float32", "int8"):
            ratios = {percent: dense / times[Task(layer, percent, form)][EXECUTORCH]
                      for percent in PERCENTS}
            curves[f"{layer.name}, {form}"] = ratios
            least = _break_even(ratios)
            rows.append({"layer": layer.name, "form": form, "columns": layer.tokens,
                         "conv": layer.conv, "break_even": least,
                         **row(f"{layer.name}, {form}: faster from", 100 * least, unit="% zeros",
                               n=layer.tokens, rounds=rounds)})
    return {"rows": rows, "curves": curves}


def _break_even(ratios: Mapping[int, float]) -> float:
    """Return the share of zeros from which on every measured ratio is above 1.

    Between two measured shares the times are a line. 1.0 where it never is.
    """
    percents = sorted(ratios)
    slow = [percent for percent in percents if ratios[percent] < 1.0]
    if not slow:
        return percents[0] / 100
    below = slow[-1]
    above = [percent for percent in percents if percent > below]
    if not above:
        return 1.0
    before, after = 1 / ratios[below], 1 / ratios[above[0]]
    part = (before - 1) / (before - after)
    return (below + part * (above[0] - below)) / 100


# ---- the shipped model -------------------------------------------------------------------------


def model(scale: Scale, data: Path | None) -> dict[str, Any]:
    """Return the latency of the shipped model, sparse beside its dense twin, and their outputs."""
    from edge_sdk.source import find_source

    source = find_source(MODEL, data=data, n_cases=N_IMAGES)
    if source.synthetic:
        raise DataError("the test images of cifar10", "none", where="--data or $EDGE_SDK_DATA",
                        hint="outputs are compared on real images")
    BUILD.mkdir(parents=True, exist_ok=True)
    wanted = [("dense.pte", "executorch", "none"), ("float32.pte", "executorch", "float32"),
              ("int8.pte", "executorch", "int8"), ("dense.onnx", "onnx", "none")]
    done = {name: edge_sdk.export(source, BUILD / f"{MODEL}-{name}", target=target, sparse=sparse)
            for name, target, sparse in wanted}
    x = np.ascontiguousarray(source.sample[0][:1].numpy())
    made = {"ExecuTorch": partial(_model_pte, x=x), "ONNX Runtime": partial(_model_onnx, x=x)}
    rounds = scale.rounds(300)
    with peers(made, unchecked, BUILD) as everybody:
        asked = [(peer, call) for peer in everybody for call in peer.calls]
        times = {f"{peer.name}, {call}": seconds * 1e3
                 for (peer, call), seconds in zip(asked, alternate(asked, rounds), strict=True)}
    apart = _apart(done["dense.pte"].path, done["float32.pte"].path, source, scale)
    say(HEADING)
    ours, twin = times["ExecuTorch, float32"], times["ExecuTorch, dense"]
    rows = [
        row("float32, ExecuTorch", ours, twin, peer_name="its dense twin", unit="ms",
            ratio=twin / ours, n=1, rounds=rounds, at_least=MODEL_FASTER),
        row("int8 values, ExecuTorch", times["ExecuTorch, int8"], twin, unit="ms", n=1,
            peer_name="its dense twin", ratio=twin / times["ExecuTorch, int8"], rounds=rounds),
        row("float32, ExecuTorch", ours, times["ONNX Runtime, dense"], unit="ms", n=1,
            peer_name="dense in ONNX Runtime", ratio=times["ONNX Runtime, dense"] / ours,
            rounds=rounds),
        row("float32 beside dense: largest difference of logits", apart["largest"], unit="",
            n=apart["n"], at_most=MODEL_WITHIN),
    ]
    about = done["float32.pte"].metadata.sparse
    assert about is not None
    return {"rows": rows, "ms": times, "layers": [
        {"name": one.name, "form": one.form, "zeros": one.zeros, "entries": one.entries,
         "why": one.why} for one in about.layers]}


def _model_pte(folder: Path, x: Any) -> Calls:
    return {form: executorch_call(folder / f"{MODEL}-{form}.pte", "XL", x)
            for form in ("dense", "float32", "int8")}


def _model_onnx(folder: Path, x: Any) -> Calls:
    return {"dense": onnx_call(folder / f"{MODEL}-dense.onnx", x, np.empty((1, 10), np.float32))}


def unchecked(name: str, call: Any) -> None:
    """Check nothing: `export` compared every file's outputs with the model's."""


def _apart(dense: Path, sparse: Path, source: Any, scale: Scale) -> dict[str, Any]:
    """Return the largest difference of logits over held-out images, one at a time."""
    (name, images), = source.inputs.items()
    images = images[:20 if scale.quick else None]
    one, other = edge_sdk.load(dense), edge_sdk.load(sparse)
    largest = 0.0
    for image in images:
        logits = [next(iter(engine.run({name: image[None]}, "XL").values()))
                  for engine in (one, other)]
        largest = max(largest, float(np.abs(logits[0] - logits[1]).max()))
    return {"largest": largest, "n": len(images)}


# ---- files -------------------------------------------------------------------------------------


def files(scale: Scale, data: Path | None) -> dict[str, Any]:
    """Return the bytes of files with compact weights beside those of dense ones."""
    import torch

    rows: list[Row] = []
    say(HEADING)
    for name, net, sample, percent in _nets(data):
        for target, suffix in TARGETS.items():
            made = {}
            for form in ("none", "float32", "int8"):
                path = BUILD / f"size-{form}{suffix}"
                made[form] = edge_sdk.export(net, path, sample=torch.from_numpy(sample),
                                             target=target, sparse=form).n_bytes
            rows += [{**row(f"{name}, {percent} % zeros, {target}, {form}",
                            made[form] / made["none"], unit="of dense", n=made[form],
                            at_most=SMALLER.get((percent, form))),
                      "bytes": made[form], "dense_bytes": made["none"]}
                     for form in ("float32", "int8")]
    return {"rows": rows}


def _nets(data: Path | None) -> Iterable[tuple[str, Any, Any, int]]:
    """Yield names, models, real inputs and their zeros in percent."""
    import torch
    from torch import nn

    from edge_sdk.source import find_source
    from edge_sdk.zoo.resnet import SmallResNet
    from edge_sdk.zoo.str_cifar10 import load

    images = find_source(MODEL, data=data, n_cases=N_IMAGES).sample[0][:1]
    yield MODEL, load(), images.numpy(), 90
    for percent in (90, 95):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 1024), nn.ReLU(),
                            nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
        # One token: what our operator is slower with stays dense, and so does the file.
        yield ("MLP 3072-1024-1024-10 of one image", _with_zeros(net, percent), images.numpy(),
               percent)
    tokens = np.random.default_rng(0).standard_normal((1, 8, 768)).astype(np.float32)
    for percent in (90, 95):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(768, 3072), nn.ReLU(), nn.Linear(3072, 768))
        yield "FFN 768-3072-768 of 8 tokens", _with_zeros(net, percent), tokens, percent
    for percent in (90, 95):
        torch.manual_seed(0)
        yield ("the residual network, twice as wide",
               _with_zeros(SmallResNet((64, 128, 256)), percent).eval(), images.numpy(), percent)


def _with_zeros(net: Any, percent: int) -> Any:
    """Return `net` with the smallest weights of each layer of 1,000 weights or more zero."""
    import torch
    from torch import nn

    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d) and layer.weight.numel() >= 1000:
                weight = layer.weight.view(-1)
                weight[weight.abs().argsort()[:round(percent / 100 * len(weight))]] = 0.0
    return net.eval()


# ---- the command -------------------------------------------------------------------------------


PARTS: Parts = {
    "kernels": kernels, "crossover": crossover, "model": model, "files": files,
}


if __name__ == "__main__":
    command(main("sparse", PARTS, PACKAGES))()
