"""`python -m edge_sdk.codes build|decode|inspect|bench`: code indexes from the command line."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import typer
from numpy.typing import NDArray

from edge_sdk import _native, corefile
from edge_sdk.artifact import publish
from edge_sdk.codes.classes import DECODERS, PLANS, CodeIndex, Decoder
from edge_sdk.codes.instances import InstanceIndex, chunked
from edge_sdk.codes.words import Coding, Words, as_words, tell_coding
from edge_sdk.console import commands, say
from edge_sdk.errors import ComparisonError, FormatError, ShapeError

SECTIONS = {
    "CODE": "the codes by id", "EXCT": "ED: words to ids", "FILT": "ORD: words that are no code",
    "NEAR": "MHD: every word's nearest id", "MIHT": "MHD: parts of the codes",
    "CALB": "ORD: scores to log-likelihoods", "ITID": "the items' own ids",
    "labl": "labels, JSON", "note": "notes, JSON",
}
MET = ("none", "order", "mhd", "soft")
PROVED = 1000  # codes that the slower decoders are tried on


# ---- build ----------------------------------------------------------------------------


def build(
    codes: Path = typer.Argument(..., help="A .npy of packed integers or of a table (n, bits)."),
    out: Path = typer.Option(..., "--out", help="The .llc file to write."),
    bits: int = typer.Option(0, min=0, help="Bits of a code; packed forms need it."),
    coding: str = typer.Option("auto", help="How to read a table: auto, sign, 01 or packed."),
    labels: Path = typer.Option(None, help="The classes' names, one a line."),
    duplicates: str = typer.Option("error", help="Equal codes: error, or lowest id."),
    prefixes: str = typer.Option("", help="Shorter lengths the codes were trained for: 16,20."),
    decoders: str = typer.Option("ed,mhd,ord", help="What to build for; each costs memory."),
    multi: bool = typer.Option(False, "--multi",
        help="Hash parts of the codes also where it hardly pays."),
    instances: bool = typer.Option(False, "--instances", help="Items to search, not classes."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Build an index of the codes in CODES, and prove the file before it is moved to --out."""
    demand_one_of(coding, ("auto", "sign", "01", "packed"), "--coding")
    demand_one_of(duplicates, ("error", "lowest"), "--duplicates")
    chosen = tuple(part.strip() for part in decoders.split(","))
    for decoder in chosen:
        demand_one_of(decoder, DECODERS, "--decoders")
    if instances and (labels or prefixes or multi or duplicates != "error" or chosen != DECODERS):
        raise typer.BadParameter("--labels, --prefixes, --decoders, --multi and --duplicates are "
                                 "for classes, not for --instances")
    trained = numbers(prefixes)
    array = read_npy(codes)
    how = cast(Coding, coding)
    with publish(out) as (partial,):
        if instances:
            checks = write_items(array, partial, bits or None, how)
        else:
            names = read_lines(labels) if labels else None
            index = CodeIndex.build(
                array, bits=bits or None, coding=how, labels=names, multi=multi or None,
                decoders=cast(tuple[Decoder, ...], chosen),
                duplicates="lowest" if duplicates == "lowest" else "error", prefixes=trained,
                provenance={"codes": codes.name, "dtype": str(array.dtype),
                            "shape": list(array.shape)})
            index.save(partial)
            checks = prove_classes(partial, as_words(array, bits or None, coding=how)[0])
        description = describe(partial)
    description["file"] = str(out)
    if as_json:
        say(json.dumps({**description, "checks": checks}))
        return
    say(f"codes   {codes}  {array.dtype} {list(array.shape)}")
    say(f"wrote   {out}  {description['bytes']} B{a_code(description)}")
    say(text_of_sections(description))
    say("check   " + "  ".join(f"{name} {right}/{n}" for name, (right, n) in checks.items())
        + "  ok")


def prove_classes(path: Path, words: Words) -> dict[str, tuple[int, int]]:
    """Open the file and decode every code to its id, of equal ones the lowest."""
    index = CodeIndex.open(path)
    _, first, place = np.unique(words, return_index=True, return_inverse=True)
    expected = first[place.reshape(-1)]
    some = np.unique(np.linspace(0, len(words) - 1, PROVED).astype(np.int64)) if len(words) else \
        np.empty(0, np.int64)
    signs = np.where(table_of(words[some], index.bits), np.float32(1), np.float32(-1))
    trials: dict[Decoder, Callable[[], tuple[NDArray[np.int64], NDArray[np.int64]]]] = {
        "ed": lambda: (index.decode_ed(words), expected),
        "mhd": lambda: (index.decode_mhd(words[some]), expected[some]),
        "ord": lambda: (index.decode_ord(signs).ids, expected[some])}
    checks = {}
    for name in decoders_of(index):
        got, wanted = trials[name]()
        checks[str(name)] = int((got == wanted).sum()), len(wanted)
    demand_right(checks)
    return checks


def write_items(array: NDArray[Any], path: Path, bits: int | None,
                coding: Coding) -> dict[str, tuple[int, int]]:
    """Write the items chunk by chunk; open the file and compare it with what was given."""
    coding = tell_coding(array[: 1 << 20], coding) if array.ndim == 2 else coding
    _, width = as_words(array[:1], bits, coding=coding)
    InstanceIndex.write(path, chunked(array), n=len(array), bits=width, coding=coding)

    index = InstanceIndex.open(path)
    stored = stored_rows(index, path)
    same = 0
    for chunk, rows in zip(chunked(array), chunked(stored), strict=True):
        words = as_words(chunk, width, coding=coding)[0].reshape(len(chunk), -1)
        same += int((words == rows).all(axis=1).sum())
    found = index.search(as_queries(stored[:16], width), 1).distances
    checks = {"items": (same, len(array)), "searched": (int((found == 0).sum()), found.size)}
    demand_right(checks)
    return checks


def demand_right(checks: dict[str, tuple[int, int]]) -> None:
    """Raise unless everything came out as it went in."""
    for name, (right, n) in checks.items():
        if right != n:
            raise ComparisonError(f"{n} codes found by {name}", str(right), where="the new file",
                                  hint="nothing was written; please report this")


# ---- decode ---------------------------------------------------------------------------


def decode(
    file: Path = typer.Argument(..., help="An .llc file of class codes."),
    words: Path = typer.Argument(..., help="A .npy: integers are words, floats are bit scores."),
    decoder: str = typer.Option("", help="Words: ed (default) or mhd. Scores: ord or soft."),
    out: Path = typer.Option(None, "--out", help="Write ids to this .npy instead of lines."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Decode WORDS to the classes in FILE; - stands for no class."""
    array = read_npy(words)
    real = array.dtype.kind == "f"
    decoder = decoder or ("ord" if real else "ed")
    demand_one_of(decoder, ("ord", "soft") if real else ("ed", "mhd"),
                  f"--decoder on {array.dtype} queries")
    index = CodeIndex.open(file)
    ids, columns = answers_of(index, array, decoder)
    known = int((ids >= 0).sum())
    if out is not None:
        with publish(out) as (partial,), partial.open("wb") as stream:
            np.save(stream, ids)
    rows: list[dict[str, Any]] = [] if out is not None else rows_of(index, ids, columns)
    if as_json:
        say(json.dumps({"decoder": decoder, "queries": len(ids), "classes": known,
                        **({"out": str(out)} if out is not None else {"answers": rows})}))
        return
    for row in rows:
        label = row.pop("label", None)
        number, one = row.pop("query"), row.pop("id")
        cells = [f"query   {number:<8}", f"id {dash(one):<8}",
                 *(f"{name} {dash(value)}" for name, value in row.items())]
        say("  ".join(cells + ([label] if label is not None else [])))
    if out is not None:
        say(f"wrote   {out}  int64 [{len(ids)}]")
    say(f"done    {decoder}  queries {len(ids)}  classes {known}  none {len(ids) - known}")


def answers_of(index: CodeIndex, queries: NDArray[Any],
               decoder: str) -> tuple[NDArray[np.int64], dict[str, list[Any]]]:
    """Return ids and, by name, what else is known of each answer."""
    if decoder in ("ord", "soft"):
        found = index.decode_ord(queries) if decoder == "ord" else index.decode_soft(queries)
        finite = np.isfinite(found.penalties)
        return found.ids, {
            "penalty": [float(p) if ok else None
                        for p, ok in zip(found.penalties, finite, strict=True)],
            "lookups": found.lookups.tolist(), "met": [MET[m] for m in found.met]}
    if decoder == "ed":
        ids = index.decode_ed(queries)
        return ids, {"distance": [0 if i >= 0 else None for i in ids]}
    if index.section("CODE") is None:
        return index.decode_mhd(queries), {}
    near = index.nearest(queries)
    return near.ids, {"distance": near.distances.tolist(), "margin": near.margins.tolist()}


def rows_of(index: CodeIndex, ids: NDArray[np.int64],
            columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Return one dict a query, as --json prints them."""
    rows: list[dict[str, Any]] = []
    for query, one in enumerate(ids.tolist()):
        row: dict[str, Any] = {"query": query, "id": None if one < 0 else one,
               **{name: values[query] for name, values in columns.items()}}
        if index.labels is not None and one >= 0:
            row["label"] = index.labels[one]
        rows.append(row)
    return rows


# ---- inspect --------------------------------------------------------------------------


def inspect(
    file: Path = typer.Argument(..., help="An .llc file."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Verify FILE and show what it holds."""
    description = describe(file)
    if as_json:
        say(json.dumps(description))
        return
    say(f"file    {file}  {description['bytes']} B{a_code(description)}")
    say(f"kind    {description['kind']}  n {description['n']}  bits {description['bits']}")
    say(text_of_sections(description))
    if description["kind"] == "classes":
        say(f"decode  {' '.join(description['decoders']) or 'nothing'}  "
            f"mhd plan {description['mhd_plan'] or '-'}  "
            f"ord look-ups {description['auto_lookups'] or '-'}")
        say(f"prefix  {' '.join(map(str, description['prefixes'])) or '-'}")
        if description["labels"]:
            first = ", ".join(description["labels"][:5])
            more = ", ..." if len(description["labels"]) > 5 else ""
            say(f"labels  {len(description['labels'])}: {first}{more}")
        if description["provenance"]:
            say("source  " + "  ".join(f"{key} {value}" for key, value
                                       in description["provenance"].items()))
    say(f"check   digests of {len(description['sections'])} sections  ok")


def describe(path: Path) -> dict[str, Any]:
    """Verify a file and return what it says of itself, as --json prints it."""
    data = corefile.read(path)
    opened = _native.Llc(data)
    classes = opened.kind == corefile.CLASSES
    description: dict[str, Any] = {
        "file": str(path), "bytes": int(data.size), "kind": "classes" if classes else "instances",
        "n": len(opened), "bits": opened.bits,
        "sections": {entry.tag: entry.size for entry in corefile.table(data)}}
    if classes:
        index = CodeIndex(data, verify=False)
        decoders = decoders_of(index)
        description.update(
            decoders=decoders, prefixes=list(index.prefixes), labels=index.labels,
            provenance=index.provenance,
            mhd_plan=PLANS[index.mhd_plan] if "mhd" in decoders else None,
            auto_lookups=index.auto_lookups if "ord" in decoders else None)
    return description


def decoders_of(index: CodeIndex) -> list[Decoder]:
    """Return which decoders a file's sections allow."""
    exact, codes = (index.section(tag) is not None for tag in ("EXCT", "CODE"))
    if len(index) == 0:
        exact = codes  # no class is met without any table
    able: dict[Decoder, bool] = {"ed": exact, "mhd": index.mhd_plan != 0, "ord": exact and codes}
    return [name for name, can in able.items() if can]


# ---- bench ----------------------------------------------------------------------------


class Row(NamedTuple):
    """What one decoder took for one kind of queries."""

    decoder: str
    queries: str
    ns: float
    batch: int
    repeats: int


def bench(
    file: Path = typer.Argument(..., help="An .llc file."),
    repeats: int = typer.Option(11, min=1, help="Batches timed of each kind."),
    seed: int = typer.Option(0, help="Of the queries."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Time the decoders of FILE on this machine, on one thread and synthetic queries."""
    description = describe(file)
    if description["n"] == 0:
        raise ShapeError("an index of at least one code", "0", where=str(file),
                         hint="there is nothing to time")
    classes = description["kind"] == "classes"
    rows = [Row(decoder, queries, *timed(call, batches, repeats))
            for decoder, queries, call, batches in
            (class_trials(CodeIndex.open(file, verify=False), seed) if classes
             else item_trials(InstanceIndex.open(file, verify=False), file, seed))]
    if as_json:
        say(json.dumps({"file": str(file), "n": description["n"], "bits": description["bits"],
                        "isa": _native.isa(), "threads": 1, "rows": [r._asdict() for r in rows]}))
        return
    say(f"bench   {file}  {description['kind']} {description['n']}  bits {description['bits']}  "
        f"isa {_native.isa()}  threads 1")
    say("random  uniform words" + ("; as scores, N(0, 1)" if classes else ""))
    say("near    stored codes with 0, 1 or 2 bits flipped"
        + ("; as scores, +-1 with N(0, 0.5) added" if classes else ""))
    for row in rows:
        say(f"{row.decoder:<7} {row.queries:<6}  {row.ns:>12.1f} ns a query  "
            f"median of {row.repeats} batches of {row.batch}")
    say("note    on this machine, as it was loaded; synthetic queries, called in batches from "
        "Python")


Trial = tuple[str, str, Callable[[Any], Any], NDArray[Any]]
MOST = 1 << 14  # queries of one batch


def class_trials(index: CodeIndex, seed: int) -> list[Trial]:
    """Return (decoder, kind of queries, call, queries) of all that the file can do."""
    random = np.random.default_rng(seed)
    able = decoders_of(index)
    words = {"random": random_words(random, index.bits)}
    scores = {"random": random.normal(size=(MOST, index.bits)).astype(np.float32)}
    if index.section("CODE") is not None:
        codes = index.codes[random.integers(len(index), size=MOST)]
        words["near"] = flipped(random, codes, index.bits)
        signs = np.where(table_of(codes, index.bits), 1.0, -1.0)
        scores["near"] = (signs + random.normal(0, 0.5, signs.shape)).astype(np.float32)
    calls: dict[str, tuple[bool, Callable[[Any], Any], dict[str, Any]]] = {
        "ed": ("ed" in able, index.decode_ed, words),
        "mhd": ("mhd" in able, index.decode_mhd, words),
        "ord": ("ord" in able, index.decode_ord, scores),
        "soft": (index.section("CODE") is not None, index.decode_soft, scores)}
    return [(name, kind, call, queries[kind]) for name, (can, call, queries) in calls.items() if can
            for kind in queries]


def item_trials(index: InstanceIndex, path: Path, seed: int) -> list[Trial]:
    """Return the trials of a search of ten."""
    random = np.random.default_rng(seed)
    n_words = max(1, index.bits // 64)
    queries = np.stack([random_words(random, min(index.bits, 64)) for _ in range(n_words)], axis=1)
    stored = stored_rows(index, path)
    near = stored[np.sort(random.integers(len(index), size=MOST))].astype(np.uint64)
    near[:, 0] = flipped(random, near[:, 0], min(index.bits, 64))
    return [("top 10", kind, lambda rows: index.search(rows, min(10, len(index))),
             as_queries(rows, index.bits)) for kind, rows in (("random", queries), ("near", near))]


def timed(call: Callable[[Any], Any], queries: NDArray[Any],
          repeats: int) -> tuple[float, int, int]:
    """Return the median nanoseconds a query, in batches large enough to time, and their size."""
    batch = 16
    while True:
        start = time.perf_counter_ns()
        call(queries[:batch])
        if time.perf_counter_ns() - start > 5_000_000 or batch * 4 > len(queries):
            break
        batch *= 4
    took = []
    for i in range(repeats):
        at = i * batch % (len(queries) - batch + 1)
        start = time.perf_counter_ns()
        call(queries[at : at + batch])
        took.append((time.perf_counter_ns() - start) / batch)
    return statistics.median(took), batch, repeats


def random_words(random: np.random.Generator, bits: int) -> Words:
    """Return uniform words."""
    return random.integers(0, (1 << bits) - 1, size=MOST, dtype=np.uint64, endpoint=True)


def flipped(random: np.random.Generator, codes: Words, bits: int) -> Words:
    """Return codes with none, one or two bits flipped."""
    words = codes.copy()
    for flips in (1, 2):
        some = random.integers(0, 3, size=len(codes)) >= flips
        words[some] ^= np.uint64(1) << random.integers(0, bits, some.sum(), dtype=np.uint64)
    return words


# ---- what they share ------------------------------------------------------------------


def table_of(words: Words, bits: int) -> NDArray[np.bool_]:
    """Return words of up to 64 bits as a table (n, bits)."""
    return np.asarray(words[:, None] >> np.arange(bits, dtype=np.uint64) & np.uint64(1), np.bool_)


def stored_rows(index: InstanceIndex, path: Path) -> NDArray[Any]:
    """Return an index's codes as they lie in the file, (n, words a code), memory-mapped."""
    data = corefile.read(path)
    codes, = (entry for entry in corefile.table(data) if entry.tag == "CODE")
    rows = data[codes.offset : codes.offset + codes.size].view("<u4" if index.bits <= 32 else "<u8")
    return rows.reshape(len(index), max(1, index.bits // 64))


def as_queries(rows: NDArray[Any], bits: int) -> NDArray[np.uint64]:
    """Return stored codes in the form that a search takes."""
    words = rows.astype(np.uint64)
    return words if bits > 64 else words[:, 0]


def read_npy(path: Path) -> NDArray[Any]:
    """Return the array of a .npy file, memory-mapped.

    Raises:
        FormatError: No such file, or not one array of numbers.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        got = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise FormatError("a .npy file", got, where=str(path),
                          hint="numpy.save writes one") from error
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        raise FormatError("a .npy file of one array", type(array).__name__, where=str(path),
                          hint="numpy.save writes one; an .npz holds several")
    return array


def read_lines(path: Path) -> list[str]:
    """Return a text file's lines.

    Raises:
        FormatError: No such file, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        got = (error.strerror or str(error)) if isinstance(error, OSError) else "other bytes"
        raise FormatError("a text file in UTF-8", got, where=str(path),
                          hint="one label a line") from error


def numbers(text: str) -> list[int]:
    """Return the integers of a comma-separated list."""
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise typer.BadParameter(f"expected integers such as 16,20, got {text!r}") from None


def demand_one_of(value: str, allowed: tuple[str, ...], option: str) -> None:
    """Raise on wrong usage."""
    if value not in allowed:
        raise typer.BadParameter(f"{option}: expected one of {', '.join(allowed)}, got {value!r}")


def dash(value: Any) -> str:
    """Return a value as text, - for None."""
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def a_code(description: dict[str, Any]) -> str:
    """Return the bytes a code as text, nothing for no codes."""
    if not description["n"]:
        return ""
    what = "a class" if description["kind"] == "classes" else "an item"
    return f"  {description['bytes'] / description['n']:.1f} B {what}"


def text_of_sections(description: dict[str, Any]) -> str:
    """Return one line a section."""
    return "\n".join(f"section {tag}  {size:>10} B  {SECTIONS.get(tag, 'unknown, ignored')}"
                     for tag, size in description["sections"].items())


app = commands(build=build, decode=decode, inspect=inspect, bench=bench)

if __name__ == "__main__":
    app()
