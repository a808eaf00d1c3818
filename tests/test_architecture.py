"""The arrows of the design: who may import whom, read from the source."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOMES = {"edge_sdk": "edge_sdk", "edge_sdk.exporters": "exporters"}

LIBRARY = {"errors", "granularity", "containers", "artifact"}
TRAINING = {"nn", "checkpoint", "data", "zoo"}
FLOW = {*LIBRARY, *TRAINING, "audio", "fastgrnn", "engines", "exporters", "console", "source",
        "prove", "selftest"}

# Room: the rooms it may import from, besides itself.
ARROWS = {
    # What a device loads: no torch, no exporter, no training.
    "errors": set(),
    "granularity": {"errors"},
    "containers": {"errors"},
    "artifact": {"errors", "granularity", "containers"},
    "engines": LIBRARY,
    "console": {"errors"},
    "inspect": {*LIBRARY, "console"},
    "selftest": {*LIBRARY, "engines", "console"},
    "bench": {*LIBRARY, "bundle", "cascade", "compiler", "console", "device", "energy",
              "engines", "fastgrnn"},
    "freeze": {*LIBRARY, "engines", "console"},
    "reference": set(),
    "compiler": {"errors"},
    # Codes of classes and items: the core's Python face, as light as an engine.
    "corefile": {"errors", "artifact"},
    "codes": {*LIBRARY, "corefile", "console"},
    "cascade": {*LIBRARY, "corefile", "codes"},
    "device": {"errors", "console"},
    "energy": {"errors", "device"},
    # All that a session needs, in one folder; packing a reference model runs the whole flow.
    "bundle": {*FLOW, "cascade", "codes", "export", "profile"},
    "profile": {*LIBRARY, "bundle", "console", "device", "energy", "engines"},
    "session": {*LIBRARY, "bundle", "cascade", "device", "governor", "profile"},
    # How much of the model to run.
    "governor": {"errors", "console"},
    "vectors": {"errors", "corefile"},
    "sparse": {"errors"},
    # From samples to words.
    "audio": {"errors", "console"},
    "fastgrnn": {"errors", "artifact", "audio", "cascade", "corefile"},
    "listen": {"errors", "console", "audio", "fastgrnn", "zoo"},
    # Other projects' files.
    "importers": {"errors", "artifact", "checkpoint", "codes", "console", "fastgrnn", "nn"},
    # Papers: torch and nothing of ours but errors.
    "nn": {"errors"},
    # Weights, data and reference models: no exporter, no engine.
    "checkpoint": {"errors", "artifact"},
    "data": {"errors", "audio"},
    "zoo": {*LIBRARY, *TRAINING, "audio", "codes", "console", "fastgrnn", "train"},
    "train": {*LIBRARY, *TRAINING, "console"},
    # A lowering knows models and files, never engines, zoo or commands.
    "exporters": {*LIBRARY, "compiler", "fastgrnn", "nn", "reference", "sparse"},
    # The flow that ties all of them together.
    "source": {*LIBRARY, *TRAINING, "audio", "fastgrnn"},
    "prove": {*LIBRARY, "nn", "engines", "exporters", "source"},
    "export": {*FLOW, "fit", "inspect", "sequence"},
    "sequence": {*FLOW, "export", "inspect"},
    "fit": {*FLOW, "export"},
    # The package itself is a lazy list of names.
    "": {"errors"},
}

# Rooms that may import torch when they are imported; everywhere else, inside functions.
TORCH_ROOMS = {"nn", "exporters", "checkpoint", "zoo"}
TORCH_MODULES = {"edge_sdk.importers.imagenet"}  # of other rooms
TORCH_FREE_MODULES = {
    "edge_sdk.zoo", "edge_sdk.zoo.cards", "edge_sdk.zoo.matvit_codes",
    "edge_sdk.zoo.matvit_codes_card", "edge_sdk.zoo.matvit_codes_training",
    "edge_sdk.exporters.toolchain",
}

# What every installation has (see `dependencies` in pyproject.toml).
ALWAYS_THERE = {"bitarray", "numpy", "psutil", "rich", "safetensors", "typer"}
TOOLCHAINS = {
    "PIL", "ai_edge_litert", "ai_edge_quantizer", "executorch", "flatbuffers", "litert_torch",
    "matplotlib", "onnx", "onnxruntime", "onnxscript", "sklearn", "sounddevice", "soxr",
    "tflite_runtime", "torchao",
}


@dataclass(frozen=True)
class Import:
    """One import statement's module; `when` is "loading", "called" or "checking types"."""

    name: str
    when: str
    line: int

    @property
    def library(self) -> str:
        return self.name.partition(".")[0]


def modules() -> dict[str, Path]:
    found = {}
    for package, folder in HOMES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def room(module: str) -> str:
    """Return edge_sdk.<room>..., "" for the package itself and names in it."""
    parts = module.split(".")
    if len(parts) == 1 or ".".join(parts[:2]) not in MODULES:
        return ""
    return parts[1]


def imports(source: str, package: str) -> list[Import]:
    """Return every import in `source`, relative ones resolved against `package`."""
    found: list[Import] = []

    def visit(node: ast.AST, when: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = when
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                inner = "called" if when == "loading" else when
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                inner = "checking types"
            if isinstance(child, ast.Import):
                found.extend(Import(alias.name, when, child.lineno) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    parents = package.split(".")[: len(package.split(".")) - child.level + 1]
                    base = ".".join([*parents, *filter(None, [child.module])])
                found.extend(Import(f"{base}.{alias.name}", when, child.lineno)
                             for alias in child.names)
            visit(child, inner)

    visit(ast.parse(source), "loading")
    return found


def imports_of(module: str) -> list[Import]:
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return imports(path.read_text(encoding="utf-8"), package)


def at(module: str, line: int) -> str:
    return f"{MODULES[module].relative_to(ROOT)}:{line}"


def wrong_arrows(module: str, found: list[Import]) -> list[str]:
    allowed = {*ARROWS[room(module)], room(module)}
    return [f"{at(module, i.line)}: {room(module) or 'edge_sdk'} must not import {i.name}"
            for i in found if i.library == "edge_sdk" and room(i.name)
            and room(i.name) not in allowed
            # Names of the package for type checkers load nothing.
            and not (room(module) == "" and i.when == "checking types")]


def eager_toolchains(module: str, found: list[Import]) -> list[str]:
    torch_too = (room(module) not in TORCH_ROOMS and module not in TORCH_MODULES
                 ) or module in TORCH_FREE_MODULES
    heavy = TOOLCHAINS | ({"torch"} if torch_too else set())
    return [f"{at(module, i.line)}: import {i.name} inside the function that needs it"
            for i in found if i.when == "loading" and i.library in heavy]


def test_every_room_has_a_rule_and_every_rule_a_room():
    assert {room(module) for module in MODULES} == set(ARROWS)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_along_the_arrows(module):
    assert wrong_arrows(module, imports_of(module)) == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_toolchains_only_inside_functions(module):
    assert eager_toolchains(module, imports_of(module)) == []


@pytest.mark.parametrize("module", MODULES)
def test_nothing_but_known_libraries_is_imported(module):
    import sys

    known = {"edge_sdk", "torch", *ALWAYS_THERE, *TOOLCHAINS, *sys.stdlib_module_names}
    assert [i.name for i in imports_of(module) if i.library not in known] == []


def test_what_a_device_loads_never_reaches_torch_a_toolchain_or_an_exporter():
    reached, todo = set(), ["edge_sdk", "edge_sdk.engines", "edge_sdk.inspect", "edge_sdk.selftest",
                            "edge_sdk.bench.__main__", "edge_sdk.bench.child",
                            "edge_sdk.freeze", "edge_sdk.codes",
                            "edge_sdk.codes.__main__", "edge_sdk.governor",
                            "edge_sdk.governor.__main__", "edge_sdk.vectors",
                            "edge_sdk.cascade", "edge_sdk.bundle", "edge_sdk.device",
                            "edge_sdk.session", "edge_sdk.bundle.runner", "edge_sdk.audio"]
    while todo:
        module = todo.pop()
        reached.add(module)
        for found in imports_of(module):
            if found.when == "loading":
                assert found.library not in {*TOOLCHAINS, "torch"}, at(module, found.line)
                near = [m for m in (found.name, found.name.rpartition(".")[0]) if m in MODULES]
                todo += [m for m in near if m not in reached]
    assert {room(module) for module in reached}.isdisjoint({"exporters", "nn", "zoo", "export"})
    assert "edge_sdk.containers" in reached  # or the walk went nowhere


@pytest.mark.parametrize(("module", "source"), [
    ("edge_sdk.nn.matformer", "from edge_sdk.artifact import publish"),
    ("edge_sdk.nn.matformer", "from edge_sdk import exporters"),
    ("edge_sdk.nn.matformer", "def f():\n    import edge_sdk.exporters.to_onnx"),
    ("edge_sdk.engines.onnx", "def f():\n    from edge_sdk.exporters import to_onnx"),
    ("edge_sdk.engines.onnx", "from edge_sdk.nn import matformer"),
    ("edge_sdk.engines.onnx", "from ..export import export"),
    ("edge_sdk.exporters.to_onnx", "from edge_sdk.engines import load"),
    ("edge_sdk.codes.classes", "from edge_sdk.nn import llc"),
    ("edge_sdk.codes.classes", "from edge_sdk import reference"),
    ("edge_sdk.nn.llc", "from edge_sdk.codes import as_words"),
    ("edge_sdk.exporters.to_onnx", "from edge_sdk.zoo.recipes import RECIPES"),
])
def test_an_import_against_an_arrow_is_found(module, source):
    package = module.rpartition(".")[0]
    assert len(wrong_arrows(module, imports(source, package))) == 1


@pytest.mark.parametrize(("module", "source", "count"), [
    ("edge_sdk.export", "import torch", 1),
    ("edge_sdk.export", "if True:\n    import torch.nn", 1),
    ("edge_sdk.export", "class A:\n    import torch", 1),
    ("edge_sdk.export", "def f():\n    import torch", 0),
    ("edge_sdk.export", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch", 0),
    ("edge_sdk.codes.words", "import torch", 1),
    ("edge_sdk.nn.matformer", "import torch", 0),
    ("edge_sdk.nn.matformer", "import onnx", 1),
    ("edge_sdk.exporters.to_onnx", "import torch\nimport onnx", 1),
    ("edge_sdk.exporters.toolchain", "import torch", 1),
])
def test_a_toolchain_loaded_with_the_module_is_found(module, source, count):
    package = module.rpartition(".")[0]
    assert len(eager_toolchains(module, imports(source, package))) == count
