"""Exported files, each lowered once for all tests of a session."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import conformance
import pytest

ROOT = Path(__file__).resolve().parent.parent

SINGLE = "M"
ELASTIC = "S,XL,S+XL"
TOOLCHAINS = {"executorch": ("executorch", "torchao"), "litert": ("litert_torch",),
              "onnx": ("onnx", "onnxscript", "onnxruntime")}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Two cores and many engines: one thread each."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """Return artifact(target, kind, quantize): the `Export` of the tiny model, written once.

    `kind` is "single", which holds M, or "elastic", which holds S, S+XL and XL.
    """
    folder = tmp_path_factory.mktemp("artifacts")
    made: dict = {}

    def get(target: str, kind: str = "single", quantize: str = "none"):
        if conformance.folder() is not None:
            return conformance.exported(target, kind, quantize)
        for module in ("torch", *TOOLCHAINS[target]):
            pytest.importorskip(module)
        key = target, kind, quantize
        if key not in made:
            import tiny

            import edge_sdk
            from edge_sdk.artifact import SUFFIX

            out = folder / f"{kind}-{quantize}{SUFFIX[target]}"
            made[key] = edge_sdk.export(
                tiny.source(), out, target=target, quantize=quantize, granularity=SINGLE,
                elastic=ELASTIC if kind == "elastic" else None)
        return made[key]

    return get


@pytest.fixture(scope="session")
def sequence_file(tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """Return sequence_file(name): the `Export` of the tiny FastGRNN, lowered once a session.

    `name` is a target, or onnx-step for the second file that ONNX has.
    """
    folder = tmp_path_factory.mktemp("sequences")
    made: dict = {}

    def get(name: str):
        target, _, step = name.partition("-")
        for module in ("torch", *TOOLCHAINS[target]):
            pytest.importorskip(module)
        if target not in made:
            import tiny_sequence

            from edge_sdk.artifact import SUFFIX
            from edge_sdk.sequence.export import export_sequences

            made[target] = export_sequences(tiny_sequence.source(),
                                            {target: folder / f"m{SUFFIX[target]}"})
        return made[target][1 if step else 0]

    return get


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with real data sets: $EDGE_SDK_DATA, or ../shared/data beside the checkout."""
    named = os.environ.get("EDGE_SDK_DATA")
    root = Path(named) if named else ROOT.parent / "shared" / "data"
    if not root.is_dir():
        pytest.skip(f"no data sets: $EDGE_SDK_DATA is not set and {root} does not exist")
    return root


@pytest.fixture
def run_command(capfd: pytest.CaptureFixture) -> Callable:
    """Return run(app, *arguments): a command's (exit status, stdout, stderr), in this process.

    What native code writes to the descriptors is caught too.
    """

    def run(app, *arguments) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            app([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return ended.value.code or 0, out, err

    return run
