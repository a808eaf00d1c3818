"""A cascade beside the full layer and a NumPy cascade, one thread: `python -m benchmarks.cascade`.

1000 classes, 2048 coordinates, an MRL-E head, one embedding a call. Thresholds are set so that
the inputs leave at dims 8, 16, ..., 2048 in fractions that fall, 37.7 coordinates in the mean
(Kusupati et al. 2022 report about 37 for ImageNet). What is timed is the stream of all inputs,
call by call; peers take turns. That all give the same answers is checked first.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import edge_sdk
from benchmarks.rows import HEADING, Row, Scale, alternate, row
from edge_sdk import _native
from edge_sdk.cascade import Cascade, Head
from edge_sdk.console import command, say

Floats = NDArray[np.float32]

N_CLASSES, DIM = 1000, 2048
DIMS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
LEAVE = (0.392, 0.255, 0.180, 0.105, 0.045, 0.014, 0.005, 0.002, 0.002)
"""Fractions of the inputs that leave at each dim."""
N_INPUTS = 1000
GRANULARITY = "XL"


def thresholds_for(confidences: Floats, leave: tuple[float, ...]) -> Floats:
    """Return thresholds at which the fractions `leave` of these cases leave at each level.

    Args:
        confidences: (n, n_levels) float32, of every case at every level.
        leave: One for each level, 1 in sum.
    """
    left = np.ones(len(confidences), bool)
    found = []
    for level, fraction in enumerate(leave[:-1]):
        here = np.sort(confidences[left, level])[::-1]
        n = round(fraction * len(confidences))
        found.append(np.float32((here[n - 1] + here[n]) / 2))
        left &= confidences[:, level] <= found[-1]
    return np.array(found, np.float32)


def softmax_cascade(weights: Floats, bias: Floats, dims: tuple[int, ...],
                    thresholds: Floats) -> Callable[[Floats], int]:
    """Return the peer: NumPy, weights (dim, n_classes) so that prefixes are contiguous.

    Like the core it only adds the coordinates that the dims before have not, and computes
    nothing but the largest softmax; no temporary is allocated.
    """
    acc, logits = (np.empty(weights.shape[1], np.float32) for _ in range(2))
    blocks = [(begin, end, weights[begin:end])
              for begin, end in zip((0, *dims), dims, strict=False)]
    limits = [*thresholds.tolist(), -np.inf]

    def classify(x: Floats) -> int:
        np.dot(x[: dims[0]], blocks[0][2], out=acc)
        for (begin, end, block), limit in zip(blocks, limits, strict=True):
            if begin:
                np.add(acc, np.dot(x[begin:end], block, out=logits), out=acc)
            np.add(acc, bias, out=logits)
            best = logits.argmax()
            np.subtract(logits, logits[best], out=logits)
            np.exp(logits, out=logits)
            if 1.0 / logits.sum() > limit:
                break
        return int(best)

    return classify


def full_layers(weights: Floats, bias: Floats) -> dict[str, Callable[[Floats], int]]:
    """Return the full layer in NumPy and in torch: argmax of W x + b, (n_classes, dim) as stored.

    torch is left out where it is not installed.
    """
    def full(x: Floats) -> int:
        return int((weights @ x + bias).argmax())

    made: dict[str, Callable[[Floats], int]] = {"full layer in numpy": full}
    try:
        import torch
    except ImportError:
        return made
    torch.set_num_threads(1)
    w, b = torch.from_numpy(weights), torch.from_numpy(bias)

    def full_torch(x: Floats) -> int:
        with torch.inference_mode():
            return int(torch.nn.functional.linear(torch.from_numpy(x), w, b).argmax())

    return made | {"full layer in torch": full_torch}


def over(call: Callable[[Floats], object], inputs: list[Floats]) -> Callable[[], object]:
    """Return a call that classifies all inputs, one by one."""
    def stream() -> None:
        for x in inputs:
            call(x)

    return stream


def measure(scale: Scale) -> dict[str, Any]:
    """Return {"rows": ..., "mean_dim": ..., "fractions": ...}; rows are also printed.

    The first row's target: 30 times the full layer; the second's: 6 times the NumPy cascade.
    """
    random = np.random.default_rng(0)
    weights = (random.normal(size=(N_CLASSES, DIM)) / 8).astype(np.float32)
    bias = random.normal(size=N_CLASSES).astype(np.float32)
    inputs = random.normal(size=(N_INPUTS, DIM)).astype(np.float32)
    head = Head.build([weights], [bias], tied=True, dims=DIMS)
    levels = [(GRANULARITY, dim) for dim in DIMS]
    labels = np.zeros(N_INPUTS, np.int64)
    every = Cascade(head, levels, np.full(len(DIMS) - 1, np.inf)).outcomes(inputs, labels)
    cascade = Cascade(head, levels, thresholds_for(every.confidences, LEAVE))
    answers = cascade.run(inputs)
    applied = every.apply(cascade.thresholds)
    assert 36.5 <= applied.mean_cost <= 38.5, applied.mean_cost

    # Contiguous, as a model would have it after its trunk.
    stream = [np.ascontiguousarray(x) for x in inputs]
    steps = _native.Steps(head, DIMS, [*cascade.thresholds.tolist(), -np.inf], 1)
    numpy_cascade = softmax_cascade(np.ascontiguousarray(weights.T), bias, DIMS,
                                    cascade.thresholds)
    ours: dict[str, Callable[[Floats], Any]] = {
        "Cascade.classify": cascade.classify,
        "Steps.one": steps.one,
    }
    peers = {**full_layers(weights, bias), "numpy cascade": numpy_cascade}
    assert [ours["Cascade.classify"](x).id for x in stream] == answers.ids.tolist()
    # Sums in another order: a confidence at a threshold may fall on its other side.
    same = np.mean([numpy_cascade(x) == one for x, one in zip(stream, answers.ids, strict=True)])
    assert same >= 0.998, same

    rounds = scale.rounds(30)
    calls: dict[str, Callable[[Floats], Any]] = {**ours, **peers}
    with threadpool_limits(1):  # of NumPy's products
        seconds = dict(zip(calls, alternate([over(call, stream) for call in calls.values()],
                                            rounds), strict=True))
    rows: list[Row] = []
    say(HEADING)
    for mine in ours:
        for peer, target in (("full layer in numpy", 30.0), ("numpy cascade", 6.0),
                             ("full layer in torch", None)):
            if peer in seconds:
                rows.append(row(f"{mine}, L = {N_CLASSES}, D = {DIM}", seconds[mine] * 1e3,
                                seconds[peer] * 1e3, peer_name=peer, unit="us an input",
                                ratio=seconds[peer] / seconds[mine], n=N_INPUTS, rounds=rounds,
                                at_least=target))
    return {"rows": rows, "mean_dim": applied.mean_cost, "dims": list(DIMS),
            "fractions": applied.fractions.tolist()}


def main(
    quick: bool = typer.Option(False, "--quick", help="Try it out: few rounds, writes nothing."),
    out: Path = typer.Option(Path("build/cascade.json"), help="Where the results go."),
) -> None:
    """Measure the cascade of a Matryoshka head on this machine."""
    results = measure(Scale(quick=quick))
    say(f"mean dim {results['mean_dim']:.2f}")
    if not quick:
        results |= {"command": "python -m benchmarks.cascade", "version": edge_sdk.__version__,
                    "threads": 1, "isa": _native.isa(), "numpy": np.__version__,
                    "python": sys.version.split()[0]}
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(results, indent=1) + "\n")
        say(f"wrote   {out}")


if __name__ == "__main__":
    command(main)()
