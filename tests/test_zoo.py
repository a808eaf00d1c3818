"""The shipped reference models, their cards, and the figures that a card is made of."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edge_sdk import zoo  # noqa: E402
from edge_sdk.cascade import CoreFFN, Head  # noqa: E402
from edge_sdk.data import Dataset  # noqa: E402
from edge_sdk.errors import CheckpointError, ShapeError, UnsupportedModel  # noqa: E402
from edge_sdk.granularity import trained_names  # noqa: E402
from edge_sdk.nn.counting import count_macs, count_parameters  # noqa: E402
from edge_sdk.nn.matformer import MatViT, extract, trained_widths, use_widths  # noqa: E402
from edge_sdk.nn.mrl import MRLEHead, MRLHead  # noqa: E402
from edge_sdk.zoo import cards, evaluate, training  # noqa: E402
from edge_sdk.zoo.augment import Affine  # noqa: E402
from edge_sdk.zoo.recipes import Recipe  # noqa: E402

MEGABYTE = 1_000_000
# No models of their own: see test_matvit_codes.py and test_matmlp_codes.py.
CODES = {"matvit-omniglot-codes", "matmlp-mnist-codes"}
NESTED = "mat*-*"  # MatFormers: matvit-..., matmlp-...
SHIPPED = sorted({path.stem for path in zoo.WEIGHTS.glob(f"{NESTED}.safetensors")} - CODES)
CARDS = sorted({path.stem for path in zoo.CARDS.glob(f"{NESTED}.json")} - CODES)
DIMS = (4, 8, 12)


def read(name):
    return json.loads((zoo.CARDS / f"{name}.json").read_text(encoding="utf-8"))


def tiny(head=MRLHead):
    torch.manual_seed(0)
    return MatViT(image_size=8, channels=1, stem=((6, 2),), d_model=16, n_layers=4, n_heads=2,
                  d_ff=32, d_embedding=12, head=head(DIMS, 5)).eval()


@pytest.fixture(scope="module")
def tiny_card(tmp_path_factory):
    """Return a card of an untrained model with a Matryoshka head and all its peers."""
    from edge_sdk.checkpoint import save_weights

    folder = tmp_path_factory.mktemp("weights")
    recipe = Recipe("tiny", lambda data=None: None, tiny, DIMS, 0.5, 0.25, epochs=1,
                    batch_size=8, lr=1e-3, augment=Affine())
    rng = np.random.default_rng(0)

    def split(n):
        return rng.integers(0, 256, (n, 1, 8, 8), np.uint8), rng.integers(0, 5, n)

    data = Dataset("noise", *split(40), *split(30), tuple("abcde"), 255, "none", "random")
    for width in (None, "S", "XL"):
        model = tiny() if width is None else training.independent(tiny(), width)
        save_weights(model, folder / f"{width}.safetensors", {})
    return cards.measure(
        recipe, data, cards.provenance(f"{folder}/None.safetensors:0", recipe, nested=True),
        independent=[cards.provenance(f"{folder}/{width}.safetensors:{width}:0", recipe,
                                      nested=False) for width in ("S", "XL")],
    )


# --- what is shipped -----------------------------------------------------------------


def test_the_digits_are_shipped_and_every_shipped_model_has_a_recipe_and_a_card():
    assert "matvit-digits" in SHIPPED
    assert set(SHIPPED) <= set(zoo.names())
    assert SHIPPED == CARDS


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_load_are_small_and_are_those_of_the_card(name):
    reference = zoo.load(name)
    path = zoo.WEIGHTS / f"{name}.safetensors"
    assert path.stat().st_size <= 8 * MEGABYTE
    assert not reference.model.training
    card = read(name)
    assert card["weights"]["sha256"] == reference.weights_sha256
    assert card["weights"]["bytes"] == path.stat().st_size
    assert reference.card == card
    assert list(trained_names(trained_widths(reference.model))) == list(card["trained"])


@pytest.mark.parametrize("name", CARDS)
def test_the_committed_card_is_what_its_figures_render_to(name):
    text = (zoo.CARDS / f"{name}.md").read_text(encoding="utf-8")
    assert text == cards.render(read(name))


@pytest.mark.parametrize("name", CARDS)
def test_a_card_names_no_place_of_one_machine(name):
    text = (zoo.CARDS / f"{name}.json").read_text(encoding="utf-8")
    assert not any(place in text for place in ("/home/", "/tmp/", "/work/", "/root/", "C:\\"))


def test_every_width_of_the_digits_answers_97_percent_of_the_held_out_split():
    pytest.importorskip("sklearn")
    reference = zoo.load("matvit-digits")
    data = reference.recipe.dataset()
    images = training.normalize(data.test_images, reference.recipe, data.pixel_max)
    labels = torch.from_numpy(data.test_labels)
    for name, widths in trained_names(trained_widths(reference.model)).items():
        accuracy = evaluate.accuracies(reference.model, images, labels, widths)
        assert list(accuracy) == [None]
        assert accuracy[None] >= 0.97, name
        # Another processor sums in another order: one image of 360 may turn.
        shown = reference.card["trained"][name]["accuracy"]["full"]
        assert accuracy[None] == pytest.approx(shown, abs=1.5 / 360)


def test_the_mnist_digits_shipped_are_told_apart_and_more_width_is_more_accuracy(data_root):
    reference = zoo.load("matmlp-mnist")
    data = reference.recipe.dataset(data_root)
    images = training.normalize(data.test_images, reference.recipe, data.pixel_max)
    labels, reached = torch.from_numpy(data.test_labels), []
    ffn = CoreFFN.from_module(reference.model.ffn)
    for name, widths in trained_names(trained_widths(reference.model)).items():
        accuracy = evaluate.accuracies(reference.model, images, labels, widths)
        shown = reference.card["trained"][name]["accuracy"]
        for dim, value in accuracy.items():
            # Another processor sums in another order: a few images of 10,000 may turn.
            assert value == pytest.approx(shown[str(dim)], abs=5e-4)
        reached.append(accuracy[64])
        with torch.no_grad(), use_widths(reference.model, widths):
            wanted = reference.model.embed(images).numpy()
        np.testing.assert_allclose(ffn.embed(images.flatten(1).numpy(), name), wanted, rtol=0,
                                   atol=1e-5 * np.abs(wanted).max())
    assert 0.97 <= reached[0] < reached[1] < reached[2] < reached[3]
    assert reached[3] >= 0.985


def test_an_mlp_counts_its_macs_by_hand_and_takes_pixels_in_the_order_of_rows():
    model = zoo.load("matmlp-mnist").model
    image = torch.zeros(1, 1, 28, 28)
    assert count_macs(model, image) == 784 * 256 + 256 * 64 + 64 * 10
    image[0, 0, 3, 5] = 1
    assert model.tokens(image).nonzero().tolist() == [[0, 3 * 28 + 5]]
    small = extract(model, [32])
    assert count_parameters(small) == 32 * 785 + 64 * 33 + 10 * 65


def test_the_core_evaluates_the_shipped_mlp_as_torch_does():
    model = zoo.load("matmlp-mnist").model
    ffn, head = CoreFFN.from_module(model.ffn), Head.from_module(model.head)
    images = torch.rand(50, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for name, width in ffn.granularities.items():
        with torch.no_grad(), use_widths(model, [width]):
            wanted, logits = model.embed(images).numpy(), model(images).numpy()
        found = ffn.embed(images.flatten(1).numpy(), name)
        for got, torchs in ((found, wanted), (head.at(found), logits)):
            # Sums of 784 numbers in another order: 1e-5 of the largest coordinate.
            np.testing.assert_allclose(got, torchs, rtol=0, atol=1e-5 * np.abs(torchs).max())


def test_an_unknown_name_and_absent_weights_are_errors_in_words(monkeypatch, tmp_path):
    with pytest.raises(UnsupportedModel, match="matvit-digits"):
        zoo.load("resnet")
    monkeypatch.setattr(zoo, "WEIGHTS", tmp_path)
    with pytest.raises(CheckpointError, match="no such file"):
        zoo.load("matvit-digits")


def test_a_card_of_other_weights_is_not_returned(monkeypatch, tmp_path):
    card = read("matvit-digits")
    card["weights"]["sha256"] = "0" * 64
    (tmp_path / "matvit-digits.json").write_text(json.dumps(card))
    monkeypatch.setattr(zoo, "CARDS", tmp_path)
    assert zoo.load("matvit-digits").card is None


def test_a_dim_that_was_not_trained_is_refused():
    with pytest.raises(ShapeError, match="dim"):
        zoo.load("matvit-digits", dim=8)


@pytest.mark.parametrize("head", [MRLHead, MRLEHead])
def test_a_model_cut_to_a_dim_answers_as_the_whole_one_does_from_that_dim(
        monkeypatch, tmp_path, head):
    from edge_sdk.checkpoint import model_digest, save_weights

    whole = tiny(head)
    recipe = Recipe("tiny", lambda data=None: None, lambda: tiny(head), DIMS, 0, 1, epochs=1,
                    batch_size=8, lr=1e-3, augment=Affine())
    monkeypatch.setattr(zoo, "recipe", lambda name: recipe)
    monkeypatch.setattr(zoo, "WEIGHTS", tmp_path)
    save_weights(whole, tmp_path / "tiny.safetensors", {})
    reference = zoo.load("tiny", dim=8)
    images = torch.randn(3, 1, 8, 8)
    expected = training.predict(whole, images)
    torch.testing.assert_close(reference.model(images), expected[1])
    assert reference.model.embed(images).shape == (3, 8)
    assert len(training.predict(reference.model, images)) == 2
    assert count_parameters(reference.model) < count_parameters(whole)
    assert reference.weights_sha256 == model_digest(whole)


# --- figures -------------------------------------------------------------------------


def test_macs_and_parameters_are_those_counted_by_hand():
    model = zoo.load("matvit-digits").model
    tokens, d, d_ff, layers = 16, 64, 256, 3
    attention = tokens * 4 * d * d + 2 * tokens * tokens * d
    by_hand = tokens * 4 * d + layers * (attention + tokens * 2 * d * d_ff) + d * 10
    sample = torch.zeros(1, 1, 8, 8)
    assert count_macs(model, sample) == by_hand
    small = by_hand - layers * tokens * 2 * d * (d_ff - 32)
    widths = [32] * layers
    assert count_macs(extract(model, widths), (sample,)) == small
    with use_widths(model, widths):
        assert count_macs(model.train(), sample) == small
    assert model.training
    saved = layers * (d_ff - 32) * (2 * d + 1)
    assert count_parameters(model) - count_parameters(extract(model, widths)) == saved


def test_mixes_are_canonical_distinct_and_untrained():
    for n_layers in (1, 2, 3, 4, 6):
        trained = {name: (width,) * n_layers for name, width in
                   zip(("S", "M", "L", "XL"), (32, 64, 128, 256), strict=True)}
        found = {mix.name: mix.widths for mix in evaluate.mixes(trained)}
        assert not set(found) & set(trained)
        assert "96" in found
        assert all(len(widths) == n_layers for widths in found.values())
    assert found["S+M*2+L*2+XL"] == (32, 64, 64, 128, 128, 256)
    assert {"XL+L*2+M*2+S", "S*3+XL*3", "XL*3+S*3"} < set(found)


def test_random_mixes_are_the_same_each_time_and_as_many_as_there_are():
    model = tiny()
    trained = trained_names(trained_widths(model))
    found = [mix.name for mix in evaluate.random_mixes(model, trained)]
    assert len(set(found)) == 24
    assert found == [mix.name for mix in evaluate.random_mixes(model, trained)]
    model.blocks = model.blocks[:2]
    trained = trained_names(trained_widths(model))
    assert len(evaluate.random_mixes(model, trained)) == 4**2 - 4


@pytest.mark.parametrize(("a", "b", "expected"), [
    ([1, 2, 3], [10, 20, 90], 1.0), ([1, 2, 3], [3, 2, 1], -1.0),
    ([1, 2, 2, 3], [1, 2, 3, 4], 0.9487), ([1, 2, 3], [5, 5, 5], None), ([1], [1], None),
])
def test_spearman_handles_ties_and_constants(a, b, expected):
    assert evaluate.spearman(np.array(a, float), np.array(b, float)) == expected


def test_calibration_images_come_from_all_classes_of_a_sorted_training_split(tiny_card):
    recipe = zoo.recipe("matvit-digits")
    sorted_pixels = np.repeat(np.arange(10, dtype=np.uint8), 300)[:, None, None, None]
    data = Dataset("x", sorted_pixels, np.zeros(3000, np.int64), sorted_pixels[:0],
                   np.zeros(0, np.int64), (), 16, "", "")
    images = evaluate.calibration_images(data, recipe)
    assert len(images) == 512
    assert len(images.unique()) == 10


def test_figures_of_a_matryoshka_model_have_every_dim_and_no_kl_at_xl(tiny_card):
    assert tiny_card["dims"] == list(DIMS)
    assert all(list(row["accuracy"]) == ["4", "8", "12"]
               for row in (tiny_card["trained"] | tiny_card["mixes"]).values())
    layers = tiny_card["sensitivity"]["layers"]
    assert len(layers) == 4
    assert all(row["XL"] == 0 and row["S"] > 0 for row in layers)
    # Cached tokens give what the model itself answers.
    assert tiny_card["nested"][0]["accuracy"]["XL"] == tiny_card["trained"]["XL"]["accuracy"]
    assert json.loads(json.dumps(tiny_card)) == tiny_card


# --- the words of a card -------------------------------------------------------------


def test_a_model_as_good_as_its_peers_is_within_the_rule(tiny_card):
    card = copy.deepcopy(tiny_card)
    for peer in card["independent"]:
        peer["accuracy"] = {name: card["nested"][0]["accuracy"][name] for name in peer["accuracy"]}
    card["comparison"] = cards.compare(card["nested"], card["independent"])
    text = cards.render(card)
    assert "Not trained alone, so not compared: M, L." in text
    assert "nowhere more than 1.5 points below independent; the lowest difference is +0.00" in text
    assert "python -m edge_sdk.train tiny --seed 0 --independent S\n" in text


def test_a_card_says_by_how_much_and_why_nesting_costs_more_than_the_rule_allows(tiny_card):
    card = copy.deepcopy(tiny_card)
    card["n"] = 100_000
    for peer in card["independent"]:
        for name in peer["accuracy"]:
            nested = card["nested"][0]["accuracy"][name]
            lead = 0.04 if name == "S" else 0.0
            peer["accuracy"][name] = {"4": nested["4"] + lead, "8": nested["8"] + lead / 4,
                                      "12": nested["12"]}
    card["comparison"] = cards.compare(card["nested"], card["independent"])
    text = cards.render(card)
    assert "**Nested is more than 1.5 points below independent**: -4.00 points at S with dim 4." \
        in text
    assert "at the largest dim, 12, no width is below" in text
    assert "the narrower the width, the greater the loss" in text
    assert "perhaps chance" not in text
    card["n"] = 30
    assert "perhaps chance" in cards.render(card)


def test_a_card_says_when_the_task_is_too_easy(tiny_card):
    card = copy.deepcopy(tiny_card)
    card["comparison"] = {}
    for name, accuracy in (("S", 0.80), ("XL", 0.81)):
        card["trained"][name]["accuracy"]["12"] = accuracy
    card["n"] = 100
    text = cards.render(card)
    assert "**S is as good as XL within one standard error**" in text
    assert "what nesting costs is unknown" in text
    card["n"] = 10_000
    text = cards.render(card)
    assert "too easy" not in text
    assert "XL is 1.00 points above S (80.00 % and 81.00 %, standard error 0.39 points)" in text


def test_a_card_of_one_layer_says_that_it_has_no_mixes_to_predict(tiny_card):
    card = copy.deepcopy(tiny_card)
    card["kind"] = "multilayer perceptron"
    card["proxy"]["mixes"] = []
    text = cards.render(card)
    assert "A nested multilayer perceptron (MatFormer)" in text
    assert "- all in float32" in text
    assert "there is nothing to predict" in text
    assert "A nested vision transformer" in cards.render(tiny_card)


def test_means_are_taken_over_the_seeds_that_both_sides_have():
    nested = [{"seed": seed, "accuracy": {"S": {"full": 0.1 * seed}}} for seed in (1, 2, 3)]
    alone = [{"seed": seed, "accuracy": {"S": {"full": 0.5}}} for seed in (1, 3, 4)]
    row = cards.compare(nested, alone)["S"]
    assert (row["nested_seeds"], row["independent_seeds"]) == ([1, 3], [1, 3])
    assert row["difference_points"] == {"full": -30.0}


def test_a_file_without_metadata_needs_width_and_seed_and_another_recipe_is_refused(tmp_path):
    from edge_sdk.checkpoint import save_weights

    recipe = zoo.recipe("matvit-digits")
    path = tmp_path / "w.safetensors"
    save_weights(tiny(), path, {})
    with pytest.raises(CheckpointError, match="FILE:WIDTH:SEED"):
        cards.provenance(str(path), recipe, nested=False)
    known = cards.provenance(f"{path}:M:3", recipe, nested=False)
    assert (known.path, known.width, known.seed, known.epochs) == (path, "M", 3, None)
    save_weights(tiny(), path, {"recipe": "other", "width": "S", "seed": 0})
    with pytest.raises(CheckpointError, match="recipe other"):
        cards.provenance(str(path), recipe, nested=False)
