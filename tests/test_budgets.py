"""What layers cost with and without their zeros, against counts by hand, torch and a paper."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edge_sdk.errors import BudgetError, FormatError, OutputError, ShapeError, UnsupportedModel
from edge_sdk.nn.budgets import (
    LayerCost,
    average_pool_cost,
    check_budget,
    conv2d_output,
    count_layers,
    layer_cost,
    read_budget,
    select_layers,
    total_cost,
    weight_layers,
    write_budget,
)
from edge_sdk.nn.counting import count_macs
from edge_sdk.nn.matformer import NestedFFN, NestedGLU, extract, use_widths

FAST = settings(deadline=None, max_examples=30)


def slow_conv_uses(image, weight, stride, padding, groups):
    """Count a convolution's multiplications one by one: (all, those by weights not zero)."""
    n, _, height, width = image
    out, _, kh, kw = weight.shape
    rows = (height + 2 * padding - kh) // stride + 1
    columns = (width + 2 * padding - kw) // stride + 1
    every = kept = 0
    for _ in range(n * rows * columns):
        for channel in range(out):
            for value in weight[channel].flat:
                every += 1
                kept += value != 0
    assert weight.shape[0] % groups == 0
    return every, kept


def only(costs):
    (cost,) = costs
    return cost


@FAST
@given(data=st.data())
def test_a_convolution_costs_what_counting_one_by_one_says(data):
    groups = data.draw(st.sampled_from([1, 2, 4]))
    kernel, stride, padding = (data.draw(st.integers(a, b)) for a, b in ((1, 3), (1, 2), (0, 2)))
    n, height, width = (data.draw(st.integers(a, 6)) for a in (1, 3, 3))
    layer = nn.Conv2d(4, 4, kernel, stride, padding, groups=groups)
    with torch.no_grad():
        layer.weight.mul_(torch.rand(layer.weight.shape) < 0.5)
    cost = only(count_layers(layer, torch.randn(n, 4, height, width)))
    expected = slow_conv_uses((n, 4, height, width), layer.weight.detach().numpy(), stride,
                              padding, groups)
    assert (cost.macs, cost.macs_kept) == expected
    out = conv2d_output(height, width, kernel=(kernel, kernel), stride=(stride, stride),
                        padding=(padding, padding))
    assert cost == layer_cost("", layer.weight.shape, positions=n * math.prod(out),
                              kept=cost.kept)


@FAST
@given(size=st.tuples(*[st.integers(4, 30)] * 2), kernel=st.tuples(*[st.integers(1, 3)] * 2),
       stride=st.tuples(*[st.integers(1, 3)] * 2), padding=st.tuples(*[st.integers(0, 2)] * 2),
       dilation=st.tuples(*[st.integers(1, 2)] * 2))
def test_the_output_of_a_convolution_is_as_large_as_torch_says(size, kernel, stride, padding,
                                                               dilation):
    shape = {"height": size[0], "width": size[1], "kernel": kernel, "stride": stride,
             "padding": padding, "dilation": dilation}
    if any(n + 2 * p < d * (k - 1) + 1
           for n, p, d, k in zip(size, padding, dilation, kernel, strict=True)):
        with pytest.raises(ShapeError):
            conv2d_output(**shape)
        return
    out = F.conv2d(torch.zeros(1, 1, *size), torch.zeros(1, 1, *kernel), None, stride, padding,
                   dilation)
    assert conv2d_output(**shape) == tuple(out.shape[2:])


def test_a_kernel_larger_than_the_image_is_an_error():
    with pytest.raises(ShapeError, match="2 x 9"):
        conv2d_output(2, 9, kernel=(3, 3))


@pytest.mark.parametrize("shape", [(7,), (2, 7), (2, 5, 7), (2, 3, 5, 7)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_costs_its_kept_weights_for_each_token(shape, bias):
    layer = nn.Linear(7, 3, bias=bias)
    with torch.no_grad():
        layer.weight[0, :5] = 0.0
    tokens = math.prod(shape[:-1])
    for x in (torch.randn(shape), torch.randn(shape[::-1]).permute(*range(len(shape))[::-1])):
        cost = only(count_layers(layer, x))
        assert cost == LayerCost("", (3, 7), 21, 16, 21 * tokens, 16 * tokens)


def test_transposed_operands_and_a_layer_that_runs_twice_are_counted():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.unused = nn.Linear(4, 6), nn.Linear(5, 5)

        def forward(self, x):
            return self.layer.weight @ x.T @ self.layer(x)

    rows = {row.name: row for row in count_layers(Odd(), torch.randn(3, 4))}
    assert rows["layer"].macs == 2 * 24 * 3
    assert (rows["unused"].macs, rows["unused"].parameters) == (0, 25)


def test_without_attention_the_layers_sum_to_what_torch_counts():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
                          nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(8 * 36, 5))
    model.train()
    model[1].eval()
    x = torch.randn(2, 3, 8, 8)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert total_cost(count_layers(model, x)).macs == count_macs(copy.deepcopy(model), x)
    assert model.training
    assert not model[1].training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_attention_of_torch_shows_its_projections():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    rows = {row.name: row.macs for row in count_layers(layer, torch.randn(2, 5, 16))}
    assert rows == {"self_attn.out_proj": 2560, "linear1": 5120, "linear2": 5120}


@pytest.mark.parametrize("ffn", [
    NestedFFN(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 6)),
    NestedGLU(nn.Linear(6, 16, bias=False), nn.Linear(6, 16), nn.SiLU(), nn.Linear(16, 6)),
])
def test_a_nested_ffn_costs_the_macs_of_its_current_width(ffn):
    x = torch.randn(2, 3, 6)
    with torch.no_grad():
        for layer in weight_layers(ffn).values():
            layer.weight.mul_(torch.rand(layer.weight.shape) < 0.5)
    with use_widths(ffn, [4]):
        nested = total_cost(count_layers(ffn, x))
    small = total_cost(count_layers(extract(nn.Sequential(ffn), [4]), x))
    assert (nested.macs, nested.macs_kept) == (small.macs, small.macs_kept)
    assert nested.parameters == 4 * small.parameters


def test_a_count_without_a_sample_knows_no_macs():
    cost = only(count_layers(nn.Linear(2, 3)))
    assert (cost.macs, cost.macs_kept, cost.parameters) == (None, None, 6)
    assert total_cost([cost, layer_cost("b", (2, 2), positions=3)]).macs is None


def test_weights_computed_at_each_use_are_an_error():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))
    with pytest.raises(UnsupportedModel, match="computed at each use"):
        count_layers(layer)
    with pytest.raises(UnsupportedModel, match="computed at each use"):
        select_layers(layer, None)


# --- ResNet-50, from shapes alone ---------------------------------------------------------


def resnet50():
    """Yield the cost of each layer of ResNet-50 at 224 x 224, and of its average pool."""
    def conv(name, inputs, outputs, kernel, stride, side):
        shape = {"kernel": (kernel, kernel), "stride": (stride, stride),
                 "padding": (kernel // 2, kernel // 2)}
        out = conv2d_output(side, side, **shape)
        return layer_cost(name, (outputs, inputs, kernel, kernel), positions=math.prod(out)), out[0]

    cost, side = conv("conv1", 3, 64, 7, 2, 224)
    yield cost
    side, inputs = side // 2, 64
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
        for block in range(blocks):
            stride, name = 2 if stage > 1 and block == 0 else 1, f"layer{stage}.{block}"
            cost, _ = conv(f"{name}.conv1", inputs, width, 1, 1, side)
            yield cost
            cost, small = conv(f"{name}.conv2", width, width, 3, stride, side)
            yield cost
            cost, _ = conv(f"{name}.conv3", width, 4 * width, 1, 1, small)
            yield cost
            if block == 0:
                yield conv(f"{name}.downsample.0", inputs, 4 * width, 1, stride, side)[0]
            inputs, side = 4 * width, small
    yield average_pool_cost("average pool", inputs, side, side)
    yield layer_cost("fc", (1000, inputs, 1, 1), positions=1)


def test_resnet50_has_the_published_parameters_and_macs():
    rows = list(resnet50())
    total = total_cost(rows)
    assert len(rows) == 55
    # The paper's repository, table of budgets: "Overall".
    assert (total.parameters, total.macs) == (25_502_912, 4_089_284_608)
    backbone = total_cost(row for row in rows if row.name not in ("fc", "average pool"))
    assert (backbone.parameters, backbone.macs) == (23_454_912, 4_087_136_256)


# --- budgets --------------------------------------------------------------------------------


def model():
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))


@FAST
@given(rows=st.lists(st.tuples(st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")),
                                       max_size=6),
                               st.integers(0, 10**12), st.floats(0, 1),
                               st.none() | st.integers(0, 1000)),
                     unique_by=lambda row: row[0], max_size=5))
def test_a_written_budget_reads_back_the_same(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("budget") / "b.csv"
    costs = [layer_cost(name, (n,), kept=round(n * part), positions=positions)
             for name, n, part, positions in rows]
    write_budget(path, costs)
    read = read_budget(path)
    assert list(read) == [row[0] for row in rows]
    for cost in costs:
        assert read[cost.name].sparsity == cost.sparsity
        assert (read[cost.name].kept, read[cost.name].macs) == (cost.kept, cost.macs)
        if cost.macs is not None and cost.parameters:
            assert read[cost.name].macs_kept == cost.macs_kept


def test_a_budget_file_is_plain_csv(tmp_path):
    path = tmp_path / "b.csv"
    write_budget(path, [layer_cost("stem", (4, 2), kept=3, positions=10), layer_cost("a,b", (2,))])
    assert path.read_text() == ('name,parameters,kept,sparsity,macs\nstem,8,3,0.625000,80\n'
                                '"a,b",2,2,0.000000,\n')


@pytest.mark.parametrize(("text", "where"), [
    ("", "columns"),
    ("name,kept\na,1\n", "columns"),
    ("a,4,5,-0.25,\n", "line 2"),          # more kept than there are
    ("a,4,-1,1.25,\n", "line 2"),
    ("a,4,1,0.5,\n", "line 2"),            # the sparsity is another one
    ("a,4,1,nan,\n", "line 2"),
    ("a,4,1,0.75,-8\n", "line 2"),
    ("a,4,1\n", "line 2"),
    ("a,four,1,0.75,\n", "line 2"),
    ("a,4,1,0.75,\na,4,1,0.75,\n", "line 3"),
    ("\n", "line 2"),
])
def test_a_damaged_budget_file_names_its_line(tmp_path, text, where):
    path = tmp_path / "b.csv"
    path.write_text(text if where == "columns" else "name,parameters,kept,sparsity,macs\n" + text)
    with pytest.raises(FormatError, match=where):
        read_budget(path)


def test_bytes_that_are_no_text_are_a_format_error(tmp_path):
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError):
        read_budget(tmp_path / "b.csv")


def test_files_that_can_not_be_opened_are_errors(tmp_path):
    with pytest.raises(BudgetError, match="a budget file"):
        read_budget(tmp_path / "none.csv")
    with pytest.raises(OutputError):
        write_budget(tmp_path / "none" / "b.csv", [])
    with pytest.raises(BudgetError, match="twice"):
        write_budget(tmp_path / "b.csv", [layer_cost("a", (2,))] * 2)


@pytest.mark.parametrize(("budget", "message"), [
    ({"0": 0.5}, "not in the budget: '2'"),
    ({"0": 0.5, "2": 0.5, "head": 0.1}, "not in the model: 'head'"),
    ({}, "not in the budget: '0', '2'"),
    ({"0": 0.5, "2": 1.5}, "1.5"),
    ({"0": 0.5, "2": -0.1}, "-0.1"),
    ({"0": 0.5, "2": math.nan}, "nan"),
    ({"0": 0.5, "2": "half"}, "half"),
    ({"0": 0.5, "2": LayerCost("2", None, 11, 3)}, "3 of 11"),
    ({"0": 0.5, "2": LayerCost("2", None, 10, 11)}, "11 of 10"),
])
def test_a_budget_of_another_model_is_an_error(budget, message):
    with pytest.raises(BudgetError, match=message):
        check_budget(budget, select_layers(model(), None))


def test_a_budget_gives_whole_numbers_of_weights():
    layers = select_layers(model(), None)
    budget = {"2": LayerCost("2", None, 10, 0), "0": 0.33}
    assert check_budget(budget, layers) == {"0": 20 - 7, "2": 0}
    assert check_budget({"0": 1, "2": 0}, layers) == {"0": 0, "2": 10}


@pytest.mark.parametrize(("shape", "kept", "positions"), [((2, 3), 7, 1), ((2, 3), -1, 1),
                                                          ((2, 3), 1, -1), ((-2, -3), 1, 1)])
def test_impossible_counts_are_an_error(shape, kept, positions):
    with pytest.raises(ShapeError):
        layer_cost("a", shape, kept=kept, positions=positions)


def test_sparsity_is_the_fraction_of_zeros():
    weight = np.array([[0.0, 1.0], [0.0, 0.0]])
    cost = layer_cost("a", weight.shape, kept=int(np.count_nonzero(weight)))
    assert cost.sparsity == 0.75
    assert average_pool_cost("pool", 2, 3, 3).sparsity == 0.0
