"""The app's assets are what their generator writes, small, and hold no picture of a data set."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from edge_sdk import zoo
from edge_sdk.bundle import Bundle
from edge_sdk.cascade import CoreFFN
from edge_sdk.codes import CodeIndex
from edge_sdk.zoo import matvit_codes

ANDROID = Path(__file__).resolve().parent.parent / "android_demo"
ASSETS = ANDROID / "app" / "src" / "main" / "assets"
OURS = ("digits.edge", "digits-core", "speech", "codes")
VARYING = {"digits.edge/model.pte", "digits.edge/manifest.json"}
"""The toolchain's versions are in the model, and the model's digest is in the manifest."""


def load_generator():
    spec = importlib.util.spec_from_file_location("make_assets",
                                                  ANDROID / "tools" / "make_assets.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_assets = load_generator()


def ours(folder):
    """Return the files below `folder` that the generator writes, by path."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes()
             for path in folder.rglob("*") if path.is_file()}
    return {name: data for name, data in found.items()
            if name.split("/")[0] in OURS}


def without_the_model(text):
    """Return a manifest but for what depends on the model's bytes."""
    content = json.loads(text)
    del content["seal"]
    content["files"]["model.pte"] = {"role": content["files"]["model.pte"]["role"]}
    return content


@pytest.fixture(scope="module")
def bundle():
    return Bundle.open(ASSETS / "digits.edge")


def test_the_assets_are_at_most_2_5_mb_and_the_model_1_2():
    files = ours(ASSETS)
    assert sum(map(len, files.values())) <= 2.5e6
    assert len(files["digits.edge/model.pte"]) <= 1.2e6


def test_the_layers_the_bundle_and_the_zoo_are_of_the_same_weights(bundle):
    pytest.importorskip("torch")
    ffn, reference = CoreFFN.open(ASSETS / "digits-core"), zoo.load(make_assets.MODEL)
    assert (ffn.weights_sha256 == bundle.manifest.weights_sha256 == reference.weights_sha256
            == bundle.metadata().weights_sha256)
    assert ffn.granularities == {"S": 32, "M": 64, "L": 128, "XL": 256}
    assert (ffn.n_inputs, ffn.dim) == (784, bundle.head.dim)


def test_the_speech_cell_is_the_zoos():
    pytest.importorskip("torch")
    from edge_sdk.zoo.fastgrnn import runtime_file

    assert (ASSETS / make_assets.SPEECH).read_bytes() == runtime_file().read_bytes()


def test_the_codes_tell_968_classes_apart_by_every_decoder():
    index = CodeIndex.open(ASSETS / make_assets.CODES)
    assert (index.bits, len(index.codes)) == (20, 968)
    words = matvit_codes.load().codebook
    packed = ((words > 0) * (1 << np.arange(20))).sum(1).astype(np.uint64)
    found = index.nearest(packed)
    assert (found.distances == 0).all()
    assert len(set(found.ids.tolist())) == len(set(packed.tolist()))


def test_the_bundle_tells_a_reader_what_an_app_needs(bundle):
    assert bundle.targets == ("executorch",)
    assert list(bundle.metadata().granularities) == ["S", "M", "L", "XL"]
    assert {"published", "risk-0.01"} <= set(bundle.cascades)
    assert bundle.manifest.default == "risk-0.01"
    assert bundle.manifest.notes["labels"] == [str(digit) for digit in range(10)]
    assert bundle.manifest.notes["preprocessing"]["image"]
    assert bundle.cascades["risk-0.01"].provenance["epsilon"] == 0.01


def test_most_digits_have_known_words_and_most_scribbles_at_xl_have_not(bundle, data_root):
    from edge_sdk.data import mnist

    pixels = mnist(data_root).test_images[:1000].reshape(1000, -1)
    ffn, codes = CoreFFN.open(ASSETS / "digits-core"), bundle.codes
    assert codes.codes.bits == 16
    noise = np.random.default_rng(0).random((1000, 784), np.float32)
    near = {}
    for name, inputs in (("digits", pixels / np.float32(255)), ("noise", noise)):
        words = codes.words(ffn.embed(inputs.astype(np.float32), "XL"))
        near[name] = codes.codes.nearest(words).distances < bundle.manifest.unknown_distance
    assert near["digits"].mean() > 0.95
    assert near["noise"].mean() < 0.5


def test_no_picture_of_a_data_set_is_in_the_assets(bundle):
    assert bundle.cases() is None
    from edge_sdk.artifact import unpack_array

    pictures = unpack_array(bundle.metadata().golden.inputs["image"])
    # Noise has its mean everywhere; digits have a black border.
    assert pictures[:, :, 0].mean() == pytest.approx(0.5, abs=0.1)
    assert pictures.mean() == pytest.approx(0.5, abs=0.02)


def test_the_core_classifies_held_out_digits_as_the_bundle_says(bundle, data_root):
    from edge_sdk.bundle.cases import calibrating
    from edge_sdk.data import mnist

    data, ffn = mnist(data_root), CoreFFN.open(ASSETS / "digits-core")
    mask = ~calibrating(len(data.test_labels))
    pixels = (data.test_images[mask].astype(np.float32) / np.float32(255)).reshape(-1, 784)
    labels = data.test_labels[mask]
    embeddings = {name: ffn.embed(pixels, name) for name in ffn.granularities}
    said = bundle.manifest.notes["evaluated"]
    assert said["n"] == len(labels) == 6000
    for name, found in embeddings.items():
        assert (bundle.head.at(found).argmax(1) == labels).mean() == said["levels"][name]["64"]
    for name, cascade in bundle.cascades.items():
        right = (cascade.run(embeddings).ids == labels).mean()
        assert right == said["cascades"][name]["accuracy"], name
        if "epsilon" in cascade.provenance:
            # The promise is for the mean over cases like these; 6,000 of them may miss it a bit.
            loss = said["levels"]["XL"]["64"] - right
            assert loss <= cascade.provenance["epsilon"] + 0.002


def test_the_model_answers_its_golden_inputs(bundle):
    pytest.importorskip("executorch")
    from edge_sdk.selftest import selftest

    selftest(bundle.model())


def test_the_core_and_executorch_agree(bundle):
    pytest.importorskip("executorch")
    from edge_sdk.engines import load

    engine, ffn = load(bundle.model()), CoreFFN.open(ASSETS / "digits-core")
    image = np.random.default_rng(5).random((1, 1, 28, 28), np.float32)
    for name in ffn.granularities:
        found = engine.run({"image": image}, name)["embedding"]
        np.testing.assert_allclose(ffn.embed(image.reshape(1, -1), name), found, rtol=0, atol=1e-4)


def test_the_committed_assets_are_those_that_the_generator_writes(tmp_path, data_root):
    for module in ("torch", "executorch"):
        pytest.importorskip(module)
    make_assets.make(tmp_path, data=data_root)
    made, committed = ours(tmp_path), ours(ASSETS)
    assert sorted(made) == sorted(committed)
    differing = {name for name in made if made[name] != committed[name]}
    assert differing <= VARYING, "run python android_demo/tools/make_assets.py"
    manifests = [without_the_model(files["digits.edge/manifest.json"])
                 for files in (made, committed)]
    assert manifests[0] == manifests[1]
    weights = [Bundle.open(folder / "digits.edge").metadata().weights_sha256
               for folder in (tmp_path, ASSETS)]
    assert weights[0] == weights[1]
