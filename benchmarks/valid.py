"""Whether a device's results say what was measured, by what, and by whom it can be repeated."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
ROW = {"what": str, "ours": float, "peer": float, "peer_name": str, "unit": str, "ratio": float,
       "target": str, "met": bool, "n": int, "rounds": int, "isa": str}
MAY_BE_NONE = {"peer", "ratio", "met"}
PARTS = ("adaptive", "codes", "fastgrnn", "pipeline", "sparse")
"""Files of parts; elastic.json is of engines, and others are shown as they are."""
ENGINES = ("executorch", "litert", "onnx")
PLACE = re.compile(r"(?:^|[\s='\"])(?:/(?!/)[\w.-]+/[\w./-]+|[A-Za-z]:\\|~/)")
"""A path of somebody's machine."""


def problems(folder: Path) -> list[str]:
    """Return what is wrong with a device's folder of results, nothing if all is well."""
    if not NAME.fullmatch(folder.name):
        return [f"{folder.name}: a device's name has lower-case letters, digits, single hyphens"]
    files = sorted(folder.glob("*.json"))
    if not files:
        return [f"{folder.name}: no results"]
    return [f"{folder.name}/{path.name}{where}" for path in files for where in _of_file(path)]


def _of_file(path: Path) -> Iterator[str]:
    try:
        results = json.loads(path.read_text(), parse_constant=_no_constant)
    except ValueError as error:
        yield f": {error}"
        return
    if not isinstance(results, dict):
        yield ": expected an object"
        return
    yield from _places(results, "#")
    if path.stem in PARTS:
        yield from _about(results, path.parent.name)
        yield from _parts(results, path.stem)
    elif path.stem == "elastic":
        yield from _about(results, path.parent.name)
        yield from _elastic(results)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON; what is unknown is null")


def _about(results: dict[str, Any], device: str) -> Iterator[str]:
    if results.get("device") != device:
        yield f"#/device: expected {device!r}, the folder, got {results.get('device')!r}"
    if not re.fullmatch(r"\d+\.\d+\.\d+", str(results.get("version"))):
        yield f"#/version: expected the SDK's, got {results.get('version')!r}"
    if not isinstance(results.get("threads"), int) or results["threads"] < 1:
        yield f"#/threads: expected 1 or more, got {results.get('threads')!r}"


def _elastic(results: dict[str, Any]) -> Iterator[str]:
    if "python -m benchmarks.elastic" not in str(results.get("command")):
        yield f"#/command: expected python -m benchmarks.elastic, got {results.get('command')!r}"
    engines = [name for name in ENGINES if name in results]
    if not engines:
        yield f"#: expected one of {', '.join(ENGINES)}, got none"
    for name in engines:
        if not isinstance(results[name].get("toolchain"), dict):
            yield f"#/{name}/toolchain: expected the versions that wrote its files, got none"


def _parts(results: dict[str, Any], stem: str) -> Iterator[str]:
    packages = results.get("packages", {name: results.get(name) for name in ("numpy", "faiss")})
    if not packages or not all(isinstance(one, str) and one for one in packages.values()):
        yield f"#/packages: expected the version of each peer, got {packages!r}"
    if not results.get("isa") and not results.get("isas"):
        yield "#/isa: expected the vector instructions, got none"
    if not re.fullmatch(r"3\.\d+\.\d+\S*", str(results.get("python"))):
        yield f"#/python: expected its version, got {results.get('python')!r}"
    parts = results.get("parts")
    if not isinstance(parts, dict) or not parts:
        yield "#/parts: expected one or more, got none"
        return
    for name, part in parts.items():
        wanted = f"python -m benchmarks.{stem} --only {name}"
        if not str(part.get("command")).startswith(wanted):
            yield f"#/parts/{name}/command: expected {wanted}, got {part.get('command')!r}"
        for i, row in enumerate(part.get("rows", [])):
            yield from _row(row, f"#/parts/{name}/rows/{i}")


def _row(row: dict[str, Any], where: str) -> Iterator[str]:
    for key, kind in ROW.items():
        value = row.get(key)
        if key not in row or (value is None and key not in MAY_BE_NONE):
            yield f"{where}/{key}: expected {kind.__name__}, got nothing"
        elif value is not None and not isinstance(value, (int, float) if kind is float else kind):
            yield f"{where}/{key}: expected {kind.__name__}, got {value!r}"
    if bool(row.get("target")) != (row.get("met") is not None):
        yield f"{where}/met: expected whether {row.get('target')!r} was met"
    numbers = [row.get(key) for key in ("ours", "peer", "ratio")]
    if all(isinstance(one, int | float) for one in numbers) and not any(
            math.isclose(row["ratio"], one, rel_tol=1e-6)
            for one in _ratios(row["ours"], row["peer"])):
        yield f"{where}/ratio: expected that of ours and peer, got {row['ratio']!r}"


def _ratios(ours: float, peer: float) -> tuple[float, float]:
    """Return how many times less ours is, and how many times more: times, and shares."""
    return (peer / ours if ours else math.inf, ours / peer if peer else math.inf)


def _places(value: Any, where: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _places(key, where)
            yield from _places(entry, f"{where}/{key}")
    elif isinstance(value, list):
        for i, entry in enumerate(value):
            yield from _places(entry, f"{where}/{i}")
    elif isinstance(value, str) and PLACE.search(value):
        yield f"{where}: a path of this machine: {value!r}"
