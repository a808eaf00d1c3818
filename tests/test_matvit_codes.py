"""Class codes on the frozen trunk of `matvit-omniglot`: what is shipped, and how it was made."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from edge_sdk import zoo
from edge_sdk.artifact import weights_digest
from edge_sdk.codes import CodeIndex
from edge_sdk.errors import CheckpointError, DataError
from edge_sdk.zoo import matvit_codes, matvit_codes_card, matvit_codes_training
from edge_sdk.zoo.matvit_codes import NAME, TRUNK, MatvitCodes
from edge_sdk.zoo.matvit_codes_training import MATRIX, SHIPPED, HeadRecipe

CARD = json.loads((zoo.CARDS / f"{NAME}.json").read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path):
    """Return a folder with copies of the two weights files, free to be spoilt."""
    for name in (NAME, TRUNK):
        shutil.copy(zoo.WEIGHTS / f"{name}.safetensors", tmp_path)
    return tmp_path


def rewrite(path, **changes):
    """Write the arrays at `path` again, changed, with the metadata as it was."""
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    save_file(load_file(path) | changes, path, metadata)


# --- what is shipped ------------------------------------------------------------------


def test_the_shipped_codes_are_signs_and_as_unique_as_their_card_says():
    codes = matvit_codes.load()
    hidden = SHIPPED.hidden
    assert [[a.shape for a in layer] for layer in codes.layers] == [
        [(hidden, 192), (hidden,)], [(20, hidden), (20,)]]
    assert {array.dtype for layer in codes.layers for array in layer} == {np.dtype(np.float32)}
    assert (codes.codebook.shape, codes.codebook.dtype) == ((968, 20), np.int8)
    assert set(np.unique(codes.codebook)) == {-1, 1}
    assert codes.card == CARD
    assert len(np.unique(codes.codebook, axis=0)) == CARD["unique_codes"] >= 960
    assert np.abs(codes.codebook.mean(0)).max() < 0.5  # no bit says nearly always the same


def test_scores_are_those_of_each_layer_in_turn_with_only_positive_parts_passed_on():
    codes = matvit_codes.load()
    embeddings = np.random.default_rng(0).standard_normal((3, 192)).astype(np.float32)
    (w1, b1), (w2, b2) = ([a.astype(np.float64) for a in layer] for layer in codes.layers)
    for row, embedding in zip(codes.scores(embeddings), embeddings, strict=True):
        hidden = [max(0.0, float(w @ embedding) + b) for w, b in zip(w1, b1, strict=True)]
        slow = [float(w @ hidden) + b for w, b in zip(w2, b2, strict=True)]
        np.testing.assert_allclose(row, slow, rtol=1e-4, atol=1e-3)


def test_a_single_layer_passes_no_relu_and_counts_its_parameters():
    layer = (np.array([[1, -1]], np.float32), np.array([0.5], np.float32))
    codes = MatvitCodes((layer,), np.array([[1], [-1]], np.int8), None, "", "")
    assert codes.scores(np.array([[1, 4], [-2, 0]], np.float32)).tolist() == [[-2.5], [-1.5]]
    assert codes.n_parameters == 3


def test_the_shipped_codes_are_those_of_the_shipped_trunk():
    pytest.importorskip("torch")
    codes = matvit_codes.load()
    assert codes.trunk_sha256 == zoo.load(TRUNK).weights_sha256 == CARD["trunk"]["sha256"]
    assert codes.weights_sha256 == CARD["weights"]["sha256"]
    assert CARD["weights"]["bytes"] == (zoo.WEIGHTS / f"{NAME}.safetensors").stat().st_size


def test_loading_the_codes_loads_no_torch():
    program = ("import sys; from edge_sdk.zoo import matvit_codes; matvit_codes.load(); "
               "sys.exit('torch' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_card_is_rendered_from_its_json_and_names_no_place_of_one_machine():
    text = (zoo.CARDS / f"{NAME}.md").read_text(encoding="utf-8")
    assert text == matvit_codes_card.render(CARD)
    assert not any(place in text + json.dumps(CARD) for place in (
        "/home/", "/tmp/", "/work/", "/root/", "C:\\"))


def test_the_card_tells_what_is_shipped_and_that_the_matrix_is_not():
    codes, text = matvit_codes.load(), (zoo.CARDS / f"{NAME}.md").read_text(encoding="utf-8")
    assert CARD["weights"]["layers"] == [list(weight.shape) for weight, _ in codes.layers]
    assert CARD["weights"]["parameters"] == codes.n_parameters > CARD["matrix"]["parameters"]
    assert CARD["matrix"]["shipped"] is False
    assert "**not shipped**: one matrix" in text
    assert CARD["recipe"]["hidden"] == SHIPPED.hidden
    assert CARD["matrix_recipe"]["hidden"] is MATRIX.hidden is None
    for name, row in CARD["matrix"]["granularities"].items():
        for decoder in ("ed", "mhd", "ord"):  # or the hidden layer has no reason to be there
            assert row[decoder]["value"] < CARD["granularities"][name][decoder]["value"]


def test_the_card_counts_the_comparisons_that_its_codes_lose_against_the_softmax():
    text = (zoo.CARDS / f"{NAME}.md").read_text(encoding="utf-8")
    pairs = [(rule["rejected"][name]["value"], rule["softmax_rejected"][name]["value"])
             for row in CARD["granularities"].values() for rule in row["rules"]
             for name in CARD["n_unknown"]]
    more, fewer = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
    assert f"more than the softmax in {more} of these {len(pairs)} comparisons" in text
    assert f"fewer in {fewer}:" in text
    assert ("the greatest softmax probability is the better rule" in text) == (fewer > more)


@pytest.mark.parametrize(("codes", "softmax", "said"), [
    (0.5, 0.75, "- birds: more in none, fewer in 1 (radius 2), as many in 0"),
    (0.75, 0.5, "- birds: more in 1 (radius 2), fewer in none, as many in 0"),
    (0.5, 0.5, "- birds: more in none, fewer in none, as many in 1"),
])
def test_the_verdict_follows_the_figures(codes, softmax, said):
    rule = {"radius": 2, "rejected": {"birds": {"value": codes}},
            "softmax_rejected": {"birds": {"value": softmax}}}
    lines = matvit_codes_card._verdict({"n_unknown": {"birds": 4},
                                        "granularities": {"S": {"rules": [rule]}}})
    assert lines[2] == said
    assert ("softmax probability is the better" in lines[-1]) == (codes < softmax)


def test_codes_beside_another_trunk_are_refused(folder):
    trunk = folder / f"{TRUNK}.safetensors"
    rewrite(trunk, position=load_file(trunk)["position"] * np.float32(1.5))
    with pytest.raises(CheckpointError, match=r"codes of matvit-omniglot .*, got [0-9a-f]{64}"):
        matvit_codes.load(folder)


def test_codes_changed_after_they_were_written_are_refused(folder):
    path = folder / f"{NAME}.safetensors"
    rewrite(path, codebook=-load_file(path)["codebook"])
    with pytest.raises(CheckpointError, match="its own digest"):
        matvit_codes.load(folder)


@pytest.mark.parametrize("spoil", [
    {"codebook": lambda a: a.astype(np.float32)},
    {"codebook": lambda a: a[:, :19].copy()},
    {"codebook": lambda a: a[0].copy()},
    {"codebook": np.zeros_like},
    {"codebook": None},
    {"layers.0.weight": lambda a: np.full_like(a, np.nan)},
    {"layers.0.weight": lambda a: a[:-1].copy()},
    {"layers.0.bias": lambda a: a[:1].copy()},
    {"layers.0.bias": None},
    {"layers.1.weight": lambda a: a[:, 1:].copy()},
    {"layers.1.weight": lambda a: a.astype(np.float64)},
    {"layers.1.weight": lambda a: a.ravel().copy()},
    {"layers.1.bias": lambda a: np.full_like(a, np.inf)},
    {"layers.0.weight": None, "layers.0.bias": None},
    {f"layers.{i}.{kind}": None for i in (0, 1) for kind in ("weight", "bias")},
])
def test_a_file_of_other_arrays_is_refused_even_with_a_digest_of_its_own(folder, spoil):
    path = folder / f"{NAME}.safetensors"
    arrays = load_file(path)
    arrays |= {name: change(arrays[name]) for name, change in spoil.items() if change}
    arrays = {name: arrays[name] for name in arrays if spoil.get(name, True)}
    with safe_open(path, "np") as file:
        metadata = file.metadata() | {"weights_sha256": weights_digest(arrays)}
    save_file(arrays, path, metadata)
    with pytest.raises(CheckpointError, match="each as wide as the next one takes"):
        matvit_codes.load(folder)


def test_a_file_with_an_array_too_many_is_refused(folder):
    path = folder / f"{NAME}.safetensors"
    rewrite(path, another=np.zeros(3, np.float32))
    with pytest.raises(CheckpointError, match="each as wide as the next one takes"):
        matvit_codes.load(folder)


@pytest.mark.parametrize("name", [NAME, TRUNK])
def test_a_file_cut_short_and_an_absent_one_are_errors_in_words(folder, name):
    path = folder / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="a whole weights file"):
        matvit_codes.load(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match="a whole weights file"):
        matvit_codes.load(folder)


def test_a_card_of_other_codes_is_not_returned(monkeypatch, tmp_path):
    card = CARD | {"weights": CARD["weights"] | {"sha256": "0" * 64}}
    (tmp_path / f"{NAME}.json").write_text(json.dumps(card), encoding="utf-8")
    monkeypatch.setattr(zoo, "CARDS", tmp_path)
    assert matvit_codes.load().card is None


def test_other_decoders_hit_as_many_of_200_held_out_images_as_the_card_says(data_root):
    torch = pytest.importorskip("torch")
    from edge_sdk.data import omniglot
    from edge_sdk.granularity import TRAINED_NAMES
    from edge_sdk.zoo.training import normalize

    codes, trunk, data = matvit_codes.load(), zoo.load(TRUNK), omniglot(data_root)
    index = CodeIndex.build(codes.codebook, duplicates="lowest")
    subset = np.arange(200) * len(data.test_labels) // 200
    truth = data.test_labels[subset]
    images = normalize(data.test_images[subset], trunk.recipe, data.pixel_max)
    found = matvit_codes_training.embeddings(trunk.model, images)
    assert isinstance(found, torch.Tensor)
    for name in ("S", "XL"):
        scores = codes.scores(found[TRAINED_NAMES.index(name)].numpy())
        bits = scores >= 0
        hits = {"ed": index.decode_ed(bits), "mhd": index.decode_mhd(bits),
                "ord": index.decode_ord(scores).ids}
        for decoder, ids in hits.items():
            shown = CARD["granularities"][name]["subset_hits"][decoder]
            # Another processor sums in another order: a bit near 0 may turn.
            assert abs(int((ids == truth).sum()) - shown) <= 2, (name, decoder)


# --- how it was made ------------------------------------------------------------------


def test_embeddings_are_those_of_the_model_at_each_granularity():
    torch = pytest.importorskip("torch")
    from edge_sdk.nn.matformer import trained_widths, use_widths

    model = zoo.load(TRUNK).model
    images = torch.rand(5, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    found = matvit_codes_training.embeddings(model, images, batch_size=2)
    for index, widths in enumerate(zip(*trained_widths(model), strict=True)):
        with use_widths(model, widths), torch.no_grad():
            torch.testing.assert_close(found[index], model.embed(images), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found[0], found[3])


@given(st.integers(1, 10), st.integers(0, 2**32 - 1))
def test_settled_codes_are_unique_signs_that_agree_with_their_scores_no_less(n_classes, seed):
    rng = np.random.default_rng(seed)
    codes = rng.choice(np.array([-1, 1], np.int8), (n_classes, 4))
    scores = rng.standard_normal((n_classes, 4))
    unique = len(np.unique(codes, axis=0)) == n_classes
    before = codes.copy()
    settled, turned = matvit_codes_training.settle(codes, scores)
    assert np.array_equal(codes, before)  # the caller's are left alone
    assert set(np.unique(settled)) <= {-1, 1}
    # Eleven of the 16 words are within two bits, and at most nine are taken.
    assert len(np.unique(settled, axis=0)) == n_classes
    assert (turned == 0) == np.array_equal(settled, codes) or not unique
    if unique:
        assert (settled * scores).sum() >= (codes * scores).sum()


def test_the_higher_of_two_equal_codes_moves_by_the_bit_that_is_least_sure():
    codes = np.array([[1, 1, 1], [1, 1, 1], [1, 1, -1]], np.int8)
    scores = np.array([[9.0, 9, 9], [5, 2, 1], [9, 9, -9]])
    settled, turned = matvit_codes_training.settle(codes, scores)
    # Its least sure bit would give the third class's word.
    assert settled.tolist() == [[1, 1, 1], [1, -1, 1], [1, 1, -1]]
    assert turned == 1


def test_a_bit_that_contradicts_its_score_turns_unless_the_word_is_taken():
    codes = np.array([[1, 1], [1, -1], [-1, -1]], np.int8)
    scores = np.array([[1.0, 1.0], [-1.0, -2.0], [-3.0, 4.0]])
    settled, turned = matvit_codes_training.settle(codes, scores)
    # The third class turns first, which frees the word that the second then takes.
    assert settled.tolist() == [[1, 1], [-1, -1], [-1, 1]]
    assert turned == 2
    kept, none = matvit_codes_training.settle(codes[:2], np.array([[1.0, 1.0], [1.0, 1.0]]))
    assert kept.tolist() == codes[:2].tolist()
    assert none == 0


@pytest.mark.parametrize("hidden", [None, 48])
def test_training_separates_clusters_by_their_exact_codes_and_is_the_same_each_time(hidden):
    torch = pytest.importorskip("torch")
    from edge_sdk.nn.llc import unique_codes

    rate = {"lr": 1e-2, "round_lr": 3e-2} if hidden is None else {}
    recipe = HeadRecipe(hidden=hidden, batch_size=64, codebook_epochs=30, rounds=2,
                        round_epochs=20, **rate)
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(16).repeat(16)
    centres = torch.randn(16, 32, generator=generator) * 3
    views = centres[labels] + torch.randn(3, 256, 32, generator=generator)
    said = []
    head, turned = matvit_codes_training.fit(views, labels, 16, recipe, said.append)
    again, _ = matvit_codes_training.fit(views, labels, 16, recipe, said.append)
    assert all(torch.equal(a, b) for a, b in zip(head.state_dict().values(),
                                                 again.state_dict().values(), strict=True))
    assert said[0].startswith("codebook  loss")
    assert turned == sum(int(line.rsplit(" ", 1)[1]) for line in said[1:3])
    fresh = centres[labels] + torch.randn(256, 32, generator=generator)
    exact = ((head(fresh) >= 0) == (head.codebook[labels] > 0)).all(1).double().mean()
    assert unique_codes(head.words()) == 16
    assert exact > 0.8  # by chance 1 in a million
    codes = matvit_codes.from_head(head, "")  # as stored: numbers of numpy, signs of a byte
    assert len(codes.layers) == (1 if hidden is None else 2)
    np.testing.assert_allclose(codes.scores(fresh.numpy()), head(fresh).detach().numpy(),
                               rtol=1e-4, atol=1e-4)
    assert np.array_equal(codes.codebook > 0, head.codebook.detach().numpy() > 0)


def test_a_radius_accepts_by_distance_and_the_softmax_as_many_known_images():
    pytest.importorskip("torch")
    words, truth = np.array([0b0, 0b1111], np.uint64), np.array([0, 1])
    truth = np.arange(200) % 2
    known = np.where(truth[:, None] > 0, 1.0, -1.0) * np.ones(20)
    known[:, 4:] = -1.0
    known[::2, 0] = 1.0  # class 0 is always one bit off
    sure = np.where(truth > 0, 0.9, 0.6)
    away = np.full((4, 20), -1.0)
    away[2:, 4:6] = 1.0
    found = matvit_codes_card._against_unknown(
        words, truth, (known, np.stack([1 - sure, sure], 1)),
        {"away": (away, np.full((4, 2), 0.7))})
    accepted = [rule["accepted_known"]["value"] for rule in found["rules"]]
    assert accepted == [0.5, 1.0, 1.0, 1.0]
    rejected = [rule["rejected"]["away"]["value"] for rule in found["rules"]]
    assert rejected == [0.5, 0.5, 0.0, 0.0]
    softmax = [rule["softmax_rejected"]["away"]["value"] for rule in found["rules"]]
    assert softmax == [1.0, 0.0, 0.0, 0.0]
    assert found["subset_hits"] == {"ed": 100, "mhd": 200, "ord": 200}


def test_absent_digits_are_an_error_in_words(tmp_path):
    pytest.importorskip("PIL")
    with pytest.raises(DataError, match="MNIST"):
        matvit_codes_card.unknown_images(tmp_path)
