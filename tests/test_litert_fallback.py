"""Where ai-edge-litert is absent, the old tflite-runtime runs fp32 files and refuses int8 ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("litert_torch")
pytest.importorskip("ai_edge_litert")

from torch import nn  # noqa: E402

from edge_sdk.export import export  # noqa: E402
from edge_sdk.nn.matformer import MatViT, trained_widths, use_widths  # noqa: E402
from edge_sdk.prove import Limits  # noqa: E402

pytestmark = [
    pytest.mark.skipif(sys.version_info >= (3, 12),
                       reason="tflite-runtime has wheels for Python 3.11 and older"),
    pytest.mark.skipif(sys.platform != "linux", reason="tflite-runtime has wheels for Linux alone"),
]

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-tflite"
NAMES = ("S", "M", "L", "XL")
N_CASES = 3

# Runs in the old environment: what a device without ai-edge-litert would do.
SCRIPT = """
import importlib.util, json, sys
import numpy as np
from edge_sdk.engines import load
from edge_sdk.errors import EdgeError

assert importlib.util.find_spec("ai_edge_litert") is None
cases = np.load(sys.argv[2])
try:
    engine = load(sys.argv[1])
except EdgeError as error:
    answer = {"error": type(error).__name__, "hint": error.hint}
else:
    answer = {name: [engine.run({"input": case[None]}, name)["logits"][0].tolist()
                     for case in cases] for name in engine.granularities}
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of an environment with tflite-runtime and without ai-edge-litert."""
    python = ENVIRONMENT / "bin" / "python"
    if python.exists() and _has_tflite(python):
        return python
    venv.create(ENVIRONMENT, clear=True, with_pip=True)
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "tflite-runtime==2.14.0", "numpy<2"],
        capture_output=True, text=True, check=False)
    if done.returncode != 0 or not _has_tflite(python):
        pytest.skip(f"tflite-runtime could not be installed: {done.stderr.strip()[-300:]}")
    return python


def _has_tflite(python: Path) -> bool:
    return subprocess.run([python, "-c", "import tflite_runtime.interpreter"],
                          capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def model() -> MatViT:
    torch.manual_seed(0)
    return MatViT(image_size=8, channels=1, patch=2, d_model=16, n_layers=2, n_heads=2, d_ff=64,
                  head=nn.Linear(16, 10)).eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(N_CASES, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def answer(python: Path, path: Path, images: torch.Tensor) -> dict:
    cases = path.with_suffix(".npy")
    np.save(cases, images.numpy())
    done = subprocess.run([python, "-c", SCRIPT, path, cases], capture_output=True, text=True,
                          check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def eager(model: MatViT, name: str, images: torch.Tensor) -> np.ndarray:
    widths = [layer[NAMES.index(name)] for layer in trained_widths(model)]
    with torch.no_grad(), use_widths(model, widths):
        return model(images).numpy()


@pytest.mark.parametrize(("granularity", "elastic"), [("M", None), ("XL", "S,M,L,XL")])
def test_an_fp32_file_runs_on_tflite_runtime_as_in_eager_mode(
    python, model, images, tmp_path, granularity, elastic,
):
    path = tmp_path / "model.tflite"
    export(model, path, sample=images, target="litert", granularity=granularity, elastic=elastic)
    answers = answer(python, path, images)
    assert tuple(answers) == (NAMES if elastic else (granularity,))
    for name, logits in answers.items():
        np.testing.assert_allclose(logits, eager(model, name, images), rtol=0, atol=1e-4)


def test_an_int8_file_is_refused_on_tflite_runtime_which_would_run_it_wrong(
    python, model, images, tmp_path,
):
    path = tmp_path / "model.tflite"
    # The weights are random, so agreement says nothing here.
    export(model, path, sample=images, target="litert", granularity="S", quantize="int8",
           limits=Limits(argmax_agreement=0.0))
    refusal = answer(python, path, images)
    assert refusal["error"] == "UnsupportedModel"
    assert "edge-inference-sdk[litert]" in refusal["hint"]
