"""Choosing a Mix'n'Match for a budget: the frontier, its exact costs, and the file at the end."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import tiny  # noqa: E402
from torch import nn  # noqa: E402

from edge_sdk.artifact import SUFFIX, open_artifact  # noqa: E402
from edge_sdk.errors import BudgetError, UnsupportedModel  # noqa: E402
from edge_sdk.fit import (  # noqa: E402
    Divergence,
    LinearCost,
    choose,
    count_cost,
    export_fitting,
    frontier,
)
from edge_sdk.nn.counting import count_macs, count_parameters  # noqa: E402
from edge_sdk.nn.matformer import NestedGLU, extract  # noqa: E402
from edge_sdk.prove import Limits  # noqa: E402
from edge_sdk.source import Source  # noqa: E402

MIXES = list(itertools.product((8, 16, 32, 64), repeat=2))


@pytest.fixture(scope="module")
def source():
    return tiny.source()


@pytest.fixture(scope="module")
def divergence(source):
    return Divergence(source)


@pytest.fixture(scope="module")
def macs(source):
    return count_cost(source, lambda model: count_macs(model, source.sample))


# --- the frontier ----------------------------------------------------------------------


@st.composite
def problems(draw):
    """Whole numbers, so that sums are exact and ties are ties."""
    n_layers = draw(st.integers(1, 4))
    penalty = st.integers(0, 6).map(float)
    penalties = [
        draw(st.dictionaries(st.integers(1, 9), penalty, min_size=1, max_size=4))
        for _ in range(n_layers)]
    slopes = tuple(float(draw(st.integers(0, 5))) for _ in range(n_layers))
    budget = draw(st.one_of(st.just(math.inf), st.integers(0, 120).map(float)))
    return penalties, LinearCost(float(draw(st.integers(0, 20))), slopes), budget


def pareto_by_enumeration(penalties, cost, budget):
    """Return the oracle's (cost, penalty) pairs: every mix is tried."""
    pairs = {(cost(mix), sum(layer[w] for layer, w in zip(penalties, mix, strict=True)))
             for mix in itertools.product(*penalties)}
    pairs = {pair for pair in pairs if pair[0] <= budget}
    return sorted(pair for pair in pairs if not any(
        other != pair and other[0] <= pair[0] and other[1] <= pair[1] for other in pairs))


@settings(max_examples=300, deadline=None)
@given(problems())
def test_the_frontier_is_that_of_trying_every_mix(problem):
    penalties, cost, budget = problem
    found = frontier(penalties, cost, budget)
    assert [(c, p) for c, p, _ in found] == pareto_by_enumeration(*problem)
    for c, p, mix in found:
        assert c == cost(mix) <= budget
        assert p == sum(layer[w] for layer, w in zip(penalties, mix, strict=True))


def test_a_frontier_without_an_affordable_mix_is_empty():
    assert frontier([{4: 0.0}, {4: 0.0}], LinearCost(1.0, (1.0, 1.0)), 8.5) == []


# --- costs -----------------------------------------------------------------------------


def glu_source() -> Source:
    model = tiny.untrained()
    for block in model.blocks:
        block.ffn = NestedGLU(nn.Linear(16, 64, bias=False), nn.Linear(16, 64), nn.SiLU(),
                              nn.Linear(64, 16))
    images = tiny.cases(2, seed=1)[0].numpy()
    return Source("glu", model.eval(), {"image": images}, "patterns", calibration={"image": images})


@pytest.mark.parametrize("build", [tiny.source, glu_source])
def test_counted_costs_are_exact_for_widths_that_were_never_counted(build):
    source = build()
    counts = {"parameters": count_parameters,
              "macs": lambda model: count_macs(model, source.sample)}
    for name, count in counts.items():
        cost = count_cost(source, count)
        for widths in np.random.default_rng(0).integers(1, 65, (12, 2)).tolist():
            assert cost(widths) == count(extract(source.model, widths)), (name, widths)


def test_a_scaled_cost_is_the_scaled_value():
    cost = LinearCost(3.0, (2.0, 5.0))
    assert cost((1, 10)) == 55.0
    assert cost.scaled(2.0, -1.0)((1, 10)) == 109.0


# --- the choice ------------------------------------------------------------------------


def test_the_universal_model_has_no_divergence_from_itself_and_every_cut_has_some(divergence):
    assert divergence((64, 64)) == 0.0
    assert all(divergence(mix) > 0.0 for mix in MIXES if mix != (64, 64))


def test_a_divergence_is_the_mean_kl_of_the_class_probabilities(source, divergence):
    images = source.calibration["image"]
    log_p, log_q = (torch.from_numpy(tiny.logits(widths, images)).double().log_softmax(-1)
                    for widths in ((64, 64), (8, 32)))
    want = nn.functional.kl_div(log_q, log_p, log_target=True, reduction="batchmean")
    assert divergence((8, 32)) == pytest.approx(float(want), rel=1e-6)


def test_a_choice_is_within_its_budget_and_no_worse_than_the_largest_uniform_one(
    source, divergence, macs,
):
    lowest, highest = macs((8, 8)), macs((64, 64))
    chosen = set()
    for budget in np.linspace(lowest, highest * 1.1, 25):
        granularity, choice = choose(source, divergence, macs, float(budget), words="MACs")
        uniform = max((w for w in tiny.TRAINED.values() if macs(w) <= budget), key=macs)
        assert choice.cost == macs(granularity.widths) <= budget
        assert choice.widths == granularity.widths in MIXES
        assert tiny.TRAINED[choice.uniform] == uniform
        assert choice.divergence == divergence(choice.widths) <= divergence(uniform)
        chosen.add(choice.widths)
    assert len(chosen) > 4  # mixes, too


def test_a_budget_for_everything_buys_the_universal_model(source, divergence, macs):
    granularity, choice = choose(source, divergence, macs, macs((64, 64)), words="MACs")
    assert granularity.name == choice.granularity == "XL"
    assert choice.divergence == 0.0
    assert "uniform XL" in choice.describe()


def test_a_budget_below_the_smallest_names_what_the_smallest_needs(source, divergence, macs):
    least = macs((8, 8))
    with pytest.raises(BudgetError, match=f"{least:.6g} or more") as error:
        choose(source, divergence, macs, least - 1, words="MACs")
    assert error.value.hint
    assert choose(source, divergence, macs, least, words="MACs")[0].name == "S"


# --- to a file -------------------------------------------------------------------------


def fit(source, folder: Path, *, targets=("onnx",), **budget):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    options = {"max_bytes": 0, "max_macs": 0, "max_latency_ms": 0.0, **budget}
    return export_fitting(
        source, lambda name: {t: folder / f"{name.replace('*', 'x')}{SUFFIX[t]}" for t in targets},
        quantize="none", limits=Limits(), report=lambda text: None, **options)


def test_a_budget_of_macs_writes_one_file_within_it(source, macs, tmp_path):
    budget = int(macs((16, 32)))
    choice, (done,) = fit(source, tmp_path, max_macs=budget)
    assert list(tmp_path.iterdir()) == [done.path]
    info = open_artifact(done.path).metadata.granularities[choice.granularity]
    assert info.widths == choice.widths
    assert info.macs == choice.cost <= budget
    assert info.macs == count_macs(extract(source.model, choice.widths), source.sample)


def test_a_budget_of_bytes_writes_one_file_of_at_most_so_many(source, artifact, tmp_path):
    budget = artifact("onnx").n_bytes + 1000  # that is M; S and XL are on either side
    choice, (done,) = fit(source, tmp_path, max_bytes=budget)
    assert list(tmp_path.iterdir()) == [done.path]
    assert done.path.stat().st_size == done.n_bytes <= budget
    assert list(open_artifact(done.path).metadata.granularities) == [choice.granularity]
    assert sum(choice.widths) > 16  # it used the room


def test_a_budget_that_nothing_fits_leaves_no_file(source, tmp_path):
    with pytest.raises(BudgetError, match=r"(?s)expected .*hint: "):
        fit(source, tmp_path, max_macs=10)
    assert list(tmp_path.iterdir()) == []


def test_a_budget_of_bytes_is_of_one_target(source, tmp_path):
    with pytest.raises(UnsupportedModel, match="one --target"):
        fit(source, tmp_path, targets=("onnx", "litert"), max_bytes=10**6)
    assert list(tmp_path.iterdir()) == []
