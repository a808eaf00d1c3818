"""Gradual magnitude pruning: exact counts, the paper's schedule, and what may return."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edge_sdk.errors import BudgetError, CheckpointError, ShapeError, UnsupportedModel
from edge_sdk.nn.budgets import LayerCost, read_budget, write_budget
from edge_sdk.nn.magnitude import MagnitudePruning, largest
from edge_sdk.nn.str_sparsity import sparsify

FAST = settings(deadline=None, max_examples=40)


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4), nn.Flatten(),
                         nn.Linear(64, 10))


def train(net, pruning, n_steps, *, lr=0.1, momentum=0.9, weight_decay=1e-2, each=None):
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.SGD(net.parameters(), lr, momentum=momentum,
                                weight_decay=weight_decay)
    for _ in range(n_steps):
        x = torch.randn(8, 1, 8, 8, generator=generator)
        y = torch.randint(10, (8,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        pruning.after_step()
        if each is not None:
            each()


@FAST
@given(values=st.lists(st.integers(-3, 3), min_size=1, max_size=30), data=st.data())
def test_the_largest_are_kept_and_of_equal_ones_the_lower_index(values, data):
    kept = data.draw(st.integers(0, len(values)))
    sizes = np.abs(values)
    order = sorted(range(len(values)), key=lambda i: (-sizes[i], i))
    expected = np.isin(np.arange(len(values)), order[:kept])
    found = largest(torch.tensor(sizes, dtype=torch.float32), kept)
    assert found.tolist() == expected.tolist()


@FAST
@given(sparsity=st.floats(0, 1, exclude_max=True), start=st.integers(0, 5), more=st.integers(0, 9),
       every=st.integers(1, 7))
def test_the_final_sparsity_is_hit_to_the_entry(sparsity, start, more, every):
    net = model()
    end = max(1, start + more)
    pruning = MagnitudePruning(net, sparsity=sparsity, start_step=start, end_step=end, every=every)
    train(net, pruning, end + 1)
    for name, n in (("0", 36), ("4", 640)):
        weight = net.get_submodule(name).weight
        assert int((weight == 0).sum()) == round(sparsity * n)
    assert int((net[2].weight == 0).sum()) == 0  # depthwise: left alone by default


@FAST
@given(sparsity=st.floats(0, 1, exclude_max=True))
def test_a_global_sparsity_is_one_ranking_of_all_layers(sparsity):
    net = model()
    with torch.no_grad():
        net[0].weight.mul_(0.3)
    sizes = np.abs(np.concatenate([net[i].weight.detach().numpy().ravel() for i in (0, 4)]))
    pruned = round(sparsity * len(sizes))
    expected = np.ones(len(sizes), bool)
    expected[np.argsort(-sizes, kind="stable")[len(sizes) - pruned:]] = False
    pruning = MagnitudePruning(net, sparsity=sparsity, scope="global", end_step=1)
    pruning.after_step()
    found = np.concatenate([net[i].weight.detach().numpy().ravel() for i in (0, 4)]) != 0
    assert found.tolist() == expected.tolist()


def test_the_schedule_is_the_papers_cubic():
    net = nn.Linear(100, 100)
    pruning = MagnitudePruning(net, sparsity=0.8, start_step=10, end_step=50, every=10)
    seen = []
    for _ in range(60):
        pruning.after_step()
        seen.append(round(pruning.sparsity() * 10000))
    assert seen[:19] == [0] * 19
    for step, found in enumerate(seen, 1):
        due = min(max(step // 10 * 10, 10), 50)
        assert found == round(8000 * (1 - (1 - (due - 10) / 40) ** 3))
    assert seen[-1] == 8000


def test_the_end_of_a_schedule_that_every_does_not_divide_is_still_reached():
    net = nn.Linear(10, 10)
    pruning = MagnitudePruning(net, sparsity=0.5, start_step=1, end_step=9, every=5)
    for _ in range(9):
        pruning.after_step()
    assert pruning.sparsity() == 0.5


def test_pruned_weights_are_held_and_may_return_with_their_old_value():
    net = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    pruning = MagnitudePruning(net, sparsity=0.25, end_step=3)
    pruning.after_step()
    pruning.after_step()
    assert net.weight.tolist() == [[0.0, 2.0, 3.0, 4.0]]
    with torch.no_grad():
        net.weight[0, 0] = 100.0  # an optimizer's momentum, say: a pruned weight is not updated
        net.weight[0, 2] = 0.5
    pruning.after_step()
    assert net.weight.tolist() == [[1.0, 2.0, 0.0, 4.0]]


def test_after_the_last_step_no_weight_returns():
    net = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    pruning = MagnitudePruning(net, sparsity=0.25, end_step=1)
    pruning.after_step()
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[9.0, 1e-3, 1e-3, 1e-3]]))
    for _ in range(3):
        pruning.after_step()
    assert net.weight[0, 0] == 0.0
    assert int((net.weight != 0).sum()) == 3


def test_pruned_weights_get_no_gradient_and_others_get_theirs():
    net, dense = nn.Linear(6, 3), None
    pruning = MagnitudePruning(net, sparsity=0.5, end_step=1)
    pruning.after_step()
    dense = copy.deepcopy(net)
    x = torch.randn(4, 6)
    for layer in (net, dense):
        layer(x).square().sum().backward()
    mask = pruning.masks[""]
    assert not mask.all()
    assert torch.equal(net.weight.grad, dense.weight.grad * mask)
    assert torch.equal(net.bias.grad, dense.bias.grad)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_once_the_schedule_ended_training_keeps_the_zeros(scope):
    net = model()
    pruning = MagnitudePruning(net, sparsity=0.7, scope=scope, end_step=6, every=2)
    train(net, pruning, 6)
    masks = {name: mask.clone() for name, mask in pruning.masks.items()}
    before = net[4].weight.detach().clone()
    train(net, pruning, 5, each=lambda: [
        pytest.fail("a zero moved") for name, mask in masks.items()
        if net.get_submodule(name).weight[~mask].any()])
    assert all(torch.equal(masks[name], mask) for name, mask in pruning.masks.items())
    assert not torch.equal(before, net[4].weight)


def test_zeros_are_positive_zeros():
    net = model()
    train(net, MagnitudePruning(net, sparsity=0.9, end_step=2), 3)
    zeros = net[4].weight[net[4].weight == 0]
    assert not torch.signbit(zeros).any()


def test_extract_leaves_nothing_of_the_pruning():
    net = model()
    keys = list(net.state_dict())
    pruning = MagnitudePruning(net, sparsity=0.5, end_step=2)
    train(net, pruning, 3)
    x = torch.randn(2, 1, 8, 8)
    out = net(x)
    assert pruning.extract() is net
    assert pruning.extract() is net
    assert torch.equal(net(x), out)
    assert list(net.state_dict()) == keys
    assert [type(layer) for layer in net] == [type(layer) for layer in model()]
    net(x).square().sum().backward()
    assert net[4].weight.grad[net[4].weight == 0].any()  # gradients are no longer masked
    with pytest.raises(UnsupportedModel, match="extracted"):
        pruning.after_step()


def test_extract_before_the_first_step_leaves_the_model_dense():
    net = model()
    before = copy.deepcopy(net.state_dict())
    MagnitudePruning(net, sparsity=0.5, start_step=3, end_step=9).extract()
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_a_budget_learnt_by_thresholds_is_pruned_to_exactly(tmp_path):
    learnt, net = model(), model()
    handle = sparsify(learnt, s_init=-2.5)
    write_budget(tmp_path / "b.csv", handle.report(torch.randn(1, 1, 8, 8)))
    budget = read_budget(tmp_path / "b.csv")
    assert 0 < handle.sparsity() < 1
    pruning = MagnitudePruning(net, budget=budget, end_step=4)
    train(net, pruning, 4)
    assert {row.name: row.kept for row in pruning.report()} == {
        name: row.kept for name, row in budget.items()}


def test_a_layer_may_lose_all_its_weights():
    net = model()
    budget = {"0": 0.0, "4": LayerCost("4", None, 640, 0)}
    pruning = MagnitudePruning(net, budget=budget, end_step=1)
    pruning.after_step()
    first, last = pruning.report(torch.randn(1, 1, 8, 8))
    assert (first.sparsity, last.sparsity) == (0.0, 1.0)
    assert (last.macs, last.macs_kept) == (640, 0)
    assert torch.equal(net(torch.randn(1, 1, 8, 8))[0], net[4].bias)


def test_one_may_choose_the_layers():
    net = model()
    pruning = MagnitudePruning(net, sparsity=0.5, end_step=1, where=lambda name, _: name == "2")
    assert list(pruning.layers) == ["2"]
    pruning.after_step()
    assert [int((net[i].weight == 0).sum()) for i in (0, 2, 4)] == [0, 18, 0]


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 2, float("nan")])
def test_a_sparsity_out_of_range_is_an_error(sparsity):
    with pytest.raises(BudgetError, match=r"\[0, 1\)"):
        MagnitudePruning(model(), sparsity=sparsity, end_step=1)


@pytest.mark.parametrize(("options", "error"), [
    ({}, BudgetError),
    ({"sparsity": 0.5, "budget": {"0": 0.5, "4": 0.5}}, BudgetError),
    ({"budget": {"0": 0.5}}, BudgetError),
    ({"budget": {"0": 0.5, "4": 0.5, "5": 0.5}}, BudgetError),
    ({"budget": {"0": 0.5, "4": 0.5}, "scope": "global"}, UnsupportedModel),
    ({"sparsity": 0.5, "scope": "filter"}, UnsupportedModel),
    ({"sparsity": 0.5, "where": lambda name, layer: False}, UnsupportedModel),
    ({"sparsity": 0.5, "every": 0}, ShapeError),
    ({"sparsity": 0.5, "start_step": 6}, ShapeError),
    ({"sparsity": 0.5, "start_step": -1}, ShapeError),
    ({"sparsity": 0.5, "end_step": 0}, ShapeError),
])
def test_a_plan_that_makes_no_sense_is_an_error(options, error):
    with pytest.raises(error):
        MagnitudePruning(model(), **{"end_step": 5, **options})


def test_weights_that_are_not_finite_are_an_error_before_and_during_the_pruning():
    net = model()
    pruning = MagnitudePruning(net, sparsity=0.5, end_step=2)
    with torch.no_grad():
        net[4].weight[0, 0] = float("nan")
    with pytest.raises(CheckpointError, match=r"4\.weight"):
        pruning.after_step()
    with pytest.raises(CheckpointError, match=r"4\.weight"):
        MagnitudePruning(net, sparsity=0.5, end_step=2)


def test_thresholded_layers_are_not_pruned_as_well():
    net = model()
    sparsify(net)
    with pytest.raises(UnsupportedModel, match="computed at each use"):
        MagnitudePruning(net, sparsity=0.5, end_step=2)
