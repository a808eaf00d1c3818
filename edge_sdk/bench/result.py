"""What a run found, as data and as JSON with a version."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edge_sdk.bench import stats
from edge_sdk.errors import FormatError, VersionError

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Row:
    """One thing that a file can do, timed; times in ms.

    Attributes:
        name: A granularity, a method, a cascade, or a level such as "S/32".
        kind: "granularity", "method", "cascade" or "level".
        frames: That one call takes, of a recurrent model.
        first_ms: Of the first call in a fresh process, the median over processes.
        n: Samples.
        calls_per_sample: Calls that one sample is the mean of, so that reading the clock does
            not count: quantiles and the minimum are of samples.
        mean_ms, min_ms: Over all samples.
        quantiles_ms: By percent; None where too few samples lie beyond.
        rounds_ms: Medians of each round, process by process.
        energy_mj: Of one call; None without a counter.
        energy_source: The counter, or why there is none.
        answered: Of a cascade, the share of the cases that each level answered.
    """

    name: str
    kind: str
    frames: int | None
    first_ms: float
    n: int
    calls_per_sample: int
    mean_ms: float
    min_ms: float
    quantiles_ms: dict[int, float | None]
    rounds_ms: list[list[float]]
    energy_mj: float | None = None
    energy_source: str = "not measured"
    answered: dict[str, float] | None = None

    @property
    def typical(self) -> stats.Estimate:
        """The latency in ms with the interval of a rerun; near p50, by which rows compare."""
        return stats.level(self.rounds_ms)


@dataclass(frozen=True)
class Ram:
    """Memory in units of 2**20 bytes, medians over processes; None is unknown.

    Attributes:
        peak_mb: Of the whole process, interpreter and engine included.
        above_engine_mb: The peak above what the imported engine takes; of a C program None.
        engine_mb: That.
        after_load_mb: Of the whole process once the file was loaded, before the first call.
        peaks_mb: Of each process.
    """

    peak_mb: float | None = None
    above_engine_mb: float | None = None
    engine_mb: float | None = None
    after_load_mb: float | None = None
    peaks_mb: list[float | None] = field(default_factory=list)


@dataclass(frozen=True)
class File:
    """One file in one engine.

    Attributes:
        path: As it was named.
        name: Its last part; for a bundle of several engines with the engine's name behind.
        kind: "artifact", "bundle", "grnn" or "c".
        sha256: Of the file; of a bundle's manifest; of a .c and its .h together.
        n_bytes: Of the file; of a bundle, without the models of other engines; of .c and .h.
        threads: Of the engine.
        engine, engine_version: What ran it; of C, the compiler.
        load_ms: Until the first call can be made, the median; None where nothing is loaded.
        inputs: What it was run on, in words.
        error: Why it was not measured: what `engines.process.pack_error` gives, or None.
    """

    path: str
    name: str
    kind: str
    sha256: str
    n_bytes: int
    threads: int
    engine: str
    engine_version: str | None = None
    load_ms: float | None = None
    inputs: str = ""
    ram: Ram = field(default_factory=Ram)
    rows: tuple[Row, ...] = ()
    error: dict[str, Any] | None = None

    def row(self, name: str, frames: int | None) -> Row | None:
        """Return the row of this name and as many frames a call."""
        return next((r for r in self.rows if (r.name, r.frames) == (name, frames)), None)


@dataclass(frozen=True)
class Ratio:
    """How many times as long a row takes as the first file's of the same name."""

    file: str
    row: str
    to: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Result:
    """A whole run.

    Attributes:
        command: That made it.
        sdk_version: Of this package.
        machine: See `machine.facts`.
        settings: Passes, rounds, seconds, seed.
        state: The device before, after and during: see `machine.Watch.report`.
        files: In the order given.
        notices: What the reader must know: throttling, counters that can not be read.
        started_utc: ISO 8601.
    """

    command: str
    sdk_version: str
    machine: dict[str, Any]
    settings: dict[str, Any]
    state: dict[str, Any]
    files: tuple[File, ...]
    notices: tuple[str, ...] = ()
    started_utc: str = ""
    schema_version: int = SCHEMA_VERSION

    @property
    def ratios(self) -> list[Ratio]:
        """Every row of the later files that the first measured file has too, beside it."""
        measured = [file for file in self.files if file.error is None]
        found = []
        for file in measured[1:]:
            for row in file.rows:
                base = measured[0].row(row.name, row.frames)
                if base is not None:
                    one = stats.ratio(base.rounds_ms, row.rounds_ms)
                    found.append(Ratio(file.name, row.name, measured[0].name, one.value, one.low,
                                       one.high))
        return found

    def to_json(self) -> str:
        """Return JSON text; `from_json` reads it."""
        content = asdict(self)
        content["ratios"] = [asdict(ratio) for ratio in self.ratios]
        for file, raw in zip(self.files, content["files"], strict=True):
            for row, entry in zip(file.rows, raw["rows"], strict=True):
                entry["typical_ms"] = asdict(row.typical)
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str, *, where: str) -> Result:
        """Return what `to_json` wrote; ratios and typical values are computed again.

        Raises:
            FormatError: Damaged, or other JSON.
            VersionError: Written by a newer version.
        """
        try:
            raw = json.loads(text)
            if raw["schema_version"] > SCHEMA_VERSION:
                raise VersionError(f"a benchmark of version {SCHEMA_VERSION} or older",
                                   f"version {raw['schema_version']}", where=where,
                                   hint="pip install --upgrade edge-inference-sdk")
            raw = {key: value for key, value in raw.items() if key not in ("ratios", "comparison")}
            raw["files"] = tuple(_file(entry) for entry in raw["files"])
            raw["notices"] = tuple(raw["notices"])
            result = cls(**raw)
            _check(result)
            return result
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise FormatError("what `edge_sdk.bench --json` wrote",
                              f"{type(error).__name__}: {error}", where=where,
                              hint="measure again: python -m edge_sdk.bench FILE... --json"
                              ) from error


def _file(raw: dict[str, Any]) -> File:
    return File(**{**raw, "ram": Ram(**raw["ram"]), "rows": tuple(map(_row, raw["rows"]))})


def _row(raw: dict[str, Any]) -> Row:
    raw = {key: value for key, value in raw.items() if key != "typical_ms"}
    return Row(**{**raw, "quantiles_ms": {int(percent): value for percent, value
                                          in raw["quantiles_ms"].items()}})


def _check(result: Result) -> None:
    """Raise ValueError or TypeError where figures can not be what a run wrote."""
    for name in ("key", "cpu"):
        if not isinstance(result.machine[name], str | None):
            raise TypeError(f"machine.{name} is {result.machine[name]!r}")
    passes, rounds = (result.settings[name] for name in ("passes", "rounds"))
    if not isinstance(result.settings["threads"], int):
        raise TypeError(f"settings.threads is {result.settings['threads']!r}")
    for file in result.files:
        if not isinstance(file.name, str) or not isinstance(file.threads, int):
            raise TypeError(f"file {file.name!r}")
        _check_number(file.ram.peak_mb)
        for row in file.rows:
            if [len(each) for each in row.rounds_ms] != [rounds] * passes or not row.rounds_ms:
                raise ValueError(f"{row.name} has not {rounds} rounds in each of {passes} passes")
            for value in itertools.chain(*row.rounds_ms):
                _check_number(value)


def _check_number(value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise ValueError(f"{value!r} is no time or size")


def load(path: Path) -> Result:
    """Return the result in a file.

    Raises:
        FormatError: No such file, damaged, or other JSON.
        VersionError: Written by a newer version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError("a readable benchmark", str(error), where=str(path),
                          hint="python -m edge_sdk.bench FILE... --json > old.json") from error
    return Result.from_json(text, where=str(path))
