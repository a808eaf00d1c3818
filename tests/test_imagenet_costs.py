"""What ResNet-50 and MobileNetV1 cost: the published counts, from shapes alone."""

from __future__ import annotations

import csv
import math
from fractions import Fraction

import pytest
from str_budgets import kept_by, layers_of, table

from edge_sdk.errors import CheckpointError, ShapeError

torch = pytest.importorskip("torch")

from edge_sdk.importers.imagenet import (  # noqa: E402
    MOBILENET_V1,
    RESNET50,
    Architecture,
    build,
    model_cost,
)
from edge_sdk.nn.budgets import total_cost  # noqa: E402
from edge_sdk.nn.counting import count_macs  # noqa: E402

RESNET = Architecture("resnet", 4, (1, 2, 1, 1), classes=5)
MOBILENET = Architecture("mobilenetv1", 4, classes=5)
SMALL = pytest.mark.parametrize("architecture", [RESNET, MOBILENET], ids=lambda a: a.kind)


def test_every_row_of_the_published_table_is_reproduced(data_root):
    rows = table(data_root)
    whole, backbone, pool = rows[0], rows[1], rows[-1]
    cost = model_cost(RESNET50)
    assert [(row.name, row.parameters, row.macs) for row in cost.layers] == [
        (name, int(row[1]), int(row[2])) for name, row in layers_of(rows).items()]
    assert (cost.total.parameters, cost.total.macs) == (int(whole[1]), int(whole[2]))
    assert (cost.total.parameters, cost.total.macs) == (25_502_912, 4_089_284_608)
    assert (cost.pool.parameters, cost.pool.macs) == (int(pool[1]), int(pool[2])) == (0, 100_352)
    body = cost.layers[:-1]
    assert sum(row.parameters for row in body) == int(backbone[1])
    assert sum(row.macs for row in body) == int(backbone[2])


# Millions of multiply-accumulates by overall sparsity, as the authors' repository says.
PUBLISHED_MACS = {"81.27": 705, "90.23": 343, "95.15": 162, "96.53": 117, "98.05": 73, "98.98": 47}


@pytest.mark.parametrize("column", range(3, 19))
def test_every_published_overall_sparsity_follows_from_its_layers(data_root, column):
    rows = table(data_root)
    kept = kept_by(rows, column)
    cost = model_cost(RESNET50, kept=kept)
    for wanted, part in ((rows[0], cost.total), (rows[1], total_cost(cost.layers[:-1]))):
        zeros, exact = 100 * part.sparsity, f"{float(wanted[column]):.2f}"
        # Layers are published to 0.01 %. Of all these sums one, 95.024 %, is 0.001 % short of
        # being rounded to what is published, 95.03 %.
        assert f"{zeros:.2f}" == exact or (exact == "95.03" and f"{zeros + 0.0011:.2f}" == exact)
    assert cost.total.macs_kept == 100_352 + sum(
        kept[name] * (int(row[2]) // int(row[1])) for name, row in layers_of(rows).items())
    published = PUBLISHED_MACS.get(rows[0][column])
    assert published is None or round(cost.total.macs_kept / 1e6) == published


def test_every_published_count_of_macs_belongs_to_a_column(data_root):
    assert PUBLISHED_MACS.keys() <= set(table(data_root)[0])


# In all, in percent: what the layers of the published table add up to.
NINETY = {"STR": "90.23", "Uniform": "90.00", "ERK": "90.07", "SNFS": "90.06", "VD": "90.27",
          "GS": "89.54"}


@pytest.mark.parametrize("method", NINETY)
def test_the_published_budgets_of_ninety_percent_add_up(data_root, method):
    path = data_root / "conformance/str/SparsityDistributions_90_ResNet50.csv"
    rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    dense = model_cost(RESNET50)
    kept = {layer.name: round(layer.parameters * (1 - Fraction(row[method].rstrip("%")) / 100))
            for layer, row in zip(dense.layers, rows, strict=True)}
    assert f"{100 * model_cost(RESNET50, kept=kept).total.sparsity:.2f}" == NINETY[method]
    if method == "STR":
        big = table(data_root)
        both = kept_by(big, big[0].index("90.23"))
        assert both == kept


def test_mobilenets_dense_counts_are_the_published_4_21_and_569_million():
    total = model_cost(MOBILENET_V1).total
    assert (total.parameters, total.macs) == (4_209_088, 568_740_352 + 1024 * 7 * 7)


@SMALL
@pytest.mark.parametrize("size", [(32, 32), (31, 77), (1, 1)])
def test_macs_of_any_input_are_those_that_torch_counts_and_the_pool(architecture, size):
    cost = model_cost(architecture, input_size=size)
    counted = count_macs(build(architecture), torch.zeros(1, 3, *size))
    assert cost.total.macs == counted + cost.pool.macs
    assert cost.pool.macs == math.prod(math.ceil(n / 32) for n in size) * 128


@pytest.mark.parametrize("size", [0, -3, (0, 4), (3, 4, 5)])
def test_an_input_without_pixels_is_refused(size):
    with pytest.raises(ShapeError, match="height and width"):
        model_cost(RESNET, input_size=size)


def test_counts_of_other_layers_or_beyond_them_are_refused():
    kept = {row.name: row.kept for row in model_cost(RESNET).layers}
    with pytest.raises(CheckpointError, match=r"missing fc, extra head"):
        model_cost(RESNET, kept={**{n: k for n, k in kept.items() if n != "fc"}, "head": 1})
    with pytest.raises(ShapeError):
        model_cost(RESNET, kept=kept | {"conv1": kept["conv1"] + 1})
