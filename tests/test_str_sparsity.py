"""Learnt thresholds against NumPy, autograd, finite differences and small trainings."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edge_sdk.errors import CheckpointError, ShapeError, UnsupportedModel
from edge_sdk.nn.budgets import count_layers
from edge_sdk.nn.matformer import MatViT, NestedFFN, NestedGLU, extract, use_widths
from edge_sdk.nn.str_sparsity import (
    THRESHOLDS,
    STRConv2d,
    STRLinear,
    soft_threshold,
    sparsify,
)

FAST = settings(deadline=None, max_examples=40)
NUMPY_G = {"sigmoid": lambda s: 1 / (1 + np.exp(-s)), "exp": np.exp}


def oracle(weight, g):
    """Equation 2 in float64, entry by entry."""
    out = np.zeros(weight.shape)
    g = np.broadcast_to(g, weight.shape)
    for index in np.ndindex(*weight.shape):
        out[index] = np.sign(weight[index]) * max(abs(weight[index]) - g[index], 0.0)
    return out


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
                         nn.Conv2d(6, 6, 3, groups=6), nn.Flatten(), nn.Linear(96, 8), nn.ReLU(),
                         nn.LayerNorm(8), nn.Linear(8, 10))


IMAGE = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(3))


# --- equation 2 ----------------------------------------------------------------------------


@FAST
@given(rows=st.integers(1, 5), columns=st.integers(1, 5), seed=st.integers(0, 999),
       s=st.floats(-9, 2), kind=st.sampled_from(THRESHOLDS), g=st.sampled_from(list(NUMPY_G)))
def test_a_layer_computes_equation_2(rows, columns, seed, s, kind, g):
    random = np.random.default_rng(seed)
    layer = nn.Linear(columns, rows, dtype=torch.float64)
    weight = random.normal(size=(rows, columns)) * 0.5
    layer.load_state_dict({"weight": torch.tensor(weight), "bias": layer.bias})
    sparsify(layer, threshold=kind, g=g, s_init=s)
    shape = {"filter": (rows, 1), "weight": (rows, columns)}.get(kind, ())
    assert tuple(layer.threshold.shape) == shape
    thresholds = s + random.normal(size=shape)
    with torch.no_grad():
        layer.threshold.copy_(torch.tensor(thresholds))
    expected = oracle(weight, NUMPY_G[g](thresholds))
    np.testing.assert_allclose(layer.weight.detach().numpy(), expected, rtol=0, atol=1e-15)
    x = random.normal(size=(2, columns))
    np.testing.assert_allclose(layer(torch.tensor(x)).detach().numpy(),
                               x @ expected.T + layer.bias.detach().numpy(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", THRESHOLDS)
@pytest.mark.parametrize("g", list(NUMPY_G))
def test_gradients_are_those_of_finite_differences(kind, g):
    torch.manual_seed(1)
    for layer, x in ((nn.Linear(4, 3), torch.randn(2, 4)),
                     (nn.Conv2d(2, 3, 2), torch.randn(1, 2, 3, 3))):
        layer.double()
        sparsify(layer, threshold=kind, g=g, s_init=-1.5)

        def loss(dense, threshold, layer=layer, x=x):
            state = {"weight": dense, "threshold": threshold, "bias": layer.bias.detach()}
            return torch.func.functional_call(layer, state, x.double()).sin().sum()

        at = [p.detach().clone().requires_grad_() for p in (layer.dense, layer.threshold)]
        assert 0 < int((layer.weight == 0).sum()) < layer.weight.numel()
        assert torch.autograd.gradcheck(loss, at)


def test_the_gradient_is_the_papers_formula():
    """Section 3: dW is the gradient on the kept weights, ds is -g'(s) <gradient, sign(W)> there."""
    torch.manual_seed(2)
    layer = nn.Linear(7, 5).double()
    sparsify(layer, s_init=-1.5)
    upstream = torch.randn(5, 7, dtype=torch.float64)
    (layer.weight * upstream).sum().backward()
    weight, into = layer.dense.detach().numpy(), upstream.numpy()
    sigmoid = 1 / (1 + math.exp(1.5))
    alive = np.abs(weight) > sigmoid
    assert 0 < alive.sum() < alive.size
    np.testing.assert_allclose(layer.dense.grad.numpy(), into * alive)
    expected = -sigmoid * (1 - sigmoid) * (into * np.sign(weight) * alive).sum()
    np.testing.assert_allclose(layer.threshold.grad.item(), expected)


@FAST
@given(values=st.lists(st.floats(-2, 2, width=32), min_size=1), threshold=st.floats(0, 2, width=32))
def test_weights_shrink_towards_zero_and_never_cross_it(values, threshold):
    weight = torch.tensor(values)
    out = soft_threshold(weight, torch.tensor(threshold))
    assert bool((out.abs() <= weight.abs()).all())
    assert bool((out * weight >= 0).all())
    assert torch.equal(out == 0, weight.abs() <= threshold)
    assert not torch.signbit(out[out == 0]).any()


def test_a_weight_that_is_nan_stays_nan():
    out = soft_threshold(torch.tensor([math.nan, 1.0, 0.1]), torch.tensor(0.5))
    assert math.isnan(out[0])
    assert out[1:].tolist() == [0.5, 0.0]


# --- sparsify ------------------------------------------------------------------------------


def test_layers_stay_what_they_were_to_all_who_look_for_them():
    net = model()
    first, dense = net[0], copy.deepcopy(net.state_dict())
    handle = sparsify(net)
    assert net[0] is first
    assert isinstance(net[0], nn.Conv2d)
    assert [type(net[i]) for i in (0, 3, 5, 8)] == [STRConv2d, nn.Conv2d, STRLinear, STRLinear]
    assert list(handle.layers) == ["0", "5", "8"]
    state = net.state_dict()
    assert set(state) == set(dense) | {"0.threshold", "5.threshold", "8.threshold"}
    assert all(torch.equal(state[key], value) for key, value in dense.items())


def test_where_chooses_the_layers():
    net = model()
    handle = sparsify(net, where=lambda name, layer: isinstance(layer, nn.Conv2d))
    assert list(handle.layers) == ["0", "3"]


def test_a_global_threshold_is_one_parameter():
    net = model()
    handle = sparsify(net, threshold="global", s_init=-3.0)
    assert net[0].threshold is net[5].threshold is net[8].threshold
    for twin in (net, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert sum(name.endswith("threshold") for name, _ in twin.named_parameters()) == 1
        assert torch.equal(twin(IMAGE), net(IMAGE))
    net(IMAGE).square().sum().backward()
    assert net[0].threshold.grad != 0
    assert len(handle.parameter_groups(1.0, 0.0, 0.0)[2]["params"]) == 1


def test_a_checkpoint_of_sparse_training_resumes():
    net, other = model(), model()
    sparsify(net, threshold="filter", s_init=-3.0)
    with torch.no_grad():
        net[5].threshold.add_(torch.randn(8, 1))
    sparsify(other, threshold="filter")
    other.load_state_dict(net.state_dict())
    assert torch.equal(other.eval()(IMAGE), net.eval()(IMAGE))


def test_every_parameter_is_in_one_group_with_its_own_decay():
    net = model()
    handle = sparsify(net, threshold="filter", where=lambda name, _: name in ("0", "5"))
    weights, others, thresholds = handle.parameter_groups(0.1, 5e-4, 4e-3)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    found = [{names[id(p)] for p in group["params"]} for group in (weights, others, thresholds)]
    assert found == [
        {"0.weight", "3.weight", "5.weight", "8.weight"},
        {"1.weight", "1.bias", "3.bias", "5.bias", "7.weight", "7.bias", "8.bias"},
        {"0.threshold", "5.threshold"}]
    assert [g["weight_decay"] for g in (weights, others, thresholds)] == [5e-4, 0.0, 4e-3]
    assert all(group["lr"] == 0.1 for group in (weights, others, thresholds))
    torch.optim.AdamW(handle.parameter_groups(0.1, 5e-4, 4e-3))


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"threshold": "column"}, UnsupportedModel, "layer, global, filter, weight"),
    ({"g": "relu"}, UnsupportedModel, "sigmoid, exp"),
    ({"s_init": math.nan}, ShapeError, "finite"),
    ({"s_init": -math.inf}, ShapeError, "finite"),
    ({"where": lambda name, layer: False}, UnsupportedModel, "none"),
])
def test_options_that_make_no_sense_are_errors(options, error, message):
    with pytest.raises(error, match=message):
        sparsify(model(), **options)


def test_models_that_can_not_be_sparsified_are_errors_and_stay_as_they_were():
    with pytest.raises(UnsupportedModel, match="none"):
        sparsify(nn.Sequential(nn.ReLU()))
    net = model()
    with torch.no_grad():
        net[8].weight[0, 0] = math.inf
    with pytest.raises(CheckpointError, match=r"8\.weight"):
        sparsify(net)
    assert type(net[0]) is nn.Conv2d
    sparsify(net, where=lambda name, _: name == "5")
    with pytest.raises(UnsupportedModel, match="once"):
        sparsify(net, where=lambda name, _: name == "5")


def test_tied_weights_are_an_error_and_a_module_used_twice_is_none():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
            self.head.weight = self.embedding.weight

    with pytest.raises(UnsupportedModel, match=r"embedding\.weight"):
        sparsify(Tied())
    layer = nn.Linear(3, 3)
    assert list(sparsify(nn.Sequential(layer, nn.ReLU(), layer)).layers) == ["0"]


def test_a_layer_of_a_derived_class_keeps_its_behaviour_and_its_class():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    x = torch.randn(2, 5, 16)
    kind = type(layer.self_attn.out_proj)
    handle = sparsify(layer, s_init=-3.0)
    assert isinstance(layer.self_attn.out_proj, kind)
    out = layer(x)
    handle.extract()
    assert type(layer.self_attn.out_proj) is kind
    torch.testing.assert_close(layer(x), out)


# --- the trap of a very low s ----------------------------------------------------------------


@pytest.mark.parametrize("s_init", [-100.0, -3200.0, -12800.0])
def test_a_very_low_s_moves_by_weight_decay_alone(s_init):
    layer = nn.Linear(4, 4)
    handle = sparsify(layer, s_init=s_init)
    dense = copy.deepcopy(layer.dense.detach())
    assert handle.thresholds()[""] == 0.0
    assert torch.equal(layer.weight, dense)
    layer(torch.randn(8, 4)).square().sum().backward()
    assert layer.threshold.grad == 0.0
    still = torch.optim.SGD(handle.parameter_groups(0.1, 0.0, 0.0))
    still.step()
    assert layer.threshold == s_init
    moving = torch.optim.SGD(handle.parameter_groups(0.1, 0.0, 0.5))
    moving.step()
    torch.testing.assert_close(layer.threshold.detach(), torch.tensor(s_init * 0.95))


def test_the_default_s_has_a_threshold_and_a_gradient():
    layer = nn.Linear(4, 4)
    handle = sparsify(layer)
    layer(torch.randn(8, 4)).square().sum().backward()
    assert 3e-4 < handle.thresholds()[""] < 4e-4
    assert layer.threshold.grad != 0.0


# --- nested models ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", THRESHOLDS)
@pytest.mark.parametrize("ffn", ["ffn", "glu"])
def test_s_of_a_sparse_nested_ffn_is_the_slice_of_its_thresholded_xl(kind, ffn):
    torch.manual_seed(4)
    layer = (NestedFFN(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 6)) if ffn == "ffn" else
             NestedGLU(nn.Linear(6, 16), nn.Linear(6, 16), nn.SiLU(), nn.Linear(16, 6)))
    net = nn.Sequential(layer)
    handle = sparsify(net, threshold=kind, s_init=-2.5)
    with torch.no_grad():
        for thresholds in (m.threshold for m in handle.layers.values()):
            thresholds.add_(torch.randn(thresholds.shape) * 0.3)
    whole = {name: (m.dense.detach().double().numpy(),
                    NUMPY_G["sigmoid"](m.threshold.detach().double().numpy()))
             for name, m in handle.layers.items()}
    x = torch.randn(5, 6)
    width = 4
    small = extract(net, [width])
    with use_widths(net, [width]):
        torch.testing.assert_close(small(x), net(x))
    assert not any(isinstance(m, STRLinear) for m in small.modules())
    for name, slices in (("up", np.s_[:width]), ("down", np.s_[:, :width])):
        expected = oracle(*whole[f"0.{name}"])[slices]
        found = {tuple(m.weight.shape): m.weight.detach().numpy()
                 for key, m in small.named_modules() if isinstance(m, nn.Linear)
                 and (ffn == "ffn" or key.endswith(name))}[expected.shape]
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert 0 < np.count_nonzero(found) < found.size


def test_every_granularity_of_a_sparse_matvit_survives_extraction_of_the_zeros():
    torch.manual_seed(5)
    net = MatViT(image_size=8, channels=1, d_model=16, n_layers=2, n_heads=2, d_ff=32, patch=4,
                 head=nn.Linear(16, 10)).eval()
    handle = sparsify(net, s_init=-3.0)
    out = {}
    for width in (4, 8, 16, 32):
        with use_widths(net, [width, 32]):
            out[width] = net(IMAGE)
    handle.extract()
    for width, before in out.items():
        with use_widths(net, [width, 32]):
            assert torch.equal(net(IMAGE), before)


# --- report, freeze, extract -------------------------------------------------------------------


def test_the_report_is_that_of_the_extracted_model():
    net = model()
    handle = sparsify(net, s_init=-2.5)
    rows, plain = handle.report(IMAGE), handle.report()
    sparsity = handle.sparsity()
    assert net.training
    assert type(net[0]) is STRConv2d
    assert [(r.name, r.kept, r.parameters, r.shape) for r in rows] == [
        (r.name, r.kept, r.parameters, r.shape) for r in plain]
    assert {r.macs for r in plain} == {None}
    assert [r.macs for r in rows] == [54 * 36 * 3, 96 * 8 * 3, 80 * 3]
    assert [r.macs_kept * r.parameters for r in rows] == [r.macs * r.kept for r in rows]
    assert sparsity == 1 - sum(r.kept for r in rows) / sum(r.parameters for r in rows)
    handle.extract()
    assert [r for r in count_layers(net, IMAGE) if r.name != "3"] == rows
    assert handle.sparsity() == sparsity


def test_a_layer_that_became_all_zero_is_reported_and_gives_its_bias():
    layer = nn.Linear(4, 3)
    handle = sparsify(layer, s_init=5.0)
    assert (handle.sparsity(), handle.report()[0].kept) == (1.0, 0)
    assert torch.equal(layer(torch.randn(2, 4)), layer.bias.expand(2, 3))
    handle.extract()
    assert torch.count_nonzero(layer.weight) == 0


@pytest.mark.parametrize("kind", THRESHOLDS)
@pytest.mark.parametrize("frozen", ["not", "thresholds", "mask"])
def test_extract_gives_bit_equal_outputs_and_leaves_plain_layers(kind, frozen):
    net, keys = model(), list(model().state_dict())
    kinds = [type(layer) for layer in net]
    handle = sparsify(net, threshold=kind, s_init=-3.0)
    net.eval()
    out, parameter = net(IMAGE), net[5].dense
    if frozen != "not":
        handle.freeze(mask=frozen == "mask")
    assert torch.equal(net(IMAGE), out)
    zeros = handle.sparsity()
    assert handle.extract() is net
    assert handle.extract() is net
    assert torch.equal(net(IMAGE), out)
    assert net[5].weight is parameter
    assert list(net.state_dict()) == keys
    assert [type(layer) for layer in net] == kinds
    assert {key for layer in net for key in vars(layer)} == {key for layer in model()
                                                             for key in vars(layer)}
    assert 0 < zeros == handle.sparsity()
    assert not torch.signbit(net[5].weight[net[5].weight == 0]).any()
    for late in (handle.freeze, handle.thresholds):
        with pytest.raises(UnsupportedModel, match="plain ones"):
            late()


def test_extracting_a_copy_leaves_the_original_in_training():
    net = model()
    sparsify(net, s_init=-3.0)
    twin = copy.deepcopy(net)
    handle = sparsify(model(), s_init=-3.0)
    handle.module, handle.layers = twin, {i: twin.get_submodule(i) for i in ("0", "5", "8")}
    handle.extract()
    assert type(net[5]) is STRLinear
    assert torch.equal(net.eval()(IMAGE), twin.eval()(IMAGE))


def batches(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(16, 1, 8, 8, generator=generator),
             torch.randint(10, (16,), generator=generator)) for _ in range(n)]


def step(net, optimizer, x, y):
    optimizer.zero_grad()
    F.cross_entropy(net(x), y).backward()
    optimizer.step()


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_frozen_thresholds_stay_whatever_the_optimizer_remembers(kind):
    net = model()
    handle = sparsify(net, s_init=-3.0)
    momentum = {"momentum": 0.9} if kind is torch.optim.SGD else {}
    optimizer = kind(handle.parameter_groups(0.05, 1e-3, 0.1), **momentum)
    for x, y in batches(3):
        step(net, optimizer, x, y)
    before = handle.thresholds()
    assert before["5"] != torch.sigmoid(torch.tensor(-3.0))
    handle.freeze()
    weights = net[5].dense.detach().clone()
    for x, y in batches(3):
        step(net, optimizer, x, y)
    assert before == handle.thresholds()
    assert not torch.equal(weights, net[5].dense)


def test_a_fixed_mask_keeps_the_budget_and_lets_the_kept_weights_learn():
    net = model()
    handle = sparsify(net, s_init=-3.0)
    optimizer = torch.optim.SGD(handle.parameter_groups(0.05, 1e-2, 0.1), momentum=0.9)
    for x, y in batches(3):
        step(net, optimizer, x, y)
    net.eval()
    out = net(IMAGE)
    handle.freeze(mask=True)
    assert torch.equal(net(IMAGE), out)
    zeros = {name: layer.weight == 0 for name, layer in handle.layers.items()}
    report, weight = handle.report(IMAGE), net[5].weight.detach().clone()
    for x, y in batches(10):
        step(net, optimizer, x, y)
    handle.freeze(mask=True)
    assert handle.report(IMAGE) == report
    assert all(torch.equal(zeros[name], layer.weight == 0)
               for name, layer in handle.layers.items())
    assert not torch.equal(weight, net[5].weight)


# --- training ----------------------------------------------------------------------------------


def test_the_decay_of_thresholds_drives_sparsity_up():
    found = []
    for decay in (0.0, 0.02, 0.1):
        net = model()
        handle = sparsify(net, s_init=-5.0)
        optimizer = torch.optim.SGD(handle.parameter_groups(0.1, 5e-4, decay), momentum=0.9)
        for x, y in batches(60):
            step(net, optimizer, x, y)
        found.append(handle.sparsity())
    assert found[0] < found[1] < found[2]
    assert found[2] > 0.5


@pytest.mark.parametrize("kind", THRESHOLDS)
def test_digits_are_learnt_while_the_model_becomes_sparse(kind):
    images, labels = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    y = torch.tensor(labels)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 32),
                        nn.ReLU(), nn.Linear(32, 10))
    handle = sparsify(net, threshold=kind)
    optimizer = torch.optim.SGD(handle.parameter_groups(0.1, 1e-4, 0.03), momentum=0.9)
    order = torch.Generator().manual_seed(0)
    sparsity = [handle.sparsity()]
    for _ in range(6):
        for rows in torch.randperm(1400, generator=order).split(64):
            step(net, optimizer, x[rows], y[rows])
        sparsity.append(handle.sparsity())
    assert sparsity[-1] > 0.5
    assert sparsity[-1] > sparsity[0]
    handle.freeze(mask=True)
    handle.extract()
    accuracy = (net(x[1400:]).argmax(1) == y[1400:]).float().mean()
    assert accuracy > 0.8
