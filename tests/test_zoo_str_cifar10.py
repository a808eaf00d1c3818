"""The sparse reference model's recipe, on images that cost nothing."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edge_sdk.checkpoint import model_digest  # noqa: E402
from edge_sdk.errors import CheckpointError, DataError, UnsupportedModel  # noqa: E402
from edge_sdk.nn.budgets import count_layers, total_cost  # noqa: E402
from edge_sdk.zoo import CARDS  # noqa: E402
from edge_sdk.zoo import str_cifar10_training as recipe  # noqa: E402
from edge_sdk.zoo.resnet import SmallResNet  # noqa: E402
from edge_sdk.zoo.str_cifar10 import load  # noqa: E402
from edge_sdk.zoo.str_cifar10_card import lines, render  # noqa: E402
from edge_sdk.zoo.str_cifar10_evaluate import layer_rows, measure_all, summary  # noqa: E402
from edge_sdk.zoo.str_cifar10_training import (  # noqa: E402
    Batches,
    Images,
    Pacer,
    Run,
    images,
    load_model,
    named,
    normalize,
    save,
    sparsities,
    to_numpy,
    train,
)


@pytest.fixture(scope="module")
def data():
    """384 images of two classes, told apart by brightness."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(384) % 2
    pixels = torch.randint(0, 128, (384, 3, 32, 32), generator=generator, dtype=torch.uint8)
    pixels += (labels * 100).to(torch.uint8)[:, None, None, None]
    return Images(pixels, labels, pixels[:40], labels[:40], ("dark", "bright"))


@pytest.fixture
def many_steps(monkeypatch):
    """Batches so small that a step moves a threshold by a few hundredths at most."""
    monkeypatch.setattr(recipe, "BATCH_SIZE", 16)


def share_of_zeros(model):
    return total_cost([row for row in count_layers(model) if row.name != "stem"]).sparsity


@pytest.mark.parametrize(("run", "options"), [
    (Run("dense"), {}),
    (Run("str", 90), {"decay": 0.05}),
    (Run("gmp", 90), {}),
], ids=["dense", "str", "gmp"])
def test_every_method_trains_to_the_wanted_sparsity(data, many_steps, run, options):
    model, noted = train(run, data, epochs=4, **options)
    assert not model.training
    assert type(model.blocks[0].conv1) is torch.nn.Conv2d
    # The step that reaches it may pass it, here by more than in a training of thousands.
    beyond = 0.03 if run.method == "str" else 1e-4
    assert 0.0 <= share_of_zeros(model) - run.percent / 100 + 1e-4 <= beyond + 1e-4
    assert bool((model.stem.weight != 0).all())
    assert ("reached" in noted) == (run.method == "str")
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_a_run_under_a_budget_has_the_zeros_of_each_layer_of_its_str_run(data, many_steps):
    model, _ = train(Run("str", 80), data, epochs=3, decay=0.04)
    budget = sparsities(model)
    other, _ = train(Run("budget", 80), data, epochs=2, budget=budget)
    assert sparsities(other) == pytest.approx(budget, abs=1e-9)
    assert len(set(budget.values())) > 1


def test_one_seed_gives_the_same_weights_again(data):
    first, second = (train(Run("gmp", 80, 3), data, epochs=1)[0] for _ in range(2))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_decay_that_is_too_low_is_an_error_that_says_so(data):
    with pytest.raises(UnsupportedModel, match="a higher decay") as caught:
        train(Run("str", 98), data, epochs=1, decay=1e-6)
    assert "str98-s0, decay 1e-06" in str(caught.value)


def test_the_pacer_fixes_zeros_in_the_step_that_reaches_the_sparsity():
    class Handle:
        found = iter([0.2, 0.5, 0.9, 0.95])
        frozen = 0

        def sparsity(self):
            return next(self.found)

        def freeze(self, *, mask):
            assert mask
            self.frozen += 1

    handle = Handle()
    pacer = Pacer(handle, 0.9)
    for _ in range(4):
        pacer.after_step()
    assert (pacer.reached, handle.frozen) == (3, 1)


def test_a_search_ends_with_a_decay_that_reaches_the_sparsity_when_it_should(data, monkeypatch):
    tried = []

    def trained(run, images, *, epochs, decay, stop):
        assert stop
        tried.append(decay)
        reached = 0.002 / decay
        if reached > 1.0:
            raise UnsupportedModel("x", "y", where="z", hint="w")
        return None, {"reached": reached}

    monkeypatch.setattr(recipe, "train", trained)
    monkeypatch.setattr(recipe, "images", lambda *args, **options: data)
    decay, reached = recipe.search_decay(90, None, epochs=60)
    assert abs(reached - recipe.REACH) <= recipe.NEAR
    assert decay == pytest.approx(0.002 / reached)
    assert tried[:3] == pytest.approx([0.0005, 0.001, 0.002])


def test_batches_shift_and_flip_whole_images_and_keep_their_labels():
    # An image whose pixels say where they are; padding is the mean.
    where = torch.arange(1024, dtype=torch.int64).reshape(32, 32) % 200
    pixels = where.to(torch.uint8).expand(256, 3, 32, 32).clone()
    labels = torch.arange(256)
    batches = Batches(pixels, labels, torch.Generator().manual_seed(0))
    seen = []
    for x, y in batches:
        assert x.shape == (128, 3, 32, 32)
        seen += y.tolist()
        for image in x[:8, 0]:
            want = normalize(pixels[:1])[0, 0]
            padded = torch.full((40, 40), float(normalize(
                torch.full((1, 3, 1, 1), round(recipe.MEAN * 255), dtype=torch.uint8))[0, 0, 0, 0]))
            padded[4:36, 4:36] = want
            windows = [padded[r:r + 32, c:c + 32] for r in range(9) for c in range(9)]
            assert any(torch.equal(image, w) or torch.equal(image, w.flip(1)) for w in windows)
    assert sorted(seen) == list(range(256))


def test_weights_come_back_as_they_were_saved_and_only_of_this_recipe(data, tmp_path):
    model = SmallResNet()
    save(model, tmp_path / "m.safetensors", run="str90-s0", reached=0.5)
    again = load_model(tmp_path / "m.safetensors")
    for one, other in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    from edge_sdk.checkpoint import save_weights

    save_weights(model, tmp_path / "other.safetensors", {"recipe": "another"})
    with pytest.raises(CheckpointError, match="weights of str-cifar10"):
        load_model(tmp_path / "other.safetensors")


def test_a_run_under_a_budget_needs_the_run_that_found_it(tmp_path):
    with pytest.raises(DataError, match=r"str80-s0"):
        recipe._train_one(Run("budget", 80, 0), None, tmp_path)


def test_runs_are_named_by_their_beginnings():
    assert [run.name for run in named(["str90-s0", "dense"])] == [
        "dense-s0", "str90-s0", "dense-s1"]
    assert len(named([])) == len(recipe.RUNS)
    with pytest.raises(UnsupportedModel, match="'nothing'"):
        named(["nothing"])


def test_the_card_is_rendered_from_measured_runs_alone(data, tmp_path):
    torch.manual_seed(0)
    for run in (Run("dense"), Run("str", 90), Run("str", 90, 1)):
        model = SmallResNet()
        with torch.no_grad():
            model.blocks[2].conv2.weight[:64] = 0.0
        noted = {"decay": 0.002, "reached": 0.5} if run.method == "str" else {}
        save(model, tmp_path / f"{run.name}.safetensors", run=run.name, **noted)
    figures = measure_all([Run("dense"), Run("str", 90), Run("str", 90, 1),
                           Run("gmp", 90)], data, tmp_path)
    assert figures["not_trained"] == ["gmp90-s0"]
    rows = summary(figures["runs"])
    assert [(row["method"], row["seeds"]) for row in rows] == [("dense", 1), ("str", 2)]
    assert rows[0]["top1_spread"] is None
    assert rows[1]["parameters"] == rows[0]["parameters"]
    text = render({
        "name": "str-cifar10", "shipped": "str90-s0", "weights": {"sha256": "0"},
        "data": {"name": "d", "split": "s", "license": "l"}, **figures, "summary": rows,
        "layers": layer_rows(model), "recipe": {"s_init": -8.0, "epochs": 15},
        "environment": {"torch": "2", "device": "cpu"}, "commands": ["c"], "remarks": ["seen"]})
    assert "| 90 % | STR | 2 |" in text
    assert "| str90-s1 | 0.002 | 50 % of the training |" in text
    assert "Not trained: gmp90-s0." in text
    assert any(line.startswith("str90-s0") for line in lines(figures))


def test_the_shipped_model_is_the_one_of_the_card():
    card = json.loads((CARDS / "str-cifar10.json").read_text())
    model = load()
    assert model_digest(model) == card["weights"]["sha256"]
    run, = (run for run in card["runs"] if run["name"] == card["shipped"])
    assert share_of_zeros(model) == pytest.approx(run["sparsity"], abs=1e-9)
    assert run["sparsity"] == pytest.approx(0.9, abs=0.01)
    assert render(card) == (CARDS / "str-cifar10.md").read_text()


def test_every_run_of_the_card_hits_its_sparsity_to_within_a_point():
    runs = json.loads((CARDS / "str-cifar10.json").read_text())["runs"]
    assert len(runs) > 10
    for run in runs:
        assert run["sparsity"] == pytest.approx(run["percent"] / 100, abs=0.01), run["name"]


def test_the_shipped_model_sees_what_the_card_says(data_root):
    every = images(str(data_root))
    card = json.loads((CARDS / "str-cifar10.json").read_text())
    run, = (run for run in card["runs"] if run["name"] == card["shipped"])
    # 1,000 of the 10,000 images, of all classes: three standard deviations are 3.9 points.
    found = recipe.accuracy(load(), every.test[::10], every.test_labels[::10])
    assert found == pytest.approx(run["top1"], abs=0.039)


def test_trials_hold_out_the_last_images_of_each_class(data_root, monkeypatch):
    every, trial = images(str(data_root)), images(str(data_root), validation=True)
    assert len(every.train) == 50_000
    assert len(trial.train) == 45_000
    assert np.bincount(trial.test_labels.numpy()).tolist() == [recipe.VALIDATION] * 10
    first = int(torch.nonzero(every.train_labels == 3)[-recipe.VALIDATION])
    assert torch.equal(trial.test[trial.test_labels == 3][0], every.train[first])


def test_images_reach_an_engine_as_contiguous_channels_first():
    array = to_numpy(np.full((2, 3, 4, 4), 255, np.uint8))
    assert array.flags.c_contiguous
    assert array.shape == (2, 3, 4, 4)
    assert math.isclose(float(array[0, 0, 0, 0]), (1 - recipe.MEAN) / recipe.STD, rel_tol=1e-6)
