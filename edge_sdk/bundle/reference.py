"""Packs a bundle from a reference model: exported, calibrated and evaluated in one go.

Cases that calibrate never evaluate (`edge_sdk.bundle.cases`). Embeddings come from the
exported file in its engine, so that thresholds are learnt on what a device computes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_sdk.artifact import Metadata
from edge_sdk.bundle.cases import SPLIT, Cases, calibrating, embed
from edge_sdk.bundle.folder import Bundle, check_out, pack
from edge_sdk.cascade import Cascade, CodeSignal, Head
from edge_sdk.cascade.head import Floats
from edge_sdk.codes import CodeIndex
from edge_sdk.errors import CalibrationError, DataError, UnsupportedModel

if TYPE_CHECKING:
    from edge_sdk.source import Source

GRANULARITIES = "S,M,L,XL"
EPSILONS = (0.005, 0.01, 0.02)
"""Accuracy that the risk-controlled cascades may lose against the full model."""
DELTA = 0.1
N_PACKED = 200
"""Evaluation cases that lie in the bundle."""
ACCEPTED = 0.95
"""Share of calibration inputs whose codes count as known."""

Report = Callable[[str], None]
Embeddings = dict[str, Floats]


def pack_reference(
    model: str, out: str | os.PathLike[str], *, data: str | os.PathLike[str] | None = None,
    targets: Sequence[str] = ("onnx",), epsilons: Sequence[float] = EPSILONS,
    delta: float = DELTA, seed: int = 0, n_cases: int | None = None,
    report: Report = lambda text: None,
) -> Bundle:
    """Write the bundle of a reference model.

    Args:
        model: A zoo name.
        out: The folder, ending in .edge.
        data: Folder with data sets, or $EDGE_SDK_DATA.
        targets: Engines; the first one computes the embeddings that calibrate.
        epsilons, delta: Promises to learn a cascade for; one for which the calibration cases
            are too few is left out, and the manifest's notes say so.
        seed: Of the risk control.
        n_cases: At most this many held-out cases; all by default.
        report: Called with what is being done.

    Raises:
        UnsupportedModel: No such reference model.
        DataError: Its held-out data are not there.
        OutputError: `out` can not be written.
        ShapeError: `out` does not end in .edge.
    """
    from edge_sdk import zoo
    from edge_sdk.engines import load
    from edge_sdk.export import export_all
    from edge_sdk.prove import Limits
    from edge_sdk.source import find_source

    if model not in zoo.names():
        raise UnsupportedModel(f"one of {', '.join(zoo.names())}", repr(model), where="MODEL",
                               hint="for a model of yours: edge_sdk.bundle.pack")
    check_out(out)
    suffixes = {target: _suffix(target) for target in targets}
    report("loading the model")
    source = find_source(model, data=data, embedding_only=True, n_cases=n_cases)
    if source.synthetic:
        raise DataError("held-out cases to calibrate on", source.inputs_are, where=model,
                        hint="pass --data DIR, or set $EDGE_SDK_DATA")
    cases = held_out(model, data=data, n_cases=n_cases)
    head = reference_head(source)
    codes = reference_codes(model)
    with tempfile.TemporaryDirectory(prefix="edge_sdk-") as folder:
        outs = {target: Path(folder) / f"model{suffix}" for target, suffix in suffixes.items()}
        done = export_all(source, outs, granularity="XL", elastic=GRANULARITIES, quantize="none",
                          limits=Limits(), report=report)
        engine = load(outs[targets[0]])
        embeddings = embed(engine, cases.inputs, engine.granularities, report)
        report("learning thresholds")
        mask = calibrating(len(cases))
        known = _part(embeddings, mask), cases.labels[mask]
        words = f"{cases.words}; {SPLIT}"
        cascades, notes = learn_all(head, done[0].metadata, *known, epsilons=epsilons,
                                    delta=delta, seed=seed, words=words)
        distance = None if codes is None else known_distance(codes, known[0])
        notes["evaluated"] = evaluate(head, cascades, _part(embeddings, ~mask),
                                      cases.labels[~mask])
        default = next((name for name in ("risk-0.01", "risk-0.02") if name in cascades), "")
        return pack(out, models=list(outs.values()), head=head, cascades=cascades,
                    default=default, codes=codes, unknown_distance=distance, notes=notes,
                    cases=sample(cases.take(~mask, words)))


def held_out(model: str, *, data: str | os.PathLike[str] | None = None,
             n_cases: int | None = None) -> Cases:
    """Return the held-out cases of a reference model, as its artifacts take them.

    Raises:
        DataError: The data are not there.
    """
    from edge_sdk.source import find_source

    source = find_source(model, data=data, n_cases=n_cases)
    if source.targets is None:
        raise DataError(f"the data set of {model}", source.inputs_are, where="--data",
                        hint="pass --data DIR, or set $EDGE_SDK_DATA")
    return Cases(source.inputs, source.targets.astype(np.int64), source.inputs_are)


def sample(cases: Cases, n: int = N_PACKED) -> Cases:
    """Return n cases at even steps: what a device profiles with where the data set is not."""
    steps = np.arange(min(n, len(cases))) * len(cases) // min(n, len(cases))
    return cases.take(steps, cases.words)


def reference_head(source: Source) -> Head:
    """Return a reference model's head; an ordinary Linear is a head of one dim."""
    head: Any = getattr(source.universal, "head", None)
    if source.dims:
        return Head.from_module(head)
    weight, bias = (tensor.detach().numpy() for tensor in (head.weight, head.bias))
    return Head.build([weight], [bias])


def reference_codes(model: str) -> CodeSignal | None:
    """Return the class codes of a reference model, None if it has none."""
    from edge_sdk.zoo import matvit_codes

    if model not in matvit_codes.TRUNKS:
        return None
    stored = matvit_codes.load(trunk=model)
    # Verdicts compare distances: the table of all 2^20 words would be two megabytes for nothing.
    index = CodeIndex.build(stored.codebook, decoders=("ed", "ord"))
    return CodeSignal(index, tuple(Head.build([weight], [bias])
                                   for weight, bias in stored.layers))


def learn_all(
    head: Head, metadata: Metadata, embeddings: Embeddings, labels: Any, *,
    epsilons: Sequence[float], delta: float, seed: int, words: str,
) -> tuple[dict[str, Cascade], dict[str, Any]]:
    """Return the cascades of a bundle by name, and notes on those that could not be learnt.

    "published" and "risk-EPSILON" go from the smallest granularity to the largest, and their
    costs are the MACs of all submodels that ran; "dims" goes through the dims of the largest.
    """
    smallest, *_, largest = embeddings
    levels = [(smallest, head.dim), (largest, head.dim)]
    macs = np.cumsum([metadata.granularities[name].macs or 1 for name, _ in levels])
    options: dict[str, Any] = {"costs": macs.astype(np.float64), "data": words}
    found = {"published": Cascade.learn(head, levels, embeddings, labels, **options)}
    notes: dict[str, Any] = {"split": words}
    for epsilon in epsilons:
        name = f"risk-{epsilon:g}"
        try:
            learnt = Cascade.learn(head, levels, embeddings, labels, epsilon=epsilon,
                                   delta=delta, seed=seed, **options)
            if len(learnt.levels) > 1:
                found[name] = learnt
            else:
                notes[name] = learnt.provenance["note"]
        except CalibrationError as error:
            notes[name] = str(error)
    if len(head.dims) > 1:
        found["dims"] = Cascade.learn(head, [(largest, dim) for dim in head.dims], embeddings,
                                      labels, data=words)
    return found, notes


def known_distance(codes: CodeSignal, embeddings: Embeddings) -> int:
    """Return the Hamming distance from which on an input is unknown.

    It is the smallest that leaves `ACCEPTED` of the calibration inputs known at every
    granularity.
    """
    quantiles = [np.quantile(codes.codes.nearest(codes.words(vectors)).distances, ACCEPTED,
                             method="inverted_cdf") for vectors in embeddings.values()]
    return int(max(quantiles)) + 1


def evaluate(head: Head, cascades: dict[str, Cascade], embeddings: Embeddings,
             labels: Any) -> dict[str, Any]:
    """Return accuracies in 0..1 on n cases: by granularity and dim, and by cascade."""
    by_level = {
        name: {str(dim): float((head.at(vectors, dim).argmax(1) == labels).mean())
               for dim in head.dims}
        for name, vectors in embeddings.items()
    }
    by_cascade = {}
    for name, cascade in cascades.items():
        answers = cascade.run(embeddings)
        by_cascade[name] = {
            "accuracy": float((answers.ids == labels).mean()),
            "fractions": [float((answers.levels == i).mean())
                          for i in range(len(cascade.levels))],
        }
    return {"n": len(labels), "levels": by_level, "cascades": by_cascade}


def _part(embeddings: Embeddings, mask: Any) -> Embeddings:
    return {name: np.ascontiguousarray(vectors[mask]) for name, vectors in embeddings.items()}


def _suffix(target: str) -> str:
    from edge_sdk.artifact import SUFFIX

    if target not in SUFFIX:
        raise UnsupportedModel(f"one of the targets {', '.join(SUFFIX)}", repr(target),
                               where="--target", hint="--target onnx is the default")
    return SUFFIX[target]
