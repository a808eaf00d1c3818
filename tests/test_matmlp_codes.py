"""Class codes on the frozen trunk of `matmlp-mnist`: what is shipped, and what it is worth."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from edge_sdk import zoo
from edge_sdk.errors import CheckpointError, DataError
from edge_sdk.zoo import matmlp_codes, matvit_codes, matvit_codes_card
from edge_sdk.zoo.matmlp_codes import NAME, SHIPPED, TRUNK

CARD = json.loads((zoo.CARDS / f"{NAME}.json").read_text(encoding="utf-8"))


def test_the_shipped_codes_are_ten_different_words_of_the_shipped_trunk():
    codes = matvit_codes.load(trunk=TRUNK)
    assert [weight.shape for weight, _ in codes.layers] == [(SHIPPED.hidden, 64),
                                                            (SHIPPED.bits, SHIPPED.hidden)]
    assert codes.codebook.shape == (10, SHIPPED.bits)
    assert len(np.unique(codes.codebook, axis=0)) == 10
    distances = (codes.codebook[:, None] != codes.codebook[None]).sum(2)
    assert distances[~np.eye(10, dtype=bool)].min() >= 3  # one wrong bit is corrected
    assert codes.card == CARD
    assert (codes.trunk_sha256, codes.weights_sha256) == (CARD["trunk"]["sha256"],
                                                          CARD["weights"]["sha256"])


def test_the_codes_belong_to_the_very_trunk_that_torch_loads():
    pytest.importorskip("torch")
    assert zoo.load(TRUNK).weights_sha256 == CARD["trunk"]["sha256"]


def test_the_card_is_rendered_from_its_json_and_names_no_place_of_one_machine():
    text = (zoo.CARDS / f"{NAME}.md").read_text(encoding="utf-8")
    assert text == matvit_codes_card.render(CARD)
    assert "Without the hidden layer" not in text
    assert "Omniglot's characters, CIFAR-10 and noise stand in" in text
    assert not any(place in text + json.dumps(CARD) for place in (
        "/home/", "/tmp/", "/work/", "/root/", "C:\\"))


def test_codes_beside_another_trunk_are_refused_and_name_the_command(tmp_path):
    shutil.copy(zoo.WEIGHTS / f"{NAME}.safetensors", tmp_path)
    shutil.copy(zoo.WEIGHTS / "matvit-digits.safetensors", tmp_path / f"{TRUNK}.safetensors")
    with pytest.raises(CheckpointError, match=r"zoo\.matmlp_codes train"):
        matvit_codes.load(tmp_path, trunk=TRUNK)


def test_held_out_digits_have_the_words_that_the_card_says(data_root):
    pytest.importorskip("torch")
    from edge_sdk.bundle.reference import reference_codes
    from edge_sdk.cascade import CoreFFN
    from edge_sdk.data import mnist

    model, data = zoo.load(TRUNK).model, mnist(data_root)
    ffn, codes = CoreFFN.from_module(model.ffn), reference_codes(TRUNK)
    pixels = data.test_images.astype(np.float32).reshape(-1, 784) / np.float32(255)
    for name in ffn.granularities:
        found = codes.codes.nearest(codes.words(ffn.embed(pixels, name)))
        shown = CARD["granularities"][name]
        right = (found.ids == data.test_labels).mean()
        # Another order of summing: a bit near 0 may turn.
        assert right == pytest.approx(shown["mhd"]["value"], abs=1e-3)
        assert (found.distances == 0).mean() == pytest.approx(
            shown["rules"][0]["accepted_known"]["value"], abs=1e-3)


def test_absent_pictures_of_no_digit_are_an_error_in_words(tmp_path):
    pytest.importorskip("PIL")
    with pytest.raises(DataError):
        matmlp_codes.unknown_images(tmp_path)
