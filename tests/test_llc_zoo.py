"""The LLC recipe's evaluation: decoding, retrieval, rejection, taxonomy, and its runs."""

from __future__ import annotations

import numpy as np
import pytest

from edge_sdk import data, zoo
from edge_sdk.errors import CheckpointError, UnsupportedModel
from edge_sdk.zoo import llc, llc_evaluate, llc_taxonomy, llc_training
from edge_sdk.zoo.llc_taxonomy import Merge


def test_decoding_follows_the_oracles():
    from edge_sdk import reference

    rng = np.random.default_rng(0)
    words = rng.integers(0, 64, 20).astype(np.uint64)  # 6 bits: some codes collide
    scores = rng.standard_normal((200, 6)).astype(np.float32)
    scores[0] = 0.0  # all ties, and the zero trap
    found = llc_evaluate.decode(scores, words, 6)
    signs = [reference.sign_word(z) for z in scores]
    assert np.array_equal(found.exact, reference.exact_decode(words, signs))
    ids, distances = reference.hamming_search(words, signs, 1)
    assert np.array_equal(found.nearest, ids[:, 0])
    assert np.array_equal(found.distance, distances[:, 0])
    assert np.array_equal(found.soft, reference.soft_decode(words, scores))


def test_the_penalty_is_what_the_flipped_bits_cost():
    scores = np.array([[1.0, -0.5, 0.25]])
    assert llc_evaluate.decode(scores, np.array([0b111], np.uint64), 3).penalty == [0.5]
    assert llc_evaluate.decode(scores, np.array([0b101], np.uint64), 3).penalty == [0.0]


def test_average_precision_divides_by_the_relevant_items_not_by_the_hits():
    ranked = np.array([[True, False, True, False]])
    assert llc_evaluate.average_precision(ranked, 2) == [(1 + 2 / 3) / 2]
    assert llc_evaluate.average_precision(ranked, 10) == [(1 + 2 / 3) / 4]


def test_retrieval_of_perfect_codes_is_one_and_zero_counts_as_a_one_bit():
    codes = np.array([[0.0, -1.0], [1.0, 1.0], [2.0, -3.0], [5.0, 5.0]])
    labels = np.array([0, 1, 0, 1])
    found = llc_evaluate.retrieval(codes, codes, labels, labels, binary=True, retrieved=2)
    assert found["value"] == 1.0


def test_auroc_counts_ties_half():
    assert llc_evaluate.auroc(np.array([2.0, 1.0]), np.array([1.0, 0.0]))["value"] == 0.875
    assert llc_evaluate.auroc(np.ones(3), np.ones(4))["value"] == 0.5


def test_a_radius_accepts_by_distance_and_the_softmax_accepts_as_many_known_images():
    words = np.array([0b0000, 0b1111], np.uint64)
    known = np.array([[-1.0, -1, -1, -1], [1, -1, -1, -1]])
    unknown = np.array([[1.0, 1, -1, -1], [1, 1, 1, 1]])
    found = llc_evaluate.rejection(known, unknown, words, 4, np.array([0.9, 0.4]),
                                   np.array([0.5, 0.3]))
    exact, one, two = found["rules"]
    assert [rule["accepted_known"]["value"] for rule in (exact, one, two)] == [0.5, 1.0, 1.0]
    assert [rule["rejected_unknown"]["value"] for rule in (exact, one, two)] == [0.5, 0.5, 0.0]
    assert exact["softmax_threshold"] == 0.9
    assert exact["softmax_rejected_unknown"]["value"] == 1.0
    assert one["softmax_rejected_unknown"]["value"] == 0.5
    # Distances 0 and 1 against 2 and 0: one win and a tie for the first, one win for the second.
    assert found["auroc"]["distance"]["value"] == 2.5 / 4


def test_average_linkage_joins_the_nearest_first_and_then_by_the_mean():
    distances = np.array([[0, 1, 4, 5], [1, 0, 6, 5], [4, 6, 0, 2], [5, 5, 2, 0]], float)
    merges = llc_taxonomy.average_linkage(distances)
    assert merges == [Merge(0, 1, 1.0), Merge(2, 3, 2.0), Merge(4, 5, 5.0)]
    assert llc_taxonomy.leaf_order(merges, 4) == [0, 1, 2, 3]


def test_every_run_but_a_linear_one_has_its_parent_before_it_in_the_list():
    seen: set[str] = set()
    for run in llc_training.RUNS:
        assert run.parent is None or run.parent.name in seen
        assert run.name not in seen
        seen.add(run.name)


def test_an_unknown_run_is_refused_with_the_known_ones():
    with pytest.raises(UnsupportedModel, match="llc20-s0"):
        llc_training.named(["llc21"])


def test_leaving_alphabets_out_leaves_none_of_their_images_and_numbers_classes_densely(data_root):
    whole = data.omniglot(data_root)
    kept = llc_training.restricted(whole, True)
    assert {label.split("/")[0] for label in kept.labels}.isdisjoint(llc_training.HELD_OUT)
    assert set(kept.test_labels) == set(kept.train_labels) == set(range(len(kept.labels)))
    image, label = kept.test_images[7], kept.labels[kept.test_labels[7]]
    first = whole.labels.index(label)
    assert any(np.array_equal(image, other) for other in
               whole.test_images[whole.test_labels == first])


def test_training_without_the_parent_says_what_to_train_first(tmp_path, data_root):
    run = llc_training.named(["llc20-s0"])[0]
    with pytest.raises(CheckpointError, match="train linear-s0 first"):
        llc_training.train_run(run, data.omniglot(data_root), tmp_path)


def test_the_shipped_card_is_of_the_shipped_weights_and_rendered_from_its_json():
    import json

    from edge_sdk.zoo.llc_card import render

    shipped = llc.load()
    card = json.loads((zoo.CARDS / "llc-omniglot.json").read_text(encoding="utf-8"))
    assert card["weights"]["sha256"] == shipped.weights_sha256
    assert (zoo.CARDS / "llc-omniglot.md").read_text(encoding="utf-8") == render(card)
    assert shipped.words.shape == (968,)
    assert len(shipped.labels) == 968
