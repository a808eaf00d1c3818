"""What can be measured: each file, and of a bundle each engine's model, is a subject."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_sdk.artifact import open_artifact
from edge_sdk.bench import generated_c
from edge_sdk.bundle import Bundle
from edge_sdk.bundle.folder import MANIFEST, SUFFIX
from edge_sdk.containers import SUFFIXES
from edge_sdk.errors import FormatError
from edge_sdk.fastgrnn import FastGRNN

KNOWN = ", ".join([*SUFFIXES, ".grnn", ".c", f"a folder {SUFFIX}"])


@dataclass(frozen=True)
class Subject:
    """One file in one engine, verified; attributes as those of `result.File`."""

    path: Path
    name: str
    kind: str
    engine: str
    sha256: str
    n_bytes: int

    def command(self, folder: Path, threads: int) -> tuple[list[str], str | None]:
        """Return what to start, and the engine's version where the process does not tell.

        Raises:
            EngineError, MissingDependency: Generated C that can not be compiled here.
        """
        if self.kind == "c":
            program, compiler = generated_c.build(generated_c.read(self.path), folder)
            return [str(program)], compiler
        request = {"path": str(self.path), "kind": self.kind, "target": self.engine,
                   "threads": threads}
        return [sys.executable, "-m", "edge_sdk.bench.child", json.dumps(request)], None

    def threads(self, asked: int) -> int:
        """Return how many threads it uses if so many are asked for: ours use one."""
        return 1 if self.kind in ("c", "grnn") else asked


def find(paths: Sequence[Path], target: str | None = None) -> list[Subject]:
    """Return the subjects of files, each with a name of its own.

    Args:
        paths: Artifacts, .grnn, generated C, bundles.
        target: The engine whose model is taken from bundles; all by default.

    Raises:
        FormatError: A file is none of these, missing or damaged.
        VersionError: Written by a newer version.
    """
    found = [subject for path in paths for subject in _subjects(path, target)]
    seen: Counter[str] = Counter()
    unique = []
    for subject in found:
        seen[subject.name] += 1
        n = seen[subject.name]
        unique.append(subject if n == 1 else replace(subject, name=f"{subject.name} ({n})"))
    return unique


def _subjects(path: Path, target: str | None) -> list[Subject]:
    if path.is_dir():
        return _of_bundle(path, target)
    if path.suffix in SUFFIXES:
        artifact = open_artifact(path)
        return [Subject(path, path.name, "artifact", artifact.metadata.target, artifact.sha256,
                        path.stat().st_size)]
    if path.suffix == ".grnn":
        FastGRNN.load(path)
        return [Subject(path, path.name, "grnn", "core", _digest(path), path.stat().st_size)]
    if path.suffix == ".c":
        header = generated_c.read(path).header
        return [Subject(path, path.name, "c", "c", _digest(path, header),
                        path.stat().st_size + header.stat().st_size)]
    raise FormatError(f"one of {KNOWN}", repr(path.suffix or path.name), where=str(path),
                      hint="keep the suffix that the exporter gave")


def _of_bundle(path: Path, target: str | None) -> list[Subject]:
    bundle = Bundle.open(path)
    files = bundle.manifest.files
    shared = sum(entry.n_bytes for entry in files.values() if entry.role != "model")
    targets = bundle.targets if target is None else (target,)
    found = []
    for each in targets:
        model = bundle.model(each)
        name = path.resolve().name
        found.append(Subject(path, name if len(targets) == 1 else f"{name} {each}", "bundle",
                             each, _digest(path / MANIFEST), shared + files[model.name].n_bytes))
    return found


def _digest(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()
