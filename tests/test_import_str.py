"""The importer of RAIVNLab-style STR checkpoints: nothing dropped, zeros as they are meant."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from str_budgets import kept_by, layers_of, table

from edge_sdk.errors import CheckpointError, OutputError, UnsupportedModel
from edge_sdk.importers.str import app, load_str, write

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

from edge_sdk.checkpoint import load_weights, read_metadata  # noqa: E402
from edge_sdk.importers.imagenet import (  # noqa: E402
    MOBILENET_V1,
    RESNET50,
    Architecture,
    build,
    convolutions,
    model_cost,
)
from edge_sdk.nn.budgets import check_budget, read_budget  # noqa: E402

RESNET = Architecture("resnet", 4, (1, 2, 1, 1), classes=5)
MOBILENET = Architecture("mobilenetv1", 4, classes=5)
SMALL = pytest.mark.parametrize("architecture", [RESNET, MOBILENET], ids=lambda a: a.kind)
STR = ".sparseThreshold"


def checkpoint(architecture: Architecture, *, s: float | None = None, seed: int = 0) -> dict:
    """A bare state_dict as STR would leave it: dense weights, norms that did learn, thresholds."""
    generator = torch.Generator().manual_seed(seed)
    model = build(architecture, device="meta")
    tensors = {}
    for name, like in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            tensors[name] = torch.rand(like.shape, generator=generator) + 0.5
        else:
            tensors[name] = torch.randn(like.shape, generator=generator) * 0.3
    for layer in convolutions(model):
        learnt = torch.randn(1, 1, generator=generator) - 2
        tensors[layer + STR] = learnt if s is None else torch.full((1, 1), s)
    return tensors


# ---- the networks, by hand -----------------------------------------------------------------

def convolved(t: dict, name: str, x, **options):
    """STR's layer as its equation has it."""
    w, s = t[f"{name}.weight"], t[name + STR]
    return F.conv2d(x, torch.sign(w) * torch.relu(w.abs() - torch.sigmoid(s)), **options)


def normed(t: dict, name: str, x):
    return F.batch_norm(x, t[f"{name}.running_mean"], t[f"{name}.running_var"],
                        t[f"{name}.weight"], t[f"{name}.bias"], eps=1e-5)


def resnet_by_hand(t: dict, blocks, x):
    x = F.max_pool2d(torch.relu(normed(t, "bn1", convolved(t, "conv1", x, stride=2, padding=3))),
                     3, 2, 1)
    for stage, n_blocks in enumerate(blocks, 1):
        for i in range(n_blocks):
            at, stride = f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1
            y = torch.relu(normed(t, f"{at}.bn1", convolved(t, f"{at}.conv1", x)))
            y = torch.relu(normed(t, f"{at}.bn2", convolved(t, f"{at}.conv2", y, stride=stride,
                                                            padding=1)))
            y = normed(t, f"{at}.bn3", convolved(t, f"{at}.conv3", y))
            if i == 0:
                x = normed(t, f"{at}.downsample.1",
                           convolved(t, f"{at}.downsample.0", x, stride=stride))
            x = torch.relu(x + y)
    return convolved(t, "fc", F.adaptive_avg_pool2d(x, 1))[:, :, 0, 0]


def mobilenet_by_hand(t: dict, x):
    def block(at: str, x, **options):
        at, i = at.rsplit(".", 1)
        x = convolved(t, f"{at}.{i}", x, **options)
        return torch.relu(normed(t, f"{at}.{int(i) + 1}", x))

    x = block("model.0.0", x, stride=2, padding=1)
    for i, stride in enumerate([1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1], 1):
        x = block(f"model.{i}.0", x, stride=stride, padding=1, groups=x.shape[1])
        x = block(f"model.{i}.3", x)
    return convolved(t, "fc", F.adaptive_avg_pool2d(x, 1))[:, :, 0, 0]


@SMALL
@pytest.mark.parametrize("size", [(64, 64), (45, 70)])
def test_a_network_computes_what_its_equations_say(architecture, size):
    tensors = checkpoint(architecture)
    found = load_str(tensors, architecture=architecture)
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    wanted = (resnet_by_hand(tensors, architecture.blocks, x) if architecture.kind == "resnet"
              else mobilenet_by_hand(tensors, x))
    with torch.no_grad():
        got = found.module(x)
    assert got.shape == (2, 5)
    assert 0.05 < found.cost.total.sparsity < 0.95  # or thresholds were not tried
    assert wanted.std() > 1e-3
    torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-6)


@SMALL
def test_what_comes_out_is_plain_in_eval_mode_and_its_zeros_are_plus_zero(architecture):
    tensors = checkpoint(architecture)
    module = load_str(tensors, architecture=architecture).module
    assert not module.training
    assert module.state_dict().keys() == {name for name in tensors if not name.endswith(STR)}
    assert not any(tensor.is_meta for tensor in module.state_dict().values())
    for name, layer in convolutions(module).items():
        assert type(layer) is torch.nn.Conv2d
        zeros = layer.weight[layer.weight == 0]
        assert not torch.signbit(zeros).any(), name


def test_the_dict_given_is_neither_changed_nor_shared():
    tensors = checkpoint(RESNET)
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    module = load_str(tensors, architecture=RESNET).module
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.add_(1)
    assert all(torch.equal(tensors[name], before[name]) for name in before)


@pytest.mark.parametrize("s", [-80.0, -16.0, -8.0, -2.0, 0.0, 3.0])
def test_every_weight_comes_out_as_the_equation_in_float64_says(s):
    tensors = checkpoint(RESNET, s=s)
    weight = tensors["fc.weight"]
    at_threshold = torch.sigmoid(torch.tensor(s))
    weight.view(-1)[:5] = torch.tensor([0.0, -0.0, at_threshold, -at_threshold, 1e-30])
    got = load_str(tensors, architecture=RESNET).module.fc.weight.detach().double().numpy()
    w = weight.double().numpy()
    wanted = np.sign(w) * np.maximum(np.abs(w) - 1 / (1 + np.exp(-s)), 0)
    assert np.abs(got - wanted).max() <= 1e-7
    assert (got[np.abs(w) <= at_threshold.item()] == 0).all()
    assert not np.signbit(got[got == 0]).any()


@SMALL
@pytest.mark.parametrize("s", [-3200.0, -12800.0])
def test_a_threshold_as_training_starts_with_leaves_every_bit_of_a_layer(architecture, s):
    tensors = checkpoint(architecture, s=s)
    found = load_str(tensors, architecture=architecture)
    assert found.cost.total.kept == found.cost.total.parameters
    assert found.cost.total.sparsity == 0
    assert set(found.thresholds.values()) == {0.0}
    for name, layer in convolutions(found.module).items():
        assert torch.equal(layer.weight, tensors[f"{name}.weight"])


def test_a_layer_may_end_without_any_weight_and_says_so():
    tensors = checkpoint(RESNET)
    tensors["layer1.0.conv2" + STR].fill_(40.0)
    tensors["layer1.0.conv2.weight"].clamp_(-1, 1)
    found = load_str(tensors, architecture=RESNET)
    row, = (row for row in found.cost.layers if row.name == "layer1.0.conv2")
    assert (row.kept, row.sparsity, row.macs_kept) == (0, 1.0, 0)
    assert found.module(torch.zeros(1, 3, 32, 32)).isfinite().all()


# ---- files -------------------------------------------------------------------------------

def as_trained(tensors: dict) -> dict:
    """What STR's training loop saves."""
    momentum = {i: {"momentum_buffer": torch.zeros(3)} for i in range(2)}
    return {"epoch": 100, "arch": "ResNet50", "best_acc1": 74.31, "curr_acc1": 74.2,
            "optimizer": {"state": momentum, "param_groups": [{"lr": 0.1, "params": [0, 1]}]},
            "state_dict": {f"module.{name}": tensor for name, tensor in tensors.items()}}


BESIDE = ("epoch", "arch", "best_acc1", "curr_acc1", "optimizer")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_file_as_published_loads_and_says_what_it_left(tmp_path, zipped):
    path = tmp_path / "model_best.pth"
    tensors = checkpoint(RESNET)
    torch.save(as_trained(tensors), path, _use_new_zipfile_serialization=zipped)
    found, bare = load_str(path, architecture=RESNET), load_str(tensors, architecture=RESNET)
    assert found.beside == BESIDE
    assert found.cost == bare.cost
    assert same(found.module, bare.module)


def same(a, b) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.mark.parametrize("wrap", [
    lambda t: t,
    lambda t: {f"module.{name}": tensor for name, tensor in t.items()},
    lambda t: {"state_dict": t, "epoch": 3},
    as_trained,
])
def test_a_dict_is_read_as_the_file_of_it_would_be(tmp_path, wrap):
    tensors = checkpoint(MOBILENET)
    path = tmp_path / "m.pt"
    torch.save(wrap(tensors), path)
    from_dict, from_file = (load_str(source, architecture=MOBILENET)
                            for source in (wrap(tensors), path))
    assert same(from_dict.module, from_file.module)
    assert from_dict.beside == from_file.beside
    assert from_dict.thresholds == from_file.thresholds


def test_halves_and_doubles_fill_a_float32_network():
    tensors = checkpoint(RESNET)
    for dtype in (torch.float16, torch.float64):
        other = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor
                 for name, tensor in tensors.items()}
        found = load_str(other, architecture=RESNET)
        rounded = {name: tensor.float() if tensor.is_floating_point() else tensor
                   for name, tensor in other.items()}
        assert same(found.module, load_str(rounded, architecture=RESNET).module)


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
@pytest.mark.parametrize("kind", ["file", "dict"])
def test_a_second_network_in_the_file_is_not_dropped_silently(tmp_path, wrapper, kind):
    source = {wrapper: checkpoint(RESNET), "ema": {"a": torch.zeros(2), "b": [torch.zeros(1)]}}
    if kind == "file":
        torch.save(source, tmp_path / "m.pt")
        source = tmp_path / "m.pt"
    with pytest.raises(CheckpointError, match="ema with 2 tensors"):
        load_str(source, architecture=RESNET)


class Malicious:
    def __reduce__(self):
        return print, ("run",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    path = tmp_path / "m.pt"
    torch.save({"state_dict": checkpoint(RESNET), "extra": Malicious()}, path)
    with pytest.raises(CheckpointError, match="pickled"):
        load_str(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("left", [0, 3, 1000, -1])
def test_a_file_cut_short_is_refused(tmp_path, left):
    path = tmp_path / "m.pt"
    torch.save(checkpoint(RESNET), path)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(CheckpointError):
        load_str(path, architecture=RESNET)


# ---- what does not fit ----------------------------------------------------------------------

WRONG = {
    "a weight is missing": (lambda t: t.pop("layer2.0.conv2.weight"),
                            "missing layer2.0.conv2.weight"),
    "a norm is missing": (lambda t: t.pop("layer2.1.bn3.running_var"),
                          "missing layer2.1.bn3.running_var"),
    "a threshold is missing": (lambda t: t.pop("fc" + STR), "missing fc.sparseThreshold"),
    "a tensor is extra": (lambda t: t.update({"layer1.2.conv1.weight": torch.zeros(1)}),
                          "extra layer1.2.conv1.weight"),
    "a threshold of no layer": (lambda t: t.update({"bn1" + STR: torch.zeros(1, 1)}),
                                "extra bn1.sparseThreshold"),
    "a head with an unexpected bias": (lambda t: t.update({"fc.bias": torch.zeros(5)}),
                                       "extra fc.bias"),
    "a linear head": (lambda t: t.update({"fc.weight": torch.zeros(5, 128)}),
                      r"fc.weight of shape \[5, 128\] instead of \[5, 128, 1, 1\]"),
    "another width": (lambda t: t.update({"conv1.weight": torch.zeros(8, 3, 7, 7)}),
                      r"conv1.weight of shape \[8, 3, 7, 7\] instead of \[4, 3, 7, 7\]"),
    "a norm that would broadcast": (lambda t: t.update({"bn1.weight": torch.ones(1)}),
                                    r"bn1.weight of shape \[1\] instead of \[4\]"),
    "a threshold a filter": (lambda t: t.update({"conv1" + STR: torch.zeros(4, 1)}),
                             r"conv1.sparseThreshold of shape \[4, 1\] instead of \[1, 1\]"),
    "a threshold a weight": (lambda t: t.update({"conv1" + STR: torch.zeros(4, 3, 7, 7)}),
                             r"conv1.sparseThreshold of shape \[4, 3, 7, 7\]"),
    "a threshold without axes": (lambda t: t.update({"conv1" + STR: torch.tensor(0.0)}),
                                 r"conv1.sparseThreshold of shape \[\]"),
    "integers": (lambda t: t.update({"conv1.weight": t["conv1.weight"].int()}),
                 "conv1.weight of torch.int32"),
    "complex numbers": (lambda t: t.update({"conv1" + STR: torch.zeros(1, 1) * 1j}),
                        "conv1.sparseThreshold of torch.complex64"),
    "a number": (lambda t: t.update({"bn1.bias": 3}), "bn1.bias is no tensor but int"),
    "a name that is no text": (lambda t: t.update({7: torch.zeros(1)}), "extra 7"),
    "NaN": (lambda t: t["layer4.0.conv1.weight"].view(-1)[3].fill_(math.nan),
            "NaN or infinity in layer4.0.conv1.weight"),
    "an infinite threshold": (lambda t: t["conv1" + STR].fill_(-math.inf),
                              "NaN or infinity in conv1.sparseThreshold"),
    "a norm with NaN": (lambda t: t["bn1.running_mean"][0].fill_(math.nan),
                        "NaN or infinity in bn1.running_mean"),
}


@pytest.mark.parametrize(("broken", "words"), WRONG.values(), ids=WRONG)
def test_a_tensor_that_does_not_fit_is_named(broken, words):
    tensors = checkpoint(RESNET)
    broken(tensors)
    with pytest.raises(CheckpointError, match=words):
        load_str(tensors, architecture=RESNET)


def test_all_faults_are_named_at_once():
    tensors = checkpoint(RESNET)
    gone = [name for name in tensors if name.startswith("layer3.")]
    for name in gone:
        del tensors[name]
    tensors["conv1.weight"] = torch.zeros(1)
    tensors["conv1" + STR] = torch.zeros(1)
    tensors["other"] = torch.zeros(1)
    with pytest.raises(CheckpointError) as error:
        load_str(tensors, architecture=RESNET)
    assert len(gone) == 28
    for words in (*(f"missing {name}" for name in gone), "extra other", "conv1.weight of shape",
                  "conv1.sparseThreshold of shape"):
        assert words in str(error.value)


def test_values_too_large_for_float32_are_refused():
    tensors = {name: tensor.double() if tensor.is_floating_point() else tensor
               for name, tensor in checkpoint(RESNET).items()}
    tensors["conv1.weight"][0, 0, 0, 0] = 1e300
    with pytest.raises(CheckpointError, match=r"infinity in conv1\.weight"):
        load_str(tensors, architecture=RESNET)


# ---- layers without threshold ----------------------------------------------------------------

def without_thresholds(tensors: dict, *layers: str) -> dict:
    return {name: tensor for name, tensor in tensors.items()
            if not (name.endswith(STR) and (not layers or name.removesuffix(STR) in layers))}


@SMALL
def test_a_dense_network_is_refused_unless_asked_for(architecture):
    tensors = without_thresholds(checkpoint(architecture))
    with pytest.raises(CheckpointError, match="none: a dense network"):
        load_str(tensors, architecture=architecture)
    found = load_str(tensors, architecture=architecture, dense=True)
    assert found.thresholds == {}
    assert found.cost == model_cost(architecture)


@pytest.mark.parametrize("layers", [["conv1"], ["conv1", "fc"]])
def test_layers_kept_dense_are_asked_for_by_name(layers):
    tensors = without_thresholds(checkpoint(RESNET), *layers)
    with pytest.raises(CheckpointError) as error:
        load_str(tensors, architecture=RESNET, dense=["layer1.0.conv1"])
    assert all(f"missing {layer}{STR}" in str(error.value) for layer in layers)
    found = load_str(tensors, architecture=RESNET, dense=layers)
    assert [row.name for row in found.cost.layers if row.name not in found.thresholds] == layers


def test_a_name_in_dense_that_is_no_layer_is_refused():
    with pytest.raises(CheckpointError, match="conv9"):
        load_str(checkpoint(RESNET), architecture=RESNET, dense=["conv1", "conv9"])


def test_a_head_kept_dense_has_its_bias():
    architecture = Architecture("resnet", 4, (1, 1, 1, 1), classes=3, head_bias=True)
    tensors = without_thresholds(checkpoint(architecture), "fc")
    module = load_str(tensors, architecture=architecture, dense=["fc"]).module
    with torch.no_grad():
        y = module(torch.zeros(1, 3, 32, 32))
        module.fc.bias.zero_()
        assert torch.equal(module(torch.zeros(1, 3, 32, 32)) + tensors["fc.bias"], y)


# ---- which network it is ----------------------------------------------------------------------

def at_full_size(tensors_of: Architecture, kept: dict[str, int]) -> dict:
    """A state_dict in which thresholds of 1/2 keep `kept` weights of each layer."""
    model = build(tensors_of, device="meta")
    tensors = {name: torch.ones(like.shape, dtype=like.dtype)
               for name, like in model.state_dict().items()}
    for layer, n in kept.items():
        tensors[f"{layer}.weight"].fill_(0.5).view(-1)[:n] = -0.75  # 1/2 itself becomes 0
        tensors[layer + STR] = torch.zeros(1, 1)
    return tensors


@pytest.fixture(scope="module")
def ninety(data_root) -> tuple[dict, dict[str, int]]:
    """ResNet-50 with the layers' published sparsities of 90.23 % in all: 100 MB."""
    rows = table(data_root)
    kept = kept_by(rows, rows[0].index("90.23"))
    return at_full_size(RESNET50, kept), kept


def test_resnet50_is_recognised_and_counted_as_published(ninety, data_root):
    tensors, kept = ninety
    found = load_str(as_trained(tensors))
    assert found.architecture == RESNET50
    assert found.architecture.name == "resnet50"
    rows = table(data_root)
    column = rows[0].index("90.23")
    published = layers_of(rows)
    assert [row.name for row in found.cost.layers] == list(published)
    for row in found.cost.layers:
        assert row.kept == kept[row.name]
        assert f"{100 * row.sparsity:.2f}" == f"{float(published[row.name][column]):.2f}"
    assert f"{100 * found.cost.total.sparsity:.2f}" == "90.23"
    assert round(found.cost.total.macs_kept / 1e6) == 343
    assert set(found.thresholds.values()) == {0.5}
    assert found.module.fc.weight.view(-1)[0] == -0.25


def test_the_number_of_classes_is_read_off_the_head():
    kept = {row.name: row.kept for row in model_cost(MOBILENET_V1).layers}
    tensors = at_full_size(MOBILENET_V1, kept)
    tensors["fc.weight"] = tensors["fc.weight"][:7]
    found = load_str(tensors)
    assert found.architecture == Architecture("mobilenetv1", 32, classes=7)
    assert found.architecture.name == "mobilenetv1"
    assert found.cost.total.parameters == 4_209_088 - 993 * 1024


def test_a_block_that_is_missing_is_not_taken_for_a_shallower_network(ninety):
    tensors = {name: tensor for name, tensor in ninety[0].items()
               if not name.startswith("layer3.5.")}
    with pytest.raises(CheckpointError, match=r"of resnet50.*missing layer3\.5\.conv1\.weight"):
        load_str(tensors)


def test_a_narrower_network_must_be_asked_for():
    with pytest.raises(CheckpointError, match=r"instead of \[64, 3, 7, 7\]"):
        load_str(checkpoint(RESNET))


def test_a_resnet_without_bottlenecks_is_no_resnet50():
    tensors = checkpoint(RESNET)
    tensors = {name: tensor for name, tensor in tensors.items() if "conv3" not in name}
    with pytest.raises(CheckpointError, match=r"missing layer1\.0\.conv3\.weight"):
        load_str(tensors)


@pytest.mark.parametrize("tensors", [{}, {"transformer.weight": torch.zeros(3)}])
def test_another_network_is_refused_in_words(tensors):
    with pytest.raises(CheckpointError, match="resnet50 or mobilenetv1"):
        load_str(tensors)


def test_an_unknown_architecture_is_refused():
    with pytest.raises(UnsupportedModel, match="resnet50 or mobilenetv1"):
        load_str(checkpoint(RESNET), architecture="resnet18")


@pytest.mark.parametrize("wrong", [
    ("resnet", 4, (1, 1, 1)), ("resnet", 4, (1, 1, 0, 1)), ("resnet", 0, (1, 1, 1, 1)),
    ("mobilenetv1", 4, (1, 1, 1, 1)), ("vgg", 4, ()), ("mobilenetv1", 4, (), 0),
])
def test_an_architecture_without_sense_is_refused(wrong):
    with pytest.raises(UnsupportedModel):
        Architecture(*wrong)


# ---- writing, and the command ----------------------------------------------------------------

@SMALL
def test_what_is_written_is_read_again_by_both_readers(tmp_path, architecture):
    found = load_str(checkpoint(architecture), architecture=architecture)
    out, budget = tmp_path / "m.safetensors", tmp_path / "m.csv"
    write(found, out, budget)
    fresh = build(architecture)
    load_weights(fresh, out)
    assert same(fresh, found.module)
    again = load_str(out, architecture=architecture, dense=True)
    assert again.cost == found.cost
    assert same(again.module, found.module)
    rows = read_budget(budget)
    assert [(n, r.parameters, r.kept, r.macs) for n, r in rows.items()] == [
        (r.name, r.parameters, r.kept, r.macs) for r in found.cost.layers]
    kept = check_budget(rows, convolutions(fresh))
    assert kept == {r.name: r.kept for r in found.cost.layers}
    assert read_metadata(out)["kept"] == str(found.cost.total.kept)


def test_where_one_file_can_not_be_written_neither_is(tmp_path):
    found = load_str(checkpoint(RESNET), architecture=RESNET)
    with pytest.raises(OutputError):
        write(found, tmp_path / "m.safetensors", tmp_path / "absent" / "m.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def mobilenet_file(tmp_path_factory):
    """A MobileNetV1 of ten classes as trained, half of its classifier zero."""
    kept = {row.name: row.kept for row in model_cost(MOBILENET_V1).layers} | {"fc": 5120}
    tensors = at_full_size(MOBILENET_V1, kept)
    tensors["fc.weight"] = tensors["fc.weight"][:10].clone()
    path = tmp_path_factory.mktemp("str") / "model_best.pth"
    torch.save(as_trained(tensors), path)
    return path


def test_the_command_prints_a_row_a_layer_and_writes_both_files(
        tmp_path, mobilenet_file, run_command):
    out, budget = tmp_path / "m.safetensors", tmp_path / "m.csv"
    status, printed, errors = run_command(app, mobilenet_file, "--out", out, "--budget", budget)
    lines = printed.splitlines()
    assert (status, errors) == (0, "")
    assert lines[0] == "model   mobilenetv1  10 classes  input 3x224x224"
    assert lines[1] == f"unused  {', '.join(BESIDE)}"
    fc, pool, total = (next(line.split() for line in lines if line.startswith(name))
                       for name in ("fc", "model.14", "total"))
    assert fc == ["fc", "10x1024x1x1", "0.5", "10240", "5120", "50.00%", "10240", "5120"]
    assert pool == ["model.14", "0", "0", "50176", "50176"]
    assert total[1:3] == ["3195328", "3190208"]
    assert lines[-1] == "check   163/163 tensors the same  ok"
    assert len(read_budget(budget)) == 28
    assert load_str(out, dense=True).cost.total.kept == 3190208


def test_json_says_the_same_for_machines(mobilenet_file, run_command):
    status, printed, _ = run_command(app, mobilenet_file, "--json", "--input-size", 32)
    found = json.loads(printed)
    assert status == 0
    assert (found["architecture"], found["classes"]) == ("mobilenetv1", 10)
    assert found["total"]["kept"] == 3190208
    assert found["pool"]["macs"] == 1024
    assert found["layers"][-1]["sparsity"] == 0.5
    assert found["layers"][-1]["threshold"] == 0.5
    assert found["written"] == []


@pytest.mark.parametrize(("dense", "status"), [(None, 1), ("model.0.0", 1), ("all", 0),
                                               ("model.0.0,fc", 0)])
def test_the_command_takes_dense_layers_where_asked_for(tmp_path, run_command, dense, status):
    kept = {row.name: row.kept for row in model_cost(MOBILENET_V1).layers}
    path, out = tmp_path / "m.pt", tmp_path / "m.safetensors"
    torch.save(without_thresholds(at_full_size(MOBILENET_V1, kept), "model.0.0", "fc"), path)
    options = [] if dense is None else ["--dense", dense]
    ended, _, errors = run_command(app, path, "--out", out, *options)
    assert ended == status
    assert out.exists() == (status == 0)
    assert ("missing fc.sparseThreshold" in errors) == (status == 1)
    assert "Traceback" not in errors


@pytest.mark.parametrize("options", [["--out", "m.pt"], ["--budget", "m.txt"],
                                     ["--input-size", "0"]])
def test_wrong_usage_ends_with_2(mobilenet_file, run_command, options):
    assert run_command(app, mobilenet_file, *options)[0] == 2


def test_a_file_that_is_not_there_ends_with_1(tmp_path, run_command):
    status, _, errors = run_command(app, tmp_path / "absent.pth")
    assert status == 1
    assert "absent.pth" in errors
