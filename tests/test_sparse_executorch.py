"""Programs for ExecuTorch whose layers run our operators on packed sparse weights."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from edge_sdk.artifact import GranularityInfo, Metadata, TensorSpec
from edge_sdk.containers import pte_operators, seal
from edge_sdk.engines import load, operators
from edge_sdk.errors import EngineError, MissingDependency, ShapeError, UnsupportedModel
from edge_sdk.exporters.sparse.executorch import lower, to_sparse
from edge_sdk.sparse import SparseMatrix

LIMIT = 1e-4


def seeded(build, *, density=0.3, seed=0):
    """Return build() with most weights zero, and batch norms that do something."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        module = build().eval()
        for layer in module.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.weight.mul_(torch.rand_like(layer.weight) < density)
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.5, 2)
                if layer.affine:
                    layer.weight.normal_()
                    layer.bias.normal_()
    return module


def random(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class ChannelsLast(nn.Conv2d):
    def forward(self, x):
        return super().forward(x.to(memory_format=torch.channels_last))


# name: what builds the layer (the one that becomes sparse is "0"), the input's shape, density.
CASES = {
    "linear_of_one_token": (lambda: [nn.Linear(33, 20)], (1, 33), 0.3),
    "linear_of_a_vector": (lambda: [nn.Linear(33, 20)], (33,), 0.3),
    "linear_of_many_tokens": (lambda: [nn.Linear(32, 48)], (2, 49, 32), 0.3),
    "linear_without_bias": (lambda: [nn.Linear(7, 5, bias=False)], (3, 7), 0.5),
    "linear_of_zeros_only": (lambda: [nn.Linear(9, 6)], (4, 9), 0.0),
    "linear_without_zeros": (lambda: [nn.Linear(9, 6)], (4, 9), 1.1),
    "linear_wider_than_a_delta": (lambda: [nn.Linear(1500, 3)], (5, 1500), 0.004),
    "linear_relu": (lambda: [nn.Linear(16, 24), nn.ReLU()], (17, 16), 0.3),
    "linear_norm_relu6": (
        lambda: [nn.Linear(16, 24), nn.BatchNorm1d(24), nn.ReLU6()], (17, 16), 0.3),
    "conv_3x3": (lambda: [nn.Conv2d(4, 6, 3, padding=1)], (1, 4, 9, 11), 0.3),
    "conv_3x3_stride_2": (lambda: [nn.Conv2d(4, 6, 3, stride=2, padding=1)], (1, 4, 9, 12), 0.3),
    "conv_of_two_images": (lambda: [nn.Conv2d(5, 7, 5, padding=2)], (2, 5, 8, 8), 0.2),
    "conv_1x1": (lambda: [nn.Conv2d(8, 12, 1)], (1, 8, 7, 7), 0.3),
    "conv_1x1_stride_2": (lambda: [nn.Conv2d(8, 12, 1, stride=2)], (2, 8, 7, 7), 0.3),
    "conv_uneven": (
        lambda: [nn.Conv2d(3, 4, (5, 2), stride=(2, 3), padding=(3, 1))], (2, 3, 10, 9), 0.4),
    "conv_same": (lambda: [nn.Conv2d(3, 4, (3, 5), padding="same")], (1, 3, 6, 8), 0.4),
    "conv_valid": (lambda: [nn.Conv2d(3, 4, 3, padding="valid")], (1, 3, 6, 8), 0.4),
    "conv_of_the_whole_image": (lambda: [nn.Conv2d(3, 4, (6, 8))], (1, 3, 6, 8), 0.4),
    "conv_norm_relu": (
        lambda: [nn.Conv2d(4, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU()],
        (1, 4, 8, 8), 0.3),
    "conv_norm_relu6_in_place": (
        lambda: [nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6, affine=False), nn.ReLU6(inplace=True)],
        (2, 4, 8, 8), 0.3),
    "conv_hardtanh": (lambda: [nn.Conv2d(4, 6, 3), nn.Hardtanh()], (1, 4, 8, 8), 0.3),
    "conv_gelu": (lambda: [nn.Conv2d(4, 6, 3), nn.GELU()], (1, 4, 8, 8), 0.3),
    "conv_of_channels_last": (lambda: [ChannelsLast(4, 6, 3)], (1, 4, 8, 8), 0.3),
}
CLAMPS = {"linear_relu": (0, np.inf), "linear_norm_relu6": (0, 6), "conv_norm_relu": (0, np.inf),
          "conv_norm_relu6_in_place": (0, 6), "conv_hardtanh": (-1, 1)}


class Side(nn.Module):
    """Models beside each other: one program holds many cases."""

    def __init__(self, models):
        super().__init__()
        self.models = nn.ModuleDict(models)

    def forward(self, xs):
        return {name: model(xs[name]) for name, model in self.models.items()}


def run(path, *xs):
    """Return the outputs of method "forward" of a .pte, copied."""
    from executorch.runtime import Runtime

    operators.load_for(path)
    program = Runtime.get().load_program(path)
    return [out.clone() for out in program.load_method("forward").execute(list(xs))]


def written(folder, name, *arguments, **options):
    program, layers = lower(*arguments, **options)
    path = folder / f"{name}.pte"
    program.write(path, "{}")
    return path, layers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sparse")


@pytest.fixture(scope="module", params=["float32", "int8"])
def cases(request, folder):
    """All of CASES in one program: the model, and by name inputs, outputs and packed layers."""
    side = Side({name: seeded(lambda build=build: nn.Sequential(*build()), density=density)
                 for name, (build, _, density) in CASES.items()})
    xs = {name: random(*shape) for name, (_, shape, _) in CASES.items()}
    path, layers = written(folder, request.param, side, (xs,),
                           {f"models.{name}.0": request.param for name in CASES})
    found = dict(zip(CASES, run(path, *xs.values()), strict=True))
    return SimpleNamespace(values=request.param, models=side.models, xs=xs, found=found, path=path,
                           layers={layer.name.split(".")[1]: layer for layer in layers})


@torch.no_grad()
def dequantized(model):
    """Return `model` with a batch norm folded by torch, and the weight as int8 would keep it."""
    first, *rest = model.double()
    if rest and isinstance(rest[0], nn.BatchNorm2d):
        first = torch.nn.utils.fusion.fuse_conv_bn_eval(first, rest.pop(0))
    elif rest and isinstance(rest[0], nn.BatchNorm1d):
        first = torch.nn.utils.fusion.fuse_linear_bn_eval(first, rest.pop(0))
    rows = first.float().weight.flatten(1)
    scale = rows.abs().amax(1, keepdim=True) / 127
    kept = torch.where(scale > 0, (rows / scale).round() * scale, 0 * rows)
    first.weight.copy_(kept.reshape(first.weight.shape))
    return nn.Sequential(first, *rest).float().eval()


@pytest.mark.parametrize("name", CASES)
def test_a_program_computes_what_the_model_with_its_zeros_computes(cases, name):
    model = cases.models[name]
    if cases.values == "int8":
        model = dequantized(copy.deepcopy(model))
    with torch.no_grad():
        expected = model(cases.xs[name])
    found = cases.found[name]
    assert found.shape == expected.shape
    assert torch.isfinite(found).all()
    assert (found - expected).abs().max() <= LIMIT


@pytest.mark.parametrize("name", CASES)
def test_norms_and_clamps_run_inside_the_operator_and_zeros_stay_zeros(cases, name):
    layer, weight = cases.layers[name], cases.models[name][0].weight
    assert layer.clamp == CLAMPS.get(name, (-np.inf, np.inf))
    assert (layer.rows, layer.rows * layer.cols) == (len(weight), weight.numel())
    if cases.values == "float32":
        assert layer.n_kept == weight.count_nonzero()
    else:
        assert layer.n_kept <= weight.count_nonzero()


def test_nothing_is_left_of_the_layers_that_became_sparse(cases):
    called = pte_operators(cases.path)
    assert {"edge::sparse_linear.out", "edge::sparse_conv2d.out"} <= called
    assert not [name for name in called if any(
        word in name for word in ("conv", "linear", "mm", "norm", "relu", "hardtanh"))
        and not name.startswith("edge::")]


class Twice(nn.Module):
    """One layer that is called twice, once with a clamp."""

    def __init__(self):
        super().__init__()
        self.layer, self.last = nn.Linear(256, 256), nn.Linear(256, 10)

    def forward(self, x):
        return self.last(self.layer(torch.relu(self.layer(x))))


@pytest.mark.parametrize(("values", "share"), [("float32", 0.13), ("int8", 0.055)])
def test_packed_bytes_lie_in_the_file_once(folder, values, share):
    model, x = seeded(Twice, density=0.1), random(3, 256)
    path, layers = written(folder, values, model, (x,), {"layer": values, "last": "dense"})
    packed = SparseMatrix.pack(model.layer.weight.detach().numpy(), values=values).bytes
    assert [layer.name for layer in layers] == ["layer", "layer"]
    assert [layer.clamp for layer in layers] == [(0, np.inf), (-np.inf, np.inf)]
    assert path.read_bytes().count(packed) == 1
    # Beside the packed weight: the dense layer, biases, and the graph.
    dense, others = 4 * model.layer.weight.numel(), 4 * model.last.weight.numel()
    assert path.stat().st_size <= share * dense + others + 16_384
    if values == "float32":
        assert (run(path, x)[0] - model(x)).abs().max() <= LIMIT


def test_a_batch_may_be_of_any_size_up_to_the_exported_one(folder):
    model = seeded(lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)))
    n = torch.export.Dim("n", min=1, max=8)
    path, _ = written(folder, "batch", model, (random(2, 3, 6, 6),),
                      {"0": "float32", "3": "float32"}, dynamic_shapes=({0: n},))
    for size in (1, 3, 8):
        x = random(size, 3, 6, 6)
        with torch.no_grad():
            assert (run(path, x)[0] - model(x)).abs().max() <= LIMIT


def test_an_artifact_runs_in_the_engine(folder):
    model, x = seeded(lambda: nn.Sequential(nn.Linear(12, 7), nn.ReLU())), random(1, 12)
    program, _ = lower(model, (x,), {"0": "float32"}, method="M")
    path = folder / "engine.pte"
    metadata = Metadata(
        model="tests", family="matformer", target="executorch", quantization="none",
        elastic=False, trained={"M": (1,)}, boundaries=((1,),),
        granularities={"M": GranularityInfo((1,), None, None)},
        inputs=(TensorSpec("x", (1, 12), "float32"),),
        outputs=(TensorSpec("logits", (1, 7), "float32"),))
    program.write(path, metadata.to_json())
    seal(path)
    found = load(path).run({"x": x.numpy()})["logits"]
    assert np.abs(found - model(x).detach().numpy()).max() <= LIMIT


DAMAGE = """
import json, sys
import torch
from pathlib import Path
from executorch.runtime import Runtime
from edge_sdk.engines import operators

job = json.loads(Path(sys.argv[1]).read_text())
good = Path(job["path"]).read_bytes()
operators.load_for(Path(job["path"]))
answers = []
for at, value, shapes in job["cases"]:
    bad = bytearray(good)
    bad[at : at + len(value)] = bytes(value)
    bad = bytes(bad)  # it and the program must outlive the method
    try:
        program = Runtime.get().load_program(bad)
        program.load_method("forward").execute([torch.ones(shape) for shape in shapes])
        answers.append("ran")
    except RuntimeError:
        answers.append("refused")
Path(job["answers"]).write_text(json.dumps(answers))
"""


def answers_to(folder, path, cases):
    """Return what became of each (damage at, damage, input shapes), in a process of their own."""
    job, answers = folder / "job.json", folder / "answers.json"
    job.write_text(json.dumps({
        "path": str(path), "answers": str(answers),
        "cases": [(at, list(value), shapes) for at, value, shapes in cases]}))
    done = subprocess.run([sys.executable, "-c", DAMAGE, str(job)], capture_output=True,
                          text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(answers.read_text())


@pytest.fixture(scope="module")
def pair(folder):
    """A program of a linear layer and a convolution, their packed bytes, and its inputs."""
    model = seeded(lambda: Side({"a": nn.Linear(40, 6), "b": nn.Conv2d(3, 5, 3, padding=1)}))
    xs = {"a": random(2, 40), "b": random(2, 3, 6, 6)}
    path, _ = written(folder, "pair", model, (xs,), {"models.a": "float32", "models.b": "float32"})
    packed = [SparseMatrix.pack(layer.weight.detach().flatten(1).numpy()).bytes
              for layer in model.models.values()]
    return path, packed, [list(x.shape) for x in xs.values()]


def test_damaged_packed_bytes_are_an_error_of_the_call_and_never_a_crash(folder, pair):
    path, packed, shapes = pair
    file = path.read_bytes()
    refused = {}
    for weight in packed:
        start, whole = file.index(weight), range(len(weight))
        refused[start, b"\0" * len(weight)] = True
        refused |= {(start + at, bytes([weight[at] ^ 0xFF])): at < 4 or None for at in whole}
        refused |= {(start + at, b"\xff" * (len(weight) - at)): None for at in whole[::8]}
    answers = answers_to(folder, path, [(0, b"", shapes), *((*key, shapes) for key in refused)])
    assert answers.pop(0) == "ran"  # the file as it is
    assert {answer for answer, sure in zip(answers, refused.values(), strict=True) if sure} == {
        "refused"}  # the magic; another value of a weight is no damage that can be seen


def test_inputs_of_other_shapes_are_refused(folder, pair):
    path, _, (linear, conv) = pair
    wrong = [[[2, 41], conv], [[80], conv], [linear, [2, 4, 6, 6]], [linear, [2, 3, 6]],
             [linear, [2, 3, 7, 6]]]
    answers = answers_to(folder, path, [(0, b"", shapes) for shapes in wrong])
    assert answers == ["refused"] * len(wrong)


def test_without_the_library_a_program_says_what_to_install(pair, monkeypatch):
    monkeypatch.setattr(operators, "_registered", set)
    monkeypatch.setattr(operators, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="built without") as caught:
        operators.load_for(pair[0])
    assert "executorch" in caught.value.hint
    assert "install" in caught.value.hint


def test_a_library_that_does_not_load_is_a_missing_dependency(pair, monkeypatch, tmp_path):
    other = tmp_path / "other.so"
    other.write_bytes(b"no library")
    monkeypatch.setattr(operators, "_registered", set)
    monkeypatch.setattr(operators, "find_spec", lambda name: SimpleNamespace(origin=str(other)))
    with pytest.raises(MissingDependency, match="load into this ExecuTorch"):
        operators.load_for(pair[0])


def test_a_library_for_another_release_is_refused_before_it_registers(pair, monkeypatch):
    monkeypatch.setattr(operators, "_registered", set)
    monkeypatch.setattr(operators, "version", lambda name: "99.0")
    with pytest.raises(MissingDependency, match="built for ExecuTorch 99"):
        operators.load_for(pair[0])


def test_operators_of_a_later_version_are_an_error(pair, monkeypatch):
    operators.load_for(pair[0])
    monkeypatch.setattr(operators, "pte_operators", lambda path: {"edge::later.out"})
    with pytest.raises(EngineError, match=r"edge::later\.out") as caught:
        operators.load_for(pair[0])
    assert "update" in caught.value.hint


def test_a_program_without_our_operators_needs_no_library(folder, monkeypatch):
    path, layers = written(folder, "plain", seeded(lambda: nn.Linear(4, 3)), (random(1, 4),), {})
    monkeypatch.setattr(operators, "find_spec", lambda name: pytest.fail("looked for it"))
    operators.load_for(path)
    assert layers == []


@pytest.mark.parametrize(("build", "shape", "forms", "error", "match"), [
    (lambda: nn.Sequential(nn.Linear(4, 3)), (1, 4), {"1": "float32"}, ShapeError, "'1'"),
    (lambda: nn.Sequential(nn.Linear(4, 3)), (1, 4), {"0": "int4"}, ShapeError, "int4"),
    (lambda: nn.Sequential(nn.ReLU()), (1, 4), {"0": "int8"}, UnsupportedModel, "ReLU"),
    (lambda: nn.Sequential(nn.Conv2d(4, 4, 3, groups=2)), (1, 4, 5, 5), {"0": "int8"},
     UnsupportedModel, "groups 2"),
    (lambda: nn.Sequential(nn.Conv2d(4, 4, 2, dilation=2)), (1, 4, 5, 5), {"0": "int8"},
     UnsupportedModel, "dilation"),
    (lambda: nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")), (1, 4, 5, 5),
     {"0": "int8"}, UnsupportedModel, "reflect"),
    (lambda: nn.Sequential(nn.Conv2d(4, 4, 2, padding="same")), (1, 4, 5, 5), {"0": "int8"},
     UnsupportedModel, "'same'"),
    (lambda: nn.Sequential(nn.Conv2d(4, 4, 1, padding=1)), (1, 4, 5, 5), {"0": "int8"},
     UnsupportedModel, "padding below"),
    (lambda: nn.Sequential(nn.Conv2d(4, 4, 1)), (4, 5, 5), {"0": "int8"}, UnsupportedModel,
     "without a batch"),
])
def test_what_can_not_be_packed_is_refused(build, shape, forms, error, match):
    with pytest.raises(error, match=match):
        to_sparse(build().eval(), (random(*shape),), forms)


def test_a_weight_with_nan_is_refused():
    model = nn.Sequential(nn.Linear(4, 3)).eval()
    with torch.no_grad():
        model[0].weight[1, 2] = float("nan")
    with pytest.raises(ShapeError, match="finite"):
        to_sparse(model, (random(1, 4),), {"0": "float32"})


def test_a_weight_that_another_operation_reads_is_refused():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.layer = nn.Embedding(6, 4), nn.Linear(4, 6)
            self.layer.weight = self.table.weight

        def forward(self, ids):
            return self.layer(self.table(ids))

    with pytest.raises(UnsupportedModel, match="only its layer uses"):
        to_sparse(Tied().eval(), (torch.tensor([[1, 2]]),), {"layer": "float32"})


def test_a_layer_that_is_never_called_is_refused():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.used(x)

    with pytest.raises(UnsupportedModel, match="never calls"):
        to_sparse(Unused().eval(), (random(1, 4),), {"idle": "float32"})


def test_a_norm_or_clamp_that_shares_its_input_stays_outside():
    class Fork(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

        def forward(self, x):
            y = self.layer(x)
            return torch.relu(y) + self.norm(y)

    model, x = seeded(Fork), random(3, 4)
    sparse, layers = to_sparse(model, (x,), {"layer": "float32"})
    assert layers[0].clamp == (-np.inf, np.inf)
    assert torch.equal(sparse(x), model(x))


def test_a_norm_over_tokens_is_not_folded_into_features():
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(3)))
    x = random(2, 3, 4)
    sparse, _ = to_sparse(model, (x,), {"0": "float32"})
    assert torch.equal(sparse(x), model(x))


def test_the_model_itself_is_left_as_it_was():
    model, x = seeded(lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU())), random(2, 4)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    to_sparse(model, (x,), {"0": "int8"})
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("checks", ["test_schema", "test_faketensor"])
def test_the_operators_keep_the_promises_that_torch_asks_of_them(checks):
    weight = torch.from_numpy(np.frombuffer(SparseMatrix.pack(
        random(6, 18).numpy()).bytes, np.uint8).copy())
    bias, infinite = random(6), float("inf")
    for name, arguments in {
        "sparse_linear": (random(2, 3, 18), weight, bias, 6, 0.0, infinite),
        "sparse_conv2d": (random(2, 2, 7, 8), weight, None, 6, [3, 3], [2, 1], [1, 0],
                          -infinite, infinite),
    }.items():
        packet = getattr(torch.ops.edge, name)
        torch.library.opcheck(packet.default, arguments, test_utils=checks)
        out = torch.empty(0)
        assert torch.equal(packet.out(*arguments, out=out), packet.default(*arguments))


def test_an_operator_refuses_a_weight_of_another_height():
    weight = torch.from_numpy(np.frombuffer(SparseMatrix.pack(
        random(6, 4).numpy()).bytes, np.uint8).copy())
    with pytest.raises(RuntimeError, match="6 rows, the layer 5"):
        torch.ops.edge.sparse_linear(random(1, 4), weight, None, 5, -1.0, 1.0)


def test_the_registry_of_a_fresh_process_gets_the_operators_from_the_library(pair):
    code = ("import sys; from pathlib import Path; from edge_sdk.engines import operators\n"
            "path = Path(sys.argv[1]); before = operators._registered()\n"
            "operators.load_for(path); operators.load_for(path)\n"
            "print(sorted(before), len(operators._registered()))")
    done = subprocess.run([sys.executable, "-c", code, str(pair[0])], capture_output=True,
                          text=True, check=True, timeout=300)
    assert done.stdout.splitlines()[-1] == "[] 2"
    assert Path(operators.find_spec(operators.MODULE).origin).name == "_executorch_operators.so"
