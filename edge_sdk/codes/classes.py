"""`CodeIndex`: k-bit words to classes, by ED, MHD or ORD; one file, one tie rule (lowest id)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sdk import _native, corefile
from edge_sdk.artifact import publish
from edge_sdk.codes.hits import Hits
from edge_sdk.codes.words import Coding, Words, as_words, check_bits
from edge_sdk.errors import CodeError, FormatError, ShapeError

Ids = NDArray[np.int64]
Decoder = Literal["ed", "mhd", "ord"]
Plan = Literal["auto", "table", "scan", "ball", "multi"]
Fallback = Literal["none", "mhd", "soft"]
PLANS: tuple[Plan, ...] = ("auto", "table", "scan", "ball", "multi")
FALLBACKS: tuple[Fallback, ...] = ("none", "mhd", "soft")
DECODERS: tuple[Decoder, ...] = ("ed", "mhd", "ord")
DAMAGED = "the file is damaged: write it again"
TABLE_MAX_BITS = 20
MULTI_PAYS = 16_384


@dataclass(frozen=True)
class Nearest:
    """Minimum-Hamming answers with their margin.

    Attributes:
        ids: (n,) int64; -1 only if the index is empty.
        distances: (n,) int32, differing bits; bits + 1 if there is no class.
        runners_up: (n,) int32, the distance of the next other class.
    """

    ids: Ids
    distances: NDArray[np.int32]
    runners_up: NDArray[np.int32]

    @property
    def margins(self) -> NDArray[np.int32]:
        """Bits by which the runner-up is farther; 0 on a tie."""
        return self.runners_up - self.distances


@dataclass(frozen=True)
class Ordered:
    """Ordered-reliability answers.

    Attributes:
        ids: (n,) int64, -1 where no class was met.
        penalties: (n,) float64, the sum of |z| of the bits in which class and
            signs differ: 0 for an exact match, infinite for no class.
        lookups: (n,) uint32, flip patterns tested; a search by parts (`build(multi=)`)
            counts none.
        met: (n,) uint8: 0 not met, 1 by a look-up, 2 by MHD, 3 by the soft
            scan or a search by parts.
    """

    ids: Ids
    penalties: NDArray[np.float64]
    lookups: NDArray[np.uint32]
    met: NDArray[np.uint8]


class CodeIndex(_native.Llc):
    """Class codes of up to 64 bits, immutable; `build` or `open` one.

    Any number of threads may decode at once. `get(word)` is ED of one integer
    without NumPy's overhead: an id or None.
    """

    def __init__(self, data: NDArray[np.uint8], *, verify: bool = True) -> None:
        """Open a file's bytes, (size,) uint8, 8-byte aligned; they must stay unchanged.

        Raises:
            FormatError: Not an .llc file of class codes, or damaged.
            VersionError: Written by a newer version.
        """
        data = corefile.as_bytes(data)
        super().__init__(data, verify)
        if self.kind != corefile.CLASSES:
            raise FormatError("class codes", "instance codes", where="the .llc file",
                              hint="open it with InstanceIndex")
        self._data = data
        self._notes: dict[str, Any] = self._json("note", dict) or {}
        self._labels: list[str] | None = None

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, verify: bool = True) -> CodeIndex:
        """Open a file, memory-mapped.

        Args:
            path: An `.llc` file of class codes.
            verify: Read all of it and compare the digests. Without, a damaged
                file may give wrong answers, though never a crash.

        Raises:
            FormatError: No such file, or damaged.
        """
        return cls(corefile.read(path), verify=verify)

    @classmethod
    def build(
        cls, codes: Any, *, bits: int | None = None, labels: Sequence[str] | None = None,
        coding: Coding = "auto", duplicates: Literal["error", "lowest"] = "error",
        decoders: Sequence[Decoder] = ("ed", "mhd", "ord"), multi: bool | None = None,
        prefixes: Sequence[int] = (), calibration: tuple[ArrayLike, ArrayLike] | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> CodeIndex:
        """Build an index of one code for each class; a class's id is its row.

        Args:
            codes: As `as_words` takes them.
            bits, coding: As there.
            labels: One name for each class.
            duplicates: Two classes with one code are an error; "lowest" lets
                every decoder answer with the lower id.
            decoders: Each costs memory. "ed": for a million classes 8.5 bytes each at
                64 bits, 4.7 at 32 (`python -m benchmarks.codes --only memory`).
                "mhd": the codes (4 or 8 bytes a class), and up to 20 bits the table
                of all words. "ord": what "ed" has, the codes, and 2 to 4 bytes for
                a filter.
            multi: Also hash parts of the codes, which makes MHD of near words and
                ORD of unreliable ones many times faster, for some 8 to 20 bytes a
                class. None: where it pays, from 16,384 classes and 21 bits on.
            prefixes: Shorter lengths the codes were trained for, see `at`.
            calibration: (slope, offset), each (bits,): see `calibrate`.
            provenance: Anything JSON, kept with the index.

        Raises:
            CodeError: Equal codes (the message names them), or NaN.
            ShapeError: Another number of labels, or a prefix out of range.
        """
        words, bits = as_words(codes, bits, coding=coding)
        check_bits(bits)
        _check_parts(words, labels, prefixes, bits)
        for decoder in decoders:
            _place_of(decoder, DECODERS, "decoders")
        _place_of(duplicates, ("error", "lowest"), "duplicates")
        if duplicates == "error":
            _demand_unique(words, labels)
        parts: list[corefile.Section] = []
        if words.size:
            if {"ed", "ord"} & set(decoders):
                exact = _native.build_exact(words, bits, duplicates == "lowest")
                parts.append(corefile.section("EXCT", exact))
            if "ord" in decoders:
                parts.append(corefile.section("FILT", _native.build_filter(words, bits)))
            if "mhd" in decoders and bits <= TABLE_MAX_BITS:
                near = _native.build_nearest(words, bits)
                width = near.size >> bits
                parts.append(corefile.Section("NEAR", width, near.size, [near]))
            if multi is None:
                multi = words.size >= MULTI_PAYS and bits > TABLE_MAX_BITS \
                    and bool({"mhd", "ord"} & set(decoders))
            if multi:
                parts.append(corefile.section("MIHT", _native.build_multi(words, bits)))
        if {"mhd", "ord"} & set(decoders):
            stored = words.astype("<u4") if bits <= 32 else words
            parts.append(corefile.section("CODE", stored))
        if calibration is not None:
            parts.append(corefile.section("CALB", _calibration_rows(calibration, bits)))
        if labels is not None:
            parts.append(corefile.json_section("labl", list(labels)))
        notes = {"prefixes": list(prefixes), "duplicates": duplicates,
                 "decoders": list(decoders), "provenance": provenance or {}}
        parts.append(corefile.json_section("note", notes))
        return cls(corefile.pack(corefile.CLASSES, bits, words.size, parts), verify=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index as a file, whole or not at all.

        Raises:
            OutputError: No such folder, or no room.
        """
        with publish(path) as (temporary,):
            temporary.write_bytes(self._data.data)

    @property
    def nbytes(self) -> int:
        """Bytes of the file, which is all the memory that the index takes."""
        return int(self._data.size)

    @property
    def labels(self) -> list[str] | None:
        """The classes' names by id, or None."""
        if self._labels is None:
            labels = self._json("labl", list)
            if labels is not None and len(labels) != len(self):
                raise FormatError(f"{len(self)} labels", str(len(labels)), where="section labl",
                                  hint=DAMAGED)
            self._labels = labels
        return self._labels

    @property
    def codes(self) -> Words:
        """The codes as words, (n,) uint64, by id.

        Raises:
            CodeError: Built for ED alone, which does not keep them in this order.
        """
        found = self.section("CODE")
        if found is None:
            raise CodeError("an index that holds its codes", "one built for ED alone",
                            where="codes", hint="build with decoders=('ed', 'mhd')")
        offset, size, _ = found
        width = "<u4" if self.bits <= 32 else "<u8"
        return self._data[offset : offset + size].view(width).astype(np.uint64)

    @property
    def prefixes(self) -> tuple[int, ...]:
        """Shorter lengths the codes were trained for."""
        return tuple(self._notes.get("prefixes", ()))

    @property
    def provenance(self) -> dict[str, Any]:
        """What was stored about where the codes come from."""
        return dict(self._notes.get("provenance", {}))

    def decode_ed(self, words: Any) -> Ids:
        """Return the id of the class whose code each word is, -1 for none; (n,) int64.

        Args:
            words: Packed words (n,), uint64 to be fastest, or a table (n, bits).

        Raises:
            CodeError: A word of 2**bits or more, or an index without ED.
        """
        return self.ed(self._words(words))

    def decode_mhd(self, words: Any, *, plan: Plan = "auto") -> Ids:
        """Return the id of the class at the least Hamming distance, (n,) int64, ties to the lowest.

        Args:
            words: As in `decode_ed`.
            plan: How to go about it; all give the same answers, "auto" by a cost
                model. "table" is for up to 20 bits, "multi" for `build(multi=True)`.

        Raises:
            CodeError: A word too wide, or an index without what the plan needs.
        """
        return self.mhd(self._words(words), _place_of(plan, PLANS, "plan"))

    def nearest(self, words: Any) -> Nearest:
        """Return the nearest class of each word with distance and runner-up, by scanning."""
        return Nearest(*self.mhd_margin(self._words(words)))

    def search(self, words: Any, k: int) -> Hits:
        """Return the `k` classes nearest to each word, nearest first, ties to the lowest id.

        Args:
            words: As in `decode_ed`.
            k: Fewer come back only if the index holds fewer.

        Raises:
            ShapeError: A negative `k`.
            CodeError: A word too wide, or an index built for ED alone.
        """
        if k < 0:
            raise ShapeError("k from 0 up", str(k), where="`k`", hint="ask for one or more")
        packed = self._words(words)
        ids, distances = self.scan(packed[:, None], min(k, len(self)), 0, len(self))
        return Hits(ids, distances)

    def decode_ord(
        self, scores: ArrayLike, *, max_lookups: int | None = None, fallback: Fallback = "soft"
    ) -> Ordered:
        """Return the class c in +-1 of largest z.c for each row z of scores, ties to the lowest.

        Flips of sign(z) are looked up in the order of the sum of their |z|; the
        first that is a class is the most likely one.

        Args:
            scores: (n, bits) float32, positive for a one; sign(0) = +1.
            max_lookups: At most so many patterns, 1..65536. None: as many as pay,
                then the soft scan; the answer is the same as `decode_soft`'s.
            fallback: For what `max_lookups` did not settle: "none", the class
                nearest to the signs ("mhd"), or the soft scan ("soft").

        Raises:
            CodeError: NaN or infinite scores, or an index without ORD.
            ShapeError: Scores of another width, or `max_lookups` out of range.
        """
        if max_lookups is not None and not 1 <= max_lookups <= _native.LOOKUPS_MAX:
            raise ShapeError(f"1 to {_native.LOOKUPS_MAX} look-ups", str(max_lookups),
                             where="`max_lookups`", hint="None takes as many as pay")
        return Ordered(*self.ord(self._scores(scores), max_lookups or 0,
                                 _place_of(fallback, FALLBACKS, "fallback")))

    def decode_soft(self, scores: ArrayLike) -> Ordered:
        """Return what `decode_ord` returns, by comparing every class."""
        return Ordered(*self.soft(self._scores(scores)))

    def known(self, words: Any, *, radius: int = 0) -> NDArray[np.bool_]:
        """Return whether each word is within `radius` bits of a class: the OOD rule, no tuning.

        Args:
            words: As in `decode_ed`.
            radius: 0 is the exact-match rule, one look-up a word.

        Raises:
            ShapeError: A negative radius.
        """
        if radius < 0:
            raise ShapeError("a radius of 0 bits or more", str(radius), where="`radius`",
                             hint="0 asks for an exact match")
        if radius == 0:
            return np.asarray(self.decode_ed(words) >= 0)
        near = self.nearest(words)
        return np.asarray((near.ids >= 0) & (near.distances <= radius))

    def at(self, *, bits: int, untrained: bool = False,
           duplicates: Literal["error", "lowest"] = "error") -> CodeIndex:
        """Return an index of the first `bits` bits of every code, with the same ids and labels.

        Args:
            bits: A length the codes were trained for.
            untrained: Allow any other shorter length.
            duplicates: As in `build`.

        Raises:
            CodeError: Not a trained length, or codes that are not unique there.
            ShapeError: Longer than the codes.
        """
        if not 1 <= bits <= self.bits:
            raise ShapeError(f"1 to {self.bits} bits", str(bits), where="`bits`",
                             hint="a prefix can not be longer than the code")
        if bits not in (*self.prefixes, self.bits) and not untrained:
            trained = ", ".join(map(str, (*self.prefixes, self.bits)))
            raise CodeError(f"a trained length ({trained})", str(bits), where="`bits`",
                            hint="untrained=True takes any prefix")
        mask = np.uint64((1 << bits) - 1)
        calibration = self._calibration()
        return CodeIndex.build(
            self.codes & mask, bits=bits, labels=self.labels, duplicates=duplicates,
            decoders=self._notes.get("decoders", DECODERS),
            prefixes=[p for p in self.prefixes if p < bits],
            calibration=None if calibration is None else calibration[:, :bits],
            provenance=self.provenance)

    def _calibration(self) -> Any:
        found = self.section("CALB")
        if found is None:
            return None
        offset, size, _ = found
        return self._data[offset : offset + size].view("<f4").reshape(2, self.bits)

    def _json(self, tag: str, form: type) -> Any:
        found = self.section(tag)
        if found is None:
            return None
        offset, size, _ = found
        try:
            value = json.loads(self._data[offset : offset + size].tobytes())
        except (ValueError, RecursionError) as error:
            raise FormatError("JSON", str(error), where=f"section {tag}", hint=DAMAGED) from error
        if not isinstance(value, form):
            raise FormatError(f"a JSON {form.__name__}", type(value).__name__,
                              where=f"section {tag}", hint=DAMAGED)
        return value

    def _words(self, words: Any) -> Words:
        if isinstance(words, np.ndarray) and words.dtype == np.uint64 and words.ndim == 1:
            return np.ascontiguousarray(words)
        packed, bits = as_words(words, self.bits)
        if bits != self.bits:
            raise ShapeError(f"words of {self.bits} bits", str(bits), where="`words`",
                             hint="this index has another width: see `at`")
        return packed

    def _scores(self, scores: ArrayLike) -> NDArray[np.float32]:
        array = np.ascontiguousarray(scores, np.float32)
        if array.ndim != 2 or array.shape[1] != self.bits:
            raise ShapeError(f"scores (n, {self.bits})", str(list(array.shape)), where="`scores`",
                             hint="one real value for each bit of a code")
        return array


def calibrate(scores: ArrayLike, codes: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (slope, offset) with which slope_j z_j + offset_j is bit j's log-likelihood ratio.

    One logistic regression (Platt, 1999) for each bit, by Newton's method with
    the targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) that keep separable bits finite.

    Args:
        scores: (n, bits) of inputs whose class is known, not those to be decoded.
        codes: The true class's code of each, (n,) packed words or a table (n, bits).

    Raises:
        ShapeError: Other shapes, or no scores.
        CodeError: NaN or infinite scores.
    """
    z = np.asarray(scores, np.float64)
    if z.ndim != 2 or not z.size:
        raise ShapeError("scores (n, bits), n > 0", str(list(z.shape)), where="`scores`",
                         hint="one real value for each bit of a code")
    if not np.isfinite(z).all():
        raise CodeError("finite scores", "NaN or infinity", where="`scores`",
                        hint="look where the model makes them")
    words, _ = as_words(codes, z.shape[1])
    if len(words) != len(z):
        raise ShapeError(f"{len(z)} codes", str(len(words)), where="`codes`",
                         hint="pass the true class's code of each input")
    slopes, offsets = np.empty(z.shape[1]), np.empty(z.shape[1])
    for j in range(z.shape[1]):
        ones = (words >> np.uint64(j) & np.uint64(1)).astype(bool)
        target = np.where(ones, (ones.sum() + 1) / (ones.sum() + 2), 1 / ((~ones).sum() + 2))
        slopes[j], offsets[j] = _logistic(z[:, j], target)
    return slopes.astype(np.float32), offsets.astype(np.float32)


def _logistic(x: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    scale = max(float(np.abs(x).mean()), 1e-12)
    features = np.stack([x / scale, np.ones_like(x)], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(features @ weights, -30, 30)))
        curvature = features.T @ (features * (p * (1 - p))[:, None]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, features.T @ (p - target))
        # A full step can overshoot where the curve is flat.
        weights -= step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-10:
            break
    return np.asarray(weights / np.array([scale, 1.0]))


def _calibration_rows(calibration: tuple[ArrayLike, ArrayLike], bits: int) -> NDArray[np.float32]:
    rows = np.stack([np.asarray(row, "<f4") for row in calibration])
    if rows.shape != (2, bits) or not np.isfinite(rows).all():
        raise ShapeError(f"a finite slope and offset for each of {bits} bits",
                         str(list(rows.shape)), where="`calibration`",
                         hint="edge_sdk.codes.calibrate fits them")
    return rows


def _check_parts(words: Words, labels: Sequence[str] | None, prefixes: Sequence[int],
                 bits: int) -> None:
    if labels is not None and len(labels) != len(words):
        raise ShapeError(f"{len(words)} labels", str(len(labels)), where="`labels`",
                         hint="one name for each code")
    wrong = [prefix for prefix in prefixes if not 1 <= prefix < bits]
    if wrong:
        raise ShapeError(f"prefixes of 1 to {bits - 1} bits", str(wrong[0]), where="`prefixes`",
                         hint="the whole code needs no mention")


def _place_of(name: str, allowed: Sequence[str], where: str) -> int:
    if name not in allowed:
        raise CodeError(f"one of {', '.join(allowed)}", repr(name), where=f"`{where}`",
                        hint="a sequence of names" if where == "decoders" else "spell it so")
    return allowed.index(name)


def _demand_unique(words: Words, labels: Sequence[str] | None) -> None:
    unique, counts = np.unique(words, return_counts=True)
    if unique.size == words.size:
        return
    twins = np.flatnonzero(words == unique[counts > 1][0])[:2].tolist()
    names = [f"{i} ({labels[i]})" if labels else str(i) for i in twins]
    got = f"{words.size - unique.size} duplicates, the first of ids {' and '.join(names)}"
    raise CodeError("one class for each code", got,
                    where="`codes`", hint="duplicates='lowest' answers with the lower id")
