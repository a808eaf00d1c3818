"""Models with zeros to every engine: what is stored, what is said of it, and the same answers."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from conftest import TOOLCHAINS  # noqa: E402
from torch import nn  # noqa: E402

import edge_sdk  # noqa: E402
from edge_sdk import inspect, selftest  # noqa: E402
from edge_sdk.artifact import SUFFIX, Metadata, SparseInfo, SparseLayer, open_artifact  # noqa: E402
from edge_sdk.errors import (  # noqa: E402
    CheckpointError,
    DataError,
    FormatError,
    GranularityError,
    UnsupportedModel,
)
from edge_sdk.export import app, describe, export, export_all  # noqa: E402
from edge_sdk.granularity import parse, trained_names  # noqa: E402
from edge_sdk.nn.matformer import extract  # noqa: E402
from edge_sdk.nn.nesting import nest  # noqa: E402
from edge_sdk.nn.str_sparsity import sparsify  # noqa: E402
from edge_sdk.prove import Limits  # noqa: E402
from edge_sdk.source import SPARSE_ZOO, from_sample, trained  # noqa: E402
from edge_sdk.zoo.resnet import SmallResNet  # noqa: E402

TARGETS = tuple(SUFFIX)


def prune(model, share, *, leave=()):
    """Set the smallest weights of each Linear and Conv2d to zero."""
    with torch.no_grad():
        for name, layer in model.named_modules():
            if isinstance(layer, nn.Linear | nn.Conv2d) and name not in leave:
                least = torch.quantile(layer.weight.abs().flatten(), share)
                layer.weight[layer.weight.abs() <= least] = 0.0
    return model


@pytest.fixture(scope="module")
def network():
    """A residual network of 84,000 weights, 90 % of them zero, its norms not trivial."""
    torch.manual_seed(0)
    model = SmallResNet((16, 32, 64)).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0.0, 0.1)
            layer.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(layer.weight, 0.5, 2.0)
    return prune(model, 0.9, leave=("stem",))


@pytest.fixture(scope="module")
def images():
    return torch.from_numpy(np.random.default_rng(1).standard_normal((6, 3, 32, 32), np.float32))


@pytest.fixture(scope="module")
def files(network, images, tmp_path_factory):
    """Return a function of (target, sparse) that exports once."""
    folder, made = tmp_path_factory.mktemp("sparse"), {}

    def get(target, sparse):
        for module in TOOLCHAINS[target]:
            pytest.importorskip(module)
        if (target, sparse) not in made:
            made[target, sparse] = export(network, folder / f"{sparse}{SUFFIX[target]}",
                                          sample=images, target=target, sparse=sparse)
        return made[target, sparse]

    return get


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("sparse", ["float32", "int8"])
def test_a_sparse_file_is_small_and_answers_like_the_dense_one(
        files, network, images, target, sparse):
    done, dense = files(target, sparse), files(target, "none")
    n_bytes = 4 * sum(parameter.numel() for parameter in network.parameters())
    stored = sum(layer.n_bytes for layer in done.metadata.sparse.layers)
    assert stored <= {"float32": 0.16, "int8": 0.1}[sparse] * n_bytes
    # The graph and the golden inputs are in both.
    assert dense.n_bytes - done.n_bytes >= {"float32": 0.80, "int8": 0.84}[sparse] * n_bytes
    engine = edge_sdk.load(done.path)
    got = engine.run({"input": images[:1].numpy()})["logits"]
    with torch.no_grad():
        want = network(images[:1]).numpy()
    limit = {"float32": 1e-5, "int8": 0.05}[sparse] * max(1.0, float(np.abs(want).max()))
    np.testing.assert_allclose(got, want, atol=limit, rtol=0)
    selftest.selftest(done.path)


@pytest.mark.parametrize("target", TARGETS)
def test_a_file_says_of_each_layer_how_it_is_stored_and_why(files, network, target):
    done = files(target, "float32")
    sparse = done.metadata.sparse
    layers = {layer.name: layer for layer in sparse.layers}
    assert sparse.values == "float32"
    assert ("same as dense" in sparse.speed) == (target != "executorch")
    convolutions = [name for name, layer in network.named_modules()
                    if isinstance(layer, nn.Conv2d) and name.startswith("blocks")]
    assert set(convolutions) <= set(layers)
    assert layers["stem"].form == "dense"
    for name, layer in layers.items():
        weight = network.get_submodule(name).weight
        assert layer.zeros == int((weight == 0).sum())
        assert layer.entries == weight.numel()
        assert layer.dense_bytes == 4 * weight.numel()
        assert (layer.n_bytes < layer.dense_bytes) == (layer.form != "dense")
        assert layer.why
    assert Metadata.from_json(done.metadata.to_json(), where="here").sparse == sparse
    assert done.metadata.schema_version == 3


def test_the_command_that_inspects_a_file_shows_its_sparse_layers(files):
    done = files("onnx", "float32")
    text = inspect.describe(open_artifact(done.path))
    assert "sparse  float32 values" in text
    assert "layer   blocks.2.conv1  gaps float32  zeros 90.0%" in text
    assert "layer   blocks.2.conv1  gaps float32  zeros 90.0%" in describe(done)


def test_a_dense_export_says_nothing_of_sparse_layers_and_older_versions_read_it(files):
    done = files("onnx", "none")
    assert done.metadata.sparse is None
    assert done.metadata.schema_version == 1
    assert "sparse" not in json.loads(done.metadata.to_json())


def test_sparse_layers_of_another_structure_are_no_metadata_of_ours():
    metadata = Metadata("m", "matformer", "onnx", "none", False, {"XL": ()}, (), {}, (), (),
                        sparse=SparseInfo("float32", "same", (SparseLayer("a", "b", 1, 2, 3, 4),)))
    raw = json.loads(metadata.to_json())
    assert Metadata.from_json(json.dumps(raw), where="here") == metadata
    del raw["sparse"]["layers"][0]["zeros"]
    with pytest.raises(FormatError, match="zeros"):
        Metadata.from_json(json.dumps(raw), where="here")


@pytest.mark.parametrize(("options", "message"), [
    ({"sparse": "int4"}, "sparse none, float32 or int8"),
    ({"sparse": "float32", "quantize": "int8"}, "quantize none beside sparse layers"),
    ({"sparse": "float32", "elastic": "XL"}, "one granularity in a file with sparse layers"),
])
def test_options_that_contradict_sparse_layers_are_refused(
        network, images, tmp_path, options, message):
    with pytest.raises(UnsupportedModel, match=message):
        export(network, tmp_path / "x.onnx", sample=images, target="onnx", **options)
    assert list(tmp_path.iterdir()) == []


def test_int8_values_need_real_inputs_to_be_proved_on(network, images, tmp_path):
    source = from_sample("noise", network, [images.numpy()])
    source.synthetic = True
    with pytest.raises(DataError, match="real inputs"):
        export_all(source, {"onnx": tmp_path / "x.onnx"}, granularity="XL", elastic=None,
                   quantize="none", sparse="int8", limits=Limits(), report=lambda text: None)


@pytest.mark.parametrize("target", TARGETS)
def test_layers_of_only_zeros_and_of_none_are_exported_as_they_are(images, tmp_path, target):
    for module in TOOLCHAINS[target]:
        pytest.importorskip(module)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3),
                          nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    with torch.no_grad():
        model[2].weight.zero_()
    done = export(model, tmp_path / f"x{SUFFIX[target]}", sample=images, target=target,
                  sparse="float32")
    forms = {layer.zeros / layer.entries: layer.form for layer in done.metadata.sparse.layers}
    assert forms[0.0] == "dense"
    assert forms[1.0] != "dense"


def test_weights_that_are_not_finite_are_refused_by_name(images, tmp_path):
    model = prune(SmallResNet((16, 32, 64)), 0.9).eval()
    with torch.no_grad():
        model.blocks[1].conv2.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(CheckpointError, match=r"blocks\.1\.conv2\.weight"):
        export(model, tmp_path / "x.onnx", sample=images, target="onnx", sparse="float32")


# --- nested and plain models ---------------------------------------------------------------


def test_a_sparsified_nested_model_stays_nested_in_its_files(tmp_path):
    for module in TOOLCHAINS["onnx"]:
        pytest.importorskip(module)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16))
    nested = nest(nn.Sequential(model, nn.Linear(16, 4)))
    handle = sparsify(nested, s_init=-3.0, where=lambda name, layer: "0." in name)
    x = torch.randn(8, 16)
    handle.extract()
    widths = trained(from_sample("m", nested, [x.numpy()]))["S"]
    small = extract(nested, widths)
    zeros = sum(int((p == 0).sum()) for p in small.parameters() if p.ndim == 2)
    assert zeros > 0
    done = export(nested, tmp_path / "s.onnx", sample=x, target="onnx", granularity="S",
                  sparse="float32")
    with torch.no_grad():
        want = small(x[:1]).numpy()
    got = edge_sdk.load(done.path).run({"input": x[:1].numpy()})["logits"]
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert sum(layer.zeros for layer in done.metadata.sparse.layers) == zeros


def test_a_plain_model_has_one_granularity_of_no_widths(files):
    metadata = files("onnx", "none").metadata
    assert metadata.trained == {"XL": ()}
    assert metadata.granularities["XL"].widths == ()
    assert trained_names([]) == {"XL": ()}
    assert parse("xl", {"XL": ()}).name == "XL"
    for text in ("S", "XL*2", "32", ""):
        with pytest.raises(GranularityError, match="XL, the whole model"):
            parse(text, {"XL": ()})


def test_a_nested_model_is_not_taken_for_a_plain_one():
    nested = nest(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)))
    with pytest.raises(GranularityError, match="widths"):
        extract(nested, ())


def test_an_engine_without_our_operators_says_what_to_install(files, monkeypatch):
    done = files("executorch", "float32")
    from edge_sdk.engines import operators
    from edge_sdk.errors import MissingDependency

    monkeypatch.setattr(operators, "_registered", set)
    monkeypatch.setattr(operators, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="operators for sparse weights") as caught:
        operators.load_for(done.path)
    assert "pip install" in str(caught.value)


# --- the command ---------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "said"), [
    (["--sparse", "sometimes"], "expected sparse none, float32 or int8"),
    (["--granularity", "S"], "XL, the whole model"),
    (["--fit-macs", "1000"], "nested model"),
    (["--target", "c"], "a fastgrnn model, or an MLP"),
    (["--dim", "8"], "Matryoshka"),
])
def test_the_command_refuses_what_a_sparse_model_has_not(
        monkeypatch, tmp_path, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made_sparse.py").write_text(
        "import torch\nfrom edge_sdk.zoo.resnet import SmallResNet\n"
        "def build():\n    return SmallResNet((16, 16)), torch.zeros(2, 3, 32, 32)\n")
    monkeypatch.setattr(sys, "argv", ["export", "--model", "made_sparse:build", "--quiet",
                                      *arguments])
    with pytest.raises(SystemExit) as caught:
        app()
    sys.modules.pop("made_sparse", None)
    assert caught.value.code in (1, 2)
    assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_an_unknown_model_is_told_the_name_of_the_sparse_one(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["export", "--model", "str-cifar", "--quiet"])
    with pytest.raises(SystemExit):
        app()
    assert SPARSE_ZOO in capsys.readouterr().err


def test_an_mlp_is_exported_as_c_by_the_same_call(tmp_path):
    torch.manual_seed(0)
    model = prune(nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 3)), 0.8).eval()
    done = export(model, tmp_path / "small.c", sample=torch.rand(20, 12), target="c")
    assert done.header.is_file()
    assert done.n_bytes < done.dense_bytes
