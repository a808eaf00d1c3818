"""ORD beside the soft scan, and what it recovers on held-out images: parts of benchmarks.codes.

`--scores` is a folder of `<codebook>.npz`, each with

    codes          (L,) uint64, or (L, k) of which >= 0 is a one
    scores         (n, k) bit scores of held-out images
    labels         (n,) their classes, as rows of `codes`
    train_scores, train_labels      the same of training images; may be missing

Calibrations are fitted on the training images, or if there are none on the even
half of the held-out ones, and are only reported on others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows import Row, Scale, alternate, beside, count, fresh, using
from edge_sdk import _native
from edge_sdk.codes import CodeIndex, Ordered, as_words, calibrate
from edge_sdk.codes.classes import FALLBACKS, Fallback
from edge_sdk.console import say
from edge_sdk.errors import FormatError

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]
Words = NDArray[np.uint64]
LOOKUPS = [2**i for i in range(13)]  # 1 .. 4096
PICTURED = "llc"
"""Of several codebooks of 20 bits, the first whose name has this is timed and pictured."""


@dataclass(frozen=True)
class Codebook:
    """Codes, and bit scores of images whose classes are known."""

    name: str
    codes: Words
    scores: Floats
    labels: Ids
    train: tuple[Floats, Ids] | None

    @property
    def bits(self) -> int:
        """Of a code."""
        return int(self.scores.shape[1])

    def margins(self) -> Floats:
        """Return (n, bits): the scores times the sign they should have."""
        made: Floats = self.scores * signs_of(self.codes[self.labels], self.bits)
        return made


def load(folder: Path | None) -> list[Codebook]:
    """Return the codebooks of a folder, by name; none if there is no such folder."""
    if folder is None:
        return []
    return [_load_one(path) for path in sorted(folder.glob("*.npz"))]


def _load_one(path: Path) -> Codebook:
    with np.load(path) as file:
        missing = {"codes", "scores", "labels"} - set(file.files)
        if missing:
            raise FormatError("codes, scores and labels", ", ".join(file.files), where=str(path),
                              hint="benchmarks/codes_ord.py says what they are")
        scores = np.ascontiguousarray(file["scores"], np.float32)
        codes = file["codes"]
        words, _ = as_words(codes, scores.shape[1], coding="sign" if codes.ndim == 2 else "auto")
        train = None
        if {"train_scores", "train_labels"} <= set(file.files):
            train = file["train_scores"].astype(np.float32), file["train_labels"].astype(np.int64)
        return Codebook(path.stem, words, scores, file["labels"].astype(np.int64), train)


def pictured(codebooks: list[Codebook]) -> Codebook | None:
    """Return the codebook of 20 bits that is timed, or None."""
    found = [book for book in codebooks if book.bits == 20]
    return next((book for book in found if PICTURED in book.name), found[0] if found else None)


def signs_of(words: Words, bits: int) -> Floats:
    """Return words as +1 and -1, (n, bits)."""
    ones = words[:, None] >> np.arange(bits, dtype=np.uint64) & np.uint64(1)
    return np.where(ones > 0, np.float32(1), np.float32(-1))


def synthetic_margins(n: int = 20_000, bits: int = 20) -> Floats:
    """Return margins where nothing was trained: |N(1, 0.5)| + N(0, 0.55), some 4 % wrong bits."""
    random = np.random.default_rng(7)
    drawn = np.abs(random.normal(1, 0.5, (n, bits))) + random.normal(0, 0.55, (n, bits))
    return drawn.astype(np.float32)


def scores_like(margins: Floats, words: Words, bits: int, seed: int = 8) -> Floats:
    """Return scores of words, (n, bits), each bit's margin drawn from those of one measured bit."""
    random = np.random.default_rng(seed)
    rows = random.integers(0, len(margins), (len(words), bits))
    drawn = margins[rows, np.arange(bits) % margins.shape[1]]
    return np.ascontiguousarray(drawn * signs_of(words, bits))


# ---- ORD beside the soft scan ---------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """An index and scores to decode: `what` says of what."""

    what: str
    index: CodeIndex
    scores: Floats
    at_least: float


def cases(scale: Scale, folder: Path | None) -> list[Case]:
    """Return 968 classes of 20 bits, and 1e5 of 28, with measured scores if there are any."""
    book = pictured(load(folder))
    random = np.random.default_rng(9)
    margins = synthetic_margins() if book is None else book.margins()
    profile = "synthetic scores" if book is None else f"scores as {book.name}'s"
    if book is None:
        codes = random.choice(1 << 20, 968, replace=False).astype(np.uint64)
        scores = scores_like(margins, codes[random.integers(0, 968, 5000)], 20)
        what = f"ORD 968 x 20, {profile}"
    else:
        codes = book.codes
        scores = book.scores[random.permutation(len(book.scores))[:5000]]
        what = f"ORD {count(len(codes))} x 20, {book.name}"
    small = CodeIndex.build(codes, bits=20, duplicates="lowest")
    n = scale.n(100_000)
    many = random.permutation(np.unique(random.integers(0, 1 << 28, n + n // 100 + 16)))[:n]
    words = many.astype(np.uint64)
    large = CodeIndex.build(words, bits=28)
    return [Case(what, small, scores, 1.0),
            Case(f"ORD {count(n)} x 28, {profile}", large,
                 scores_like(margins, words[random.integers(0, n, 4000)], 28), 20.0)]


def measure_ord(scale: Scale, folder: Path | None) -> dict[str, Any]:
    """Return ORD's times beside the soft scan's, and what they say of the hand-over."""
    rows: list[Row] = []
    handover = []
    for case in cases(scale, folder):
        rows += _ord_rows(case, scale)
        handover.append(_handover(case, scale))
    return {"rows": rows, "handover": handover, "cost_model": _cost_model(handover, scale)}


def _ord_rows(case: Case, scale: Scale) -> list[Row]:
    index, scores, made = case.index, case.scores, []
    n, size = len(index), 1000
    chunks = [np.ascontiguousarray(scores[at : at + size]) for at in range(0, len(scores), size)]
    for isa in _native.isas():
        with using(isa):
            assert (index.decode_ord(scores).ids == index.decode_soft(scores).ids).all()
            made.append(beside(
                f"{case.what}, batch of {size}, {isa}", fresh(index.decode_ord, chunks),
                fresh(index.decode_soft, chunks, ahead=True), peer_name="soft scan",
                unit="us a query", units=1e6 / size, rounds=scale.rounds(40), n=n,
                at_least=case.at_least))
    calls = 100
    singles = chunks[0].reshape(-1, calls, 1, index.bits)

    def each(decode: Callable[[Floats], Ordered], queries: Floats) -> None:
        for query in queries:
            decode(query)

    made.append(beside(f"{case.what}, one query a call",
                       fresh(partial(each, index.decode_ord), singles),
                       fresh(partial(each, index.decode_soft), singles, ahead=True),
                       peer_name="soft scan", unit="us a query", units=1e6 / calls,
                       rounds=scale.rounds(40), n=n))
    table, few = signs_of(index.codes, index.bits).T.copy(), chunks[0][:100]
    made.append(beside(f"{case.what}, batch of 100", lambda: index.decode_ord(few),
                       lambda: (few @ table).argmax(1), peer_name="numpy matmul, argmax",
                       unit="us a query", units=1e6 / 100, rounds=scale.rounds(10), n=n))
    return made


def _handover(case: Case, scale: Scale) -> dict[str, Any]:
    """Return, for each number of look-ups before the soft scan, the time, and which is best."""
    index, scores = case.index, case.scores[:1000]
    grid = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048, 4096]

    fallbacks: tuple[Fallback, Fallback] = "soft", "none"
    times = alternate(
        [partial(index.decode_soft, scores), partial(index.decode_ord, scores),
         *(partial(index.decode_ord, scores, max_lookups=lookups, fallback=fallback)
           for fallback in fallbacks for lookups in grid)], scale.rounds(20))
    ns = [seconds * 1e9 / len(scores) for seconds in times]
    soft, auto, handing, alone = ns[0], ns[1], ns[2 : 2 + len(grid)], ns[2 + len(grid) :]
    curve = []
    for lookups, full, order in zip(grid, handing, alone, strict=True):
        found = index.decode_ord(scores, max_lookups=lookups, fallback="none")
        curve.append({"max_lookups": lookups, "ns": full, "order_ns": order,
                      "mean_lookups": float(found.lookups.mean()),
                      "answered": float((found.ids >= 0).mean())})
    # The optimum is flat: the middle of what is within 2 % of the best is less of an accident.
    least = min(point["ns"] for point in curve)
    near = [point for point in curve if point["ns"] <= 1.02 * least]
    best = near[len(near) // 2]
    # What a further look-up costs: the slope where many are made.
    slope = np.polyfit([point["mean_lookups"] for point in curve],
                       [point["order_ns"] for point in curve], 1)[0]
    say(f"{case.what}: soft {soft:.0f} ns, auto ({index.auto_lookups}) {auto:.0f}, best at "
        f"{best['max_lookups']}: {best['ns']:.0f}; a look-up {slope:.1f} ns")
    return {"what": case.what, "n": len(index), "soft_ns": soft, "auto_ns": auto,
            "auto_lookups": index.auto_lookups, "best_lookups": best["max_lookups"],
            "best_ns": best["ns"], "lookup_ns": float(slope), "curve": curve}


def _cost_model(handover: list[dict[str, Any]], scale: Scale) -> dict[str, float]:
    """Return the constants of runtime/src/ordered.c as this machine would have them.

    The soft scan is a line over the classes. The hand-over pays at about
    scan / LOOKUP_PS look-ups, so LOOKUP_PS is what puts that at the best found:
    a look-up, divided by how likely the T-th one is to end it, times T.
    """
    random, sizes = np.random.default_rng(10), (1000, 4000, 16_000, 64_000)
    times: list[float] = []
    for n in sizes:
        codes = np.unique(random.integers(0, 1 << 28, n)).astype(np.uint64)
        index = CodeIndex.build(codes, bits=28, decoders=("mhd",))
        drawn = codes[random.integers(0, len(codes), 300)]
        scores = scores_like(synthetic_margins(), drawn, 28)
        [seconds] = alternate([partial(index.decode_soft, scores)], scale.rounds(15))
        times.append(seconds * 1e12 / 300)
    per_code, start = np.polyfit(sizes, times, 1, w=1 / np.array(times))
    best = [point["soft_ns"] * 1e3 / point["best_lookups"] for point in handover]
    made = {"LOOKUP_PS": float(np.exp(np.mean(np.log(best)))), "SOFT_CODE_PS": float(per_code),
            "SOFT_START_PS": float(start)}
    say("ordered.c: " + ", ".join(f"{name} {value:.0f}" for name, value in made.items())
        + f" (LOOKUP_PS from each: {', '.join(f'{value:.0f}' for value in best)})")
    return made


# ---- held-out images ------------------------------------------------------------------------


def measure_omniglot(scale: Scale, folder: Path | None) -> dict[str, Any]:
    """Return every decoder's top-1 for each codebook, and ORD's curves."""
    codebooks, made = load(folder), {}
    if not codebooks:
        say("omniglot: no --scores, nothing measured")
    for book in codebooks:
        made[book.name] = _study(book, scale)
        shares = made[book.name]["top1"]
        say(f"{book.name}: " + ", ".join(f"{name} {share:.2%}" for name, share in shares.items()))
    chosen = pictured(codebooks)
    return {"rows": [], "codebooks": made, "pictured": chosen.name if chosen else None}


def _study(book: Codebook, scale: Scale) -> dict[str, Any]:
    if book.train is None:
        fitted, fit = "the even half of the held-out images", (book.scores[::2], book.labels[::2])
        scores, labels = np.ascontiguousarray(book.scores[1::2]), book.labels[1::2]
    else:
        fitted, fit = "training images", book.train
        scores, labels = book.scores, book.labels
    calibration = calibrate(fit[0], book.codes[fit[1]])
    raw, fine = (CodeIndex.build(book.codes, bits=book.bits, duplicates="lowest", calibration=c)
                 for c in (None, calibration))
    words = as_words(scores, book.bits, coding="sign")[0]
    # A class whose code another one has first can not be answered; it counts as wrong.
    soft, fine_soft = raw.decode_soft(scores), fine.decode_soft(scores)
    answers = {"ED": raw.decode_ed(words), "MHD": raw.decode_mhd(words),
               "soft": soft.ids, "soft, calibrated": fine_soft.ids}
    for index, scanned in ((raw, soft), (fine, fine_soft)):
        assert (index.decode_ord(scores).ids == scanned.ids).all()
    differing = signs_of(words ^ book.codes[labels], book.bits) > 0
    return {
        "classes": len(book.codes), "distinct": len(np.unique(book.codes)), "bits": book.bits,
        "images": len(labels), "calibrated_on": fitted,
        "wrong_bits": float(differing.mean()),
        "top1": {name: float((ids == labels).mean()) for name, ids in answers.items()},
        "auto_lookups": raw.auto_lookups,
        "soft_us": _us([lambda: raw.decode_soft(scores)], len(scores), scale)[0],
        "curve": _curve(raw, scores, labels, scale),
        "curve_calibrated": _curve(fine, scores, labels, scale)}


def _us(calls: list[Callable[[], object]], n: int, scale: Scale) -> list[float]:
    return [seconds * 1e6 / n for seconds in alternate(calls, scale.rounds(10))]


def _curve(index: CodeIndex, scores: Floats, labels: Ids, scale: Scale) -> list[dict[str, float]]:
    times = _us([partial(index.decode_ord, scores, max_lookups=lookups) for lookups in LOOKUPS],
                len(scores), scale)
    curve = []
    for lookups, us in zip(LOOKUPS, times, strict=True):
        found = {fallback: index.decode_ord(scores, max_lookups=lookups, fallback=fallback)
                 for fallback in FALLBACKS}
        point: dict[str, float] = {
            "max_lookups": lookups, "answered": float((found["none"].ids >= 0).mean()),
            "mean_lookups": float(found["none"].lookups.mean()),
            "median_lookups": float(np.median(found["none"].lookups)), "us": us}
        for fallback, answer in found.items():
            point[f"right_{fallback}"] = float((answer.ids == labels).mean())
        curve.append(point)
    return curve
