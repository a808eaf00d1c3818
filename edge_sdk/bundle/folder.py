"""The bundle: packed whole or not at all, opened only as it was packed.

A bundle is a folder `name.edge/` that holds all that a `Session` needs: the model for one or
more engines, the Matryoshka head, class codes, cascades, and the profile of a device. Its
manifest names every file with size and sha256, and is sealed itself: what is not as it was
packed is refused. Names are plain, so that nothing outside the folder is ever read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edge_sdk.artifact import Metadata, open_artifact, publish, seal_json
from edge_sdk.bundle.cases import Cases, load_cases, save_cases
from edge_sdk.cascade import Cascade, CodeSignal, Head
from edge_sdk.codes import CodeIndex
from edge_sdk.containers import SUFFIXES
from edge_sdk.errors import FormatError, OutputError, ShapeError, VersionError

SCHEMA_VERSION = 1
PROFILE_VERSION = 1
SUFFIX = ".edge"
MANIFEST = "manifest.json"
HEAD, CODES, CASCADES = "head.mrl", "codes.llc", "cascades.json"
CASES = "cases.npz"
ROLES = ("model", "head", "codes", "project", "cascades", "cases", "profile")


@dataclass(frozen=True)
class Entry:
    """One file of a bundle: what it is for, its size and its sha256."""

    role: str
    n_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        name: Of the bundle.
        model: Name of the universal model.
        weights_sha256: Digest of its weights, the same in every artifact.
        files: By name, without folders.
        default: Name of the cascade that `Session` runs unless told otherwise, or "".
        unknown_distance: Hamming distance from the nearest class code from which on an input
            counts as of no known class; None without codes.
        notes: Whatever the packer wants to say, such as the split that calibrated.
    """

    name: str
    model: str
    weights_sha256: str
    files: dict[str, Entry]
    default: str = ""
    unknown_distance: int | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """Return the sealed manifest as JSON text."""
        content = asdict(self)
        return json.dumps({**content, "seal": seal_json(content)}, indent=1,
                          ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str) -> Manifest:
        """Return the manifest that `text` holds.

        Raises:
            FormatError: Not a manifest, changed after it was sealed, or with paths in it.
            VersionError: Written by a newer version.
        """
        try:
            raw = json.loads(text)
            if raw["schema_version"] > SCHEMA_VERSION:
                raise VersionError(f"a manifest of version {SCHEMA_VERSION} or older",
                                   f"version {raw['schema_version']}", where=where,
                                   hint="pip install --upgrade edge-inference-sdk")
            seal = raw.pop("seal")
            if seal != seal_json(raw):
                raise ValueError("the seal does not match")
            files = {name: Entry(**entry) for name, entry in raw["files"].items()}
            manifest = cls(**{**raw, "files": files})
            manifest._check_form()
            return manifest
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise FormatError("a bundle's manifest", f"{type(error).__name__}: {error}",
                              where=where, hint="pack the bundle again") from error

    def _check_form(self) -> None:
        for name, entry in self.files.items():
            if Path(name).name != name or name in ("", ".", "..", MANIFEST) or "\\" in name:
                raise ValueError(f"{name!r} is no plain file name")
            if entry.role not in ROLES:
                raise ValueError(f"{name} has the role {entry.role!r}")
            if entry.role == "model" and Path(name).suffix not in SUFFIXES:
                raise ValueError(f"{name} is for no engine")
            if not isinstance(entry.n_bytes, int) or not isinstance(entry.sha256, str):
                raise TypeError(f"size or sha256 of {name}")
        if all(entry.role != "model" for entry in self.files.values()):
            raise ValueError("no model")
        if not isinstance(self.notes, dict) or not isinstance(self.default, str) or \
                not isinstance(self.unknown_distance, int | None):
            raise TypeError("notes, default or unknown_distance")


class Bundle:
    """An opened bundle; `open` or `pack` one.

    Attributes:
        path: The folder.
        manifest: What it says of itself.
        head: The Matryoshka head.
        codes: Class codes with their projection, or None.
        cascades: By name.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self.head = Head.open(self._only("head"))
        self.codes = self._codes()
        self.cascades = {name: self._cascade(name, stored)
                         for name, stored in (self._json("cascades") or {}).items()}
        if manifest.default and manifest.default not in self.cascades:
            raise FormatError(f"one of the cascades {', '.join(self.cascades) or 'none'}",
                              repr(manifest.default), where=f"{path}, the default",
                              hint="pack the bundle again")
        self.profile_content: dict[str, Any] | None = self._json("profile")
        if self.profile_content is not None:
            _check_profile(self.profile_content, str(self._find("profile")))

    def _codes(self) -> CodeSignal | None:
        path = self._find("codes")
        if path is None:
            return None
        layers = tuple(Head.open(layer) for layer in self._all("project"))
        try:
            return CodeSignal(CodeIndex.open(path), layers)
        except ShapeError as error:
            raise FormatError("layers that lead to the codes' bits", error.got,
                              where=str(self.path), hint="pack the bundle again") from error

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, verify: bool = True) -> Bundle:
        """Open a bundle.

        Args:
            path: The folder.
            verify: Read every file and compare sizes and digests. Without, only sizes.

        Raises:
            FormatError: No bundle, a file is missing, or its digest is another one.
            VersionError: Written by a newer version.
        """
        folder = Path(path)
        try:
            if (folder / MANIFEST).is_symlink():
                raise OSError(f"{MANIFEST} is a link")
            text = (folder / MANIFEST).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FormatError(f"a bundle, a folder with {MANIFEST}", str(error), where=str(folder),
                              hint="python -m edge_sdk.bundle pack makes one") from error
        manifest = Manifest.from_json(text, where=str(folder / MANIFEST))
        for name, entry in manifest.files.items():
            _check_file(folder / name, entry, verify)
        return cls(folder, manifest)

    @property
    def targets(self) -> tuple[str, ...]:
        """The engines that the bundle has a model for."""
        return tuple(SUFFIXES[Path(name).suffix] for name, entry in self.manifest.files.items()
                     if entry.role == "model")

    def model(self, target: str | None = None) -> Path:
        """Return the artifact for an engine, by default the first that was packed.

        Raises:
            FormatError: There is none for it.
        """
        wanted = target or self.targets[0]
        for name, entry in self.manifest.files.items():
            if entry.role == "model" and SUFFIXES[Path(name).suffix] == wanted:
                return self.path / name
        raise FormatError(f"a model for one of {', '.join(self.targets)}", wanted,
                          where=str(self.path), hint="pack the bundle with this target too")

    def cases(self) -> Cases | None:
        """Return the labelled inputs that were packed, None if there are none."""
        path = self._find("cases")
        return None if path is None else load_cases(path)

    def metadata(self, target: str | None = None) -> Metadata:
        """Return what the artifact for an engine says of itself."""
        return open_artifact(self.model(target)).metadata

    def replace_profile(self, profile: Mapping[str, Any]) -> None:
        """Store the profile of a device, in place of the one before.

        The manifest moves last and at once: whatever is interrupted, either profile is whole.

        Raises:
            FormatError: It is no profile.
            OutputError: The folder is not writable, or full.
        """
        _check_profile(profile, "`profile`")
        text = json.dumps(profile, indent=1) + "\n"
        name = f"profile-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
        old = [other for other, entry in self.manifest.files.items() if entry.role == "profile"]
        files = {other: entry for other, entry in self.manifest.files.items() if other not in old}
        with _writing(self.path), publish(self.path / name, self.path / MANIFEST) as written:
            written[0].write_text(text, encoding="utf-8")
            files[name] = _entry("profile", written[0])
            manifest = Manifest(**{**vars(self.manifest), "files": files})
            written[1].write_text(manifest.to_json(), encoding="utf-8")
        for other in old:
            if other != name:
                with suppress(OSError):
                    (self.path / other).unlink()
        self.manifest, self.profile_content = manifest, dict(profile)

    def _cascade(self, name: str, stored: Any) -> Cascade:
        where = f"{self.path}, cascade {name!r}"
        try:
            return Cascade.from_dict(stored, self.head, codes=self.codes, where=where)
        except ShapeError as error:
            raise FormatError("a cascade that fits the bundle's head", str(error.got), where=where,
                              hint="pack the bundle again") from error

    def _all(self, role: str) -> list[Path]:
        return [self.path / name for name, entry in self.manifest.files.items()
                if entry.role == role]

    def _find(self, role: str) -> Path | None:
        found = self._all(role)
        return found[0] if found else None

    def _only(self, role: str) -> Path:
        found = self._find(role)
        if found is None:
            raise FormatError(f"a file for {role}", "none", where=str(self.path),
                              hint="pack the bundle again")
        return found

    def _json(self, role: str) -> dict[str, Any] | None:
        path = self._find(role)
        if path is None:
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content, dict):
                raise TypeError(f"{type(content).__name__} instead of an object")
            return content
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise FormatError(f"JSON of a bundle's {role}", f"{type(error).__name__}: {error}",
                              where=str(path), hint="pack the bundle again") from error


def pack(
    out: str | os.PathLike[str], *, models: Sequence[str | os.PathLike[str]], head: Head,
    cascades: Mapping[str, Cascade] | None = None, default: str = "",
    codes: CodeSignal | None = None, unknown_distance: int | None = None,
    cases: Cases | None = None, profile: Mapping[str, Any] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Bundle:
    """Write a bundle, whole or not at all, and return it opened and verified.

    Args:
        out: The folder, ending in .edge; a bundle that stands there is replaced.
        models: Artifacts of one model with an output "embedding", one for each engine.
        head: Classifies the embedding.
        cascades: By name; `default` is the one that sessions run.
        codes, unknown_distance: Class codes for verdicts on unknown inputs.
        cases: A few labelled inputs for profiling on a device.
        profile: As `edge_sdk.profile` measures it.
        notes: For the manifest.

    Raises:
        OutputError: `out` exists and is no bundle, or its folder is not writable or full.
        ShapeError: The parts do not fit one another.
        FormatError: A model is damaged or no artifact.
    """
    final = Path(out)
    artifacts = [open_artifact(model) for model in models]
    chosen = dict(cascades or {})
    check_out(final)
    metadata = [artifact.metadata for artifact in artifacts]
    _check_models(metadata, head, codes)
    _check_cascades(metadata, head, chosen, default, codes)
    with _writing(final.parent), _folder(final) as folder:
        files: dict[str, Entry] = {}

        def add(name: str, role: str) -> None:
            files[name] = _entry(role, folder / name)

        for artifact in artifacts:
            name = f"model{artifact.path.suffix}"
            shutil.copyfile(artifact.path, folder / name)
            add(name, "model")
        head.save(folder / HEAD)
        add(HEAD, "head")
        if codes is not None:
            codes.codes.save(folder / CODES)
            add(CODES, "codes")
            for i, layer in enumerate(codes.project):
                layer.save(folder / f"bits-{i}.mrl")
                add(f"bits-{i}.mrl", "project")
        stored = {name: cascade.to_dict() for name, cascade in chosen.items()}
        (folder / CASCADES).write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
        add(CASCADES, "cascades")
        if cases is not None:
            save_cases(folder / CASES, cases)
            add(CASES, "cases")
        if profile is not None:
            (folder / "profile.json").write_text(json.dumps(profile, indent=1) + "\n",
                                                 encoding="utf-8")
            add("profile.json", "profile")
        first = artifacts[0].metadata
        manifest = Manifest(final.stem, first.model, first.weights_sha256, files, default,
                            unknown_distance if codes is not None else None, dict(notes or {}))
        (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        Bundle.open(folder)  # what can not be opened again is never moved into place
    return Bundle.open(final)


def check_out(out: str | os.PathLike[str]) -> None:
    """Check that a bundle may be packed to `out`; writes nothing.

    Raises:
        ShapeError: The name does not end in .edge.
        OutputError: Its folder does not exist, or what stands there is no bundle.
    """
    final = Path(out)
    if final.suffix != SUFFIX:
        raise ShapeError(f"a folder ending in {SUFFIX}", repr(final.name), where="`out`",
                         hint=f"{final.stem}{SUFFIX}")
    if not final.parent.is_dir():
        raise OutputError("a writable output folder with space", "no such folder",
                          where=str(final.parent), hint="make the folder, or choose another")
    if final.exists() and not (final / MANIFEST).is_file():
        raise OutputError("a new folder, or a bundle to replace", "something else",
                          where=str(final), hint="choose another name")


def _check_models(models: Sequence[Metadata], head: Head, codes: CodeSignal | None) -> None:
    if not models or len({model.target for model in models}) != len(models):
        raise ShapeError("one model for each of one or more engines",
                         str([model.target for model in models]), where="`models`",
                         hint="pass each target once")
    if len({model.weights_sha256 for model in models}) != 1:
        raise ShapeError("artifacts of one model", "different weights", where="`models`",
                         hint="export all of them from the same checkpoint")
    dim = max(head.dim, codes.project[0].dim if codes is not None else 0)
    for model in models:
        shapes = {spec.name: spec.shape for spec in model.outputs}
        if shapes.get("embedding", (0, 0))[-1] < dim:
            raise ShapeError(f"an output embedding of {dim} dims or more", str(shapes),
                             where=f"the {model.target} model",
                             hint="export it with its embedding, at the largest dim")
        if model.labels and len(model.labels) != head.n_classes:
            raise ShapeError(f"{len(model.labels)} classes", str(head.n_classes), where="`head`",
                             hint="it belongs to another model")


def _check_cascades(
    models: Sequence[Metadata], head: Head, cascades: Mapping[str, Cascade], default: str,
    codes: CodeSignal | None,
) -> None:
    for name, cascade in cascades.items():
        own = cascade.head
        if (own.dims, own.n_classes, own.tied) != (head.dims, head.n_classes, head.tied):
            raise ShapeError(f"a cascade for {head.n_classes} classes and dims {list(head.dims)}",
                             f"{own.n_classes} classes, dims {list(own.dims)}",
                             where=f"cascade {name!r}", hint="learn it with the bundle's head")
        if cascade.signal == "llc_margin" and codes is None:
            raise ShapeError("class codes for the signal llc_margin", "none",
                             where=f"cascade {name!r}", hint="pass codes=")
        for model in models:
            known = ", ".join(model.granularities)
            for granularity in cascade.granularities:
                if granularity not in model.granularities:
                    raise ShapeError(f"one of {known}", granularity, where=f"cascade {name!r}",
                                     hint="export that granularity too")
            if name in model.granularities:
                raise ShapeError(f"a name other than {known}", repr(name), where="`cascades`",
                                 hint="a plan is a granularity or a cascade: one name, one plan")
    if default and default not in cascades:
        raise ShapeError(f"one of the cascades {', '.join(cascades) or 'none'}", repr(default),
                         where="`default`", hint="name a cascade, or leave it out")


def _check_profile(profile: Mapping[str, Any], where: str) -> None:
    """Check that a profile has what is read of it everywhere; its plans are the governor's."""
    version = profile.get("schema_version", 1)
    if isinstance(version, int) and version > PROFILE_VERSION:
        raise VersionError(f"a profile of version {PROFILE_VERSION} or older",
                           f"version {version}", where=where,
                           hint="pip install --upgrade edge-inference-sdk")
    device, plans = profile.get("device"), profile.get("plans")
    if not (isinstance(version, int) and isinstance(profile.get("target"), str)
            and isinstance(device, dict) and {"key", "model", "cpu"} <= set(device)
            and isinstance(plans, list) and all(isinstance(plan, dict) for plan in plans)):
        raise FormatError("a profile with device, target and plans", f"{sorted(profile)}",
                          where=where, hint="python -m edge_sdk.profile measures it again")


def _entry(role: str, path: Path) -> Entry:
    return Entry(role, path.stat().st_size, _sha256(path))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _check_file(path: Path, entry: Entry, verify: bool) -> None:
    try:
        found = path.lstat()
        # Before a byte is read: a link leads out of the folder.
        if not stat.S_ISREG(found.st_mode):
            raise FormatError("a plain file", "a link or folder", where=str(path),
                              hint="pack the bundle again")
        same = found.st_size == entry.n_bytes and (not verify or _sha256(path) == entry.sha256)
        digest = entry.sha256 if same else _sha256(path)
    except (OSError, ValueError) as error:
        raise FormatError("a file that the manifest names",
                          getattr(error, "strerror", None) or str(error), where=str(path),
                          hint="pack the bundle again") from error
    if not same:
        raise FormatError(f"{entry.n_bytes} B, sha256 {entry.sha256[:16]}",
                          f"{found.st_size} B, sha256 {digest[:16]}", where=str(path),
                          hint="it was changed or damaged: pack the bundle again")


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError("a writable output folder with space", error.strerror or str(error),
                          where=str(folder), hint="make the folder, or choose another") from error


@contextmanager
def _folder(final: Path) -> Iterator[Path]:
    """Give a temporary folder that takes the place of `final` if the block succeeds."""
    temporary = Path(tempfile.mkdtemp(prefix=".edge_sdk-", dir=final.parent))
    try:
        made, old = temporary / final.name, temporary / "old"
        made.mkdir()
        yield made
        try:
            if final.exists():
                os.replace(final, old)
            os.replace(made, final)
        except BaseException:  # Ctrl-C too: the folder below is about to go
            if old.exists() and not final.exists():
                os.replace(old, final)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
