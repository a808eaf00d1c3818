"""Bundles: packed whole or not at all, opened only as they were packed."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import bundles
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk import artifact
from edge_sdk.artifact import GranularityInfo, TensorSpec
from edge_sdk.bundle import Bundle, Manifest, folder, pack
from edge_sdk.cascade import Cascade, Head
from edge_sdk.codes import CodeIndex
from edge_sdk.errors import FormatError, OutputError, ShapeError, VersionError

FILES = ("model.onnx", "head.mrl", "codes.llc", "bits-0.mrl", "bits-1.mrl", "cascades.json",
         "cases.npz", "profile.json")
# Made anew each time: an exception keeps what its traceback saw.
ERRORS = {
    "broken": lambda: RuntimeError("broken"), "Ctrl-C": KeyboardInterrupt,
    "full": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "closed": lambda: PermissionError(errno.EACCES, "Permission denied"),
}


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A bundle with every kind of file; not to be changed."""
    made = tmp_path_factory.mktemp("packed")
    return pack(made / "b.edge", **bundles.parts(made)).path


@pytest.fixture
def copy(packed, tmp_path):
    """A copy of that bundle, alone in its folder."""
    return Path(shutil.copytree(packed, tmp_path / "alone" / "b.edge"))


@pytest.fixture
def parts(tmp_path):
    return bundles.parts(tmp_path)


@pytest.fixture
def place(tmp_path):
    """An empty folder to pack into."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def raising(error):
    def fails(*arguments, **options):
        raise ERRORS[error]()

    return fails


# ---- pack ---------------------------------------------------------------------------------


def test_a_bundle_opens_as_it_was_packed(packed, tmp_path):
    given_ = bundles.parts(tmp_path)
    bundle = Bundle.open(packed)
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(200, 8)).astype(np.float32)
    for dim in bundles.DIMS:
        assert bundle.head.at(vectors, dim).tolist() == given_["head"].at(vectors, dim).tolist()
    assert {name: cascade.to_dict() for name, cascade in bundle.cascades.items()} == \
        {name: cascade.to_dict() for name, cascade in given_["cascades"].items()}
    embeddings = {"S": vectors, "XL": vectors[::-1].copy()}
    for name, cascade in bundle.cascades.items():
        ours, theirs = cascade.run(embeddings), given_["cascades"][name].run(embeddings)
        assert ours.ids.tolist() == theirs.ids.tolist()
        assert ours.levels.tolist() == theirs.levels.tolist()
        assert ours.confidences.tolist() == theirs.confidences.tolist()
    assert bundle.codes.words(vectors).tolist() == given_["codes"].words(vectors).tolist()
    assert bundle.codes.codes.codes.tolist() == given_["codes"].codes.codes.tolist()
    assert bundle.codes.confidences(vectors).tolist() == \
        given_["codes"].confidences(vectors).tolist()
    cases = bundle.cases()
    assert cases.inputs["x"].tolist() == given_["cases"].inputs["x"].tolist()
    assert (cases.labels.tolist(), cases.words) == ([0, 1, 2, 3, 4, 0], "noise, ä")
    assert bundle.profile_content == bundles.PROFILE
    assert bundle.manifest.notes == given_["notes"]
    assert (bundle.manifest.name, bundle.manifest.model, bundle.manifest.weights_sha256,
            bundle.manifest.default, bundle.manifest.unknown_distance) == (
        "b", "made up", "1" * 64, "never", 3)
    assert (bundle.targets, bundle.model(), bundle.model("onnx")) == (
        ("onnx",), packed / "model.onnx", packed / "model.onnx")
    assert bundle.metadata() == bundles.metadata()
    assert sorted(bundles.contents(packed)) == sorted([*FILES, "manifest.json"])


def test_a_projection_to_other_bits_than_the_codes_is_refused():
    with pytest.raises(ShapeError, match=r"layers that lead to 12 bits, got .*\(7, 11\)\]"):
        bundles.code_signal(width=11)


def test_the_bits_come_from_layers_with_relu_between():
    signal = bundles.code_signal()
    vectors = np.random.default_rng(2).normal(size=(50, 8)).astype(np.float32)
    hidden = np.maximum(signal.project[0].at(vectors), 0)
    assert (hidden == 0).any()
    assert np.array_equal(signal.scores(vectors), signal.project[1].at(hidden))


def test_codes_give_each_bit_the_sign_of_its_score():
    signal = bundles.code_signal()
    vectors = np.random.default_rng(2).normal(size=(50, 8)).astype(np.float32)
    slowly = [sum(1 << j for j, score in enumerate(row) if score >= 0)
              for row in signal.scores(vectors)]
    assert signal.words(vectors).tolist() == slowly
    distances = [min(bin(word ^ int(code)).count("1") for code in signal.codes.codes)
                 for word in slowly]
    assert signal.codes.nearest(signal.words(vectors)).distances.tolist() == distances


def test_the_least_bundle_is_a_model_and_its_head(parts, place):
    bundle = pack(place / "b.edge", models=parts["models"], head=parts["head"])
    assert (bundle.codes, bundle.cases(), bundle.profile_content, bundle.cascades) == (
        None, None, None, {})
    assert (bundle.manifest.default, bundle.manifest.unknown_distance) == ("", None)
    assert sorted(bundle.manifest.files) == ["cascades.json", "head.mrl", "model.onnx"]


def test_a_distance_without_codes_is_not_stored(parts, place):
    bundle = pack(place / "b.edge", models=parts["models"], head=parts["head"], unknown_distance=7)
    assert bundle.manifest.unknown_distance is None


def test_an_engine_that_was_not_packed_has_no_model(packed):
    with pytest.raises(FormatError, match="a model for one of onnx, got litert"):
        Bundle.open(packed).model("litert")


def test_each_engine_gets_its_own_model(parts, place, tmp_path, monkeypatch):
    (tmp_path / "m.tflite").write_bytes(b"of another engine")
    monkeypatch.setattr(folder, "open_artifact", lambda path: artifact.Artifact(
        Path(path), "", bundles.metadata(
            target="litert" if Path(path).suffix == ".tflite" else "onnx")))
    bundle = pack(place / "b.edge", **{
        **parts, "models": [tmp_path / "m.tflite", *parts["models"]]})
    assert bundle.targets == ("litert", "onnx")
    assert bundle.model() == bundle.model("litert") == place / "b.edge" / "model.tflite"
    assert bundle.model("onnx").read_bytes() == parts["models"][0].read_bytes()


def test_packing_over_a_bundle_replaces_it(copy, parts):
    (copy / "stray.txt").write_text("of nobody")
    bundle = pack(copy, models=parts["models"], head=bundles.head(seed=9))
    assert sorted(bundles.contents(copy.parent)) == [
        f"b.edge/{name}" for name in ("cascades.json", "head.mrl", "manifest.json", "model.onnx")]
    assert bundle.head.at(np.ones(8, np.float32)).tolist() == \
        bundles.head(seed=9).at(np.ones(8, np.float32)).tolist()


def test_a_bundle_may_be_packed_again_from_its_own_parts(copy):
    old = Bundle.open(copy)
    again = pack(copy, models=[old.model()], head=old.head, cascades=old.cascades,
                 codes=old.codes)
    assert again.metadata() == bundles.metadata()
    assert list(again.cascades) == list(old.cascades)


@pytest.mark.parametrize("error", ["broken", "Ctrl-C", "full"])
@pytest.mark.parametrize(("owner", "name"), [
    (shutil, "copyfile"), (Head, "save"), (CodeIndex, "save"), (folder, "save_cases"),
    (Manifest, "to_json"), (folder, "_sha256"), (Bundle, "open")])
@pytest.mark.parametrize("standing", [True, False])
def test_what_fails_in_the_middle_leaves_all_as_it_was(
        owner, name, error, standing, copy, parts, monkeypatch):
    if not standing:
        shutil.rmtree(copy)
    before = bundles.contents(copy.parent)
    parts["head"] = bundles.head(seed=9)
    parts["cascades"] = {}
    monkeypatch.setattr(owner, name, raising(error))
    expected = {"broken": RuntimeError, "Ctrl-C": KeyboardInterrupt, "full": OutputError}
    with pytest.raises(expected[error]):
        pack(copy, **{**parts, "default": ""})
    assert bundles.contents(copy.parent) == before
    assert [path.name for path in copy.parent.iterdir()] == ["b.edge"] * standing


@pytest.mark.parametrize("error", ["Ctrl-C", "closed"])
def test_every_move_may_fail_and_one_whole_bundle_stands(error, copy, parts, monkeypatch):
    before, moves = bundles.contents(copy), []
    arguments = {**parts, "head": bundles.head(seed=9), "cascades": {}, "default": ""}
    replace = os.replace

    def fails_at(place):
        def move(source, target):
            moves.append(Path(target).name)
            if len(moves) == place:
                raise ERRORS[error]()
            replace(source, target)

        return move

    for place in range(1, 50):
        moves.clear()
        monkeypatch.setattr(os, "replace", fails_at(place))
        try:
            pack(copy, **arguments)
        except (KeyboardInterrupt, OutputError):
            assert bundles.contents(copy) == before
            assert [path.name for path in copy.parent.iterdir()] == ["b.edge"]
        else:
            break
    assert moves[-2:] == ["old", "b.edge"]  # or the moves that matter were never tried
    assert place == len(moves) + 1
    assert Bundle.open(copy).cascades == {}


def test_a_folder_that_is_no_bundle_is_not_replaced(parts, place):
    (place / "b.edge").mkdir()
    (place / "b.edge" / "thesis.tex").write_text("mine")
    (place / "file.edge").write_text("mine too")
    before = bundles.contents(place)
    for name in ("b.edge", "file.edge"):
        with pytest.raises(OutputError, match="a new folder, or a bundle to replace"):
            pack(place / name, **parts)
    assert bundles.contents(place) == before


def test_a_missing_or_closed_folder_is_an_output_error(parts, place, monkeypatch):
    with pytest.raises(OutputError, match="no such folder"):
        pack(place / "none" / "b.edge", **parts)
    if os.geteuid() != 0:  # root writes everywhere
        place.chmod(0o555)
        with pytest.raises(OutputError):
            pack(place / "b.edge", **parts)
        place.chmod(0o755)
    monkeypatch.setattr(folder.tempfile, "mkdtemp", raising("closed"))
    with pytest.raises(OutputError, match="Permission denied"):
        pack(place / "b.edge", **parts)
    assert list(place.iterdir()) == []


MISFITS = {
    "suffix": (lambda p: {"out": "b.zip"}, "a folder ending in .edge"),
    "no model": (lambda p: {"models": []}, "one model for each"),
    "one engine twice": (lambda p: {"models": p["models"] * 2}, "one model for each"),
    "wide head": (lambda p: {"head": bundles.head((4, 9)), "cascades": {}, "default": ""},
                  "an output embedding of 9 dims or more"),
    "classes": (lambda p: {"head": bundles.head(n_classes=6), "cascades": {}, "default": ""},
                "expected 5 classes, got 6"),
    "other head": (lambda p: {"cascades": {"never": Cascade(bundles.head((2, 8)), [("S", 2)])}},
                   "learn it with the bundle's head"),
    "granularity": (lambda p: {"cascades": {"never": Cascade(p["head"], [("M", 8)])}},
                    "expected one of S, XL, got M"),
    "a granularity's name": (lambda p: {"cascades": {"S": Cascade(p["head"], [("XL", 8)])},
                                        "default": "S"}, "a name other than S, XL"),
    "default": (lambda p: {"default": "best"}, "one of the cascades dims, never, coded"),
    "no codes": (lambda p: {"codes": None}, "class codes for the signal llc_margin"),
    "wide projection": (lambda p: {"codes": bundles.code_signal(dim=9), "cascades": {},
                                   "default": ""}, "an output embedding of 9 dims"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_parts_that_do_not_fit_are_refused(name, parts, place):
    change, message = MISFITS[name]
    arguments = {"out": "b.edge", **parts, **change(parts)}
    with pytest.raises(ShapeError, match=message):
        pack(place / arguments.pop("out"), **arguments)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(("changes", "message"), [
    ({"weights_sha256": "2" * 64}, "different weights"),
    ({"outputs": (TensorSpec("logits", (1, 5), "float32"),)}, "an output embedding of 8 dims"),
    ({"granularities": {"S": GranularityInfo((8,), 1, 1)}}, "got XL"),
])
def test_a_second_model_must_be_the_first_for_another_engine(
        changes, message, parts, place, tmp_path):
    second = bundles.write_artifact(tmp_path / "second.onnx", target="litert", **changes)
    with pytest.raises(ShapeError, match=message):
        pack(place / "b.edge", **{**parts, "models": [*parts["models"], second]})


def test_a_damaged_model_is_not_packed(parts, place):
    model = parts["models"][0]
    model.write_bytes(model.read_bytes()[:-1])
    with pytest.raises(FormatError):
        pack(place / "b.edge", **parts)
    assert list(place.iterdir()) == []


# ---- open ---------------------------------------------------------------------------------


def flip(path, at=0, bit=0):
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 1 << bit
    path.write_bytes(content)


def relink(path):
    """Put a link to an equal file outside in its place."""
    outside = path.parent.parent / f"outside-{path.name}"
    shutil.move(path, outside)
    path.symlink_to(outside)


def refold(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "flipped": flip, "last bit flipped": lambda path: flip(path, -1, 7),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "emptied": lambda path: path.write_bytes(b""),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "deleted": lambda path: path.unlink(), "a link": relink, "a folder": refold,
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_to_a_file_is_found_and_the_file_is_named(damage, name, copy):
    DAMAGES[damage](copy / name)
    with pytest.raises(FormatError, match=name.replace(".", r"\.")):
        Bundle.open(copy)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [d for d in DAMAGES if "flipped" not in d])
def test_without_verification_sizes_and_kinds_are_still_checked(damage, name, copy):
    DAMAGES[damage](copy / name)
    with pytest.raises(FormatError, match=name.replace(".", r"\.")):
        Bundle.open(copy, verify=False)


def test_without_verification_digests_are_not_compared(copy):
    known = Bundle.open(copy).manifest
    flip(copy / "cases.npz", 40)
    assert Bundle.open(copy, verify=False).manifest == known
    with pytest.raises(FormatError):
        Bundle.open(copy)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FILES), st.integers(0, 1 << 20), st.integers(0, 7))
def test_any_flipped_bit_of_any_file_is_found(packed, name, at, bit):
    whole = (packed / name).read_bytes()
    try:
        flip(packed / name, at, bit)
        with pytest.raises(FormatError, match=name.replace(".", r"\.")):
            Bundle.open(packed)
    finally:
        (packed / name).write_bytes(whole)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_manifest_with_any_other_byte_says_the_same_or_is_refused(packed, data):
    path = packed / "manifest.json"
    whole = path.read_bytes()
    known = Manifest.from_json(whole.decode(), where="")
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255))
    try:
        path.write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
        assert Bundle.open(packed).manifest == known  # white space may differ
    except FormatError:
        assert byte != whole[at]
    finally:
        path.write_bytes(whole)


def test_a_manifest_cut_anywhere_is_refused(packed):
    text = (packed / "manifest.json").read_text("utf-8")
    for length in range(len(text.rstrip())):
        with pytest.raises(FormatError):
            Manifest.from_json(text[:length], where="manifest")


@pytest.mark.parametrize("damage", [
    DAMAGES["deleted"], relink, refold, lambda path: path.write_bytes(b"\xff\xfe"),
    lambda path: path.write_text("[]"), lambda path: path.write_text("null"),
    lambda path: path.write_text("[" * 100_000)])
def test_a_folder_without_its_manifest_is_no_bundle(damage, copy):
    damage(copy / "manifest.json")
    with pytest.raises(FormatError):
        Bundle.open(copy)
    with pytest.raises(FormatError):
        Bundle.open(copy.parent / "nowhere.edge")


@pytest.mark.parametrize("sealed", [True, False])
def test_a_newer_manifest_asks_for_an_update_whatever_it_holds(sealed, copy):
    bundles.reseal(copy, lambda raw: raw.update(schema_version=2, invention={"of": "tomorrow"}))
    if not sealed:  # a newer version may seal in another way
        path = copy / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "seal": "other"}))
    with pytest.raises(VersionError, match="pip install --upgrade edge-inference-sdk"):
        Bundle.open(copy)


@pytest.mark.parametrize("name", [
    "../x", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "manifest.json", "x/", "./x", "a\0b",
    "\ud800", "x" * 300])
def test_a_name_that_leads_elsewhere_is_refused_even_if_sealed(name, copy):
    (copy.parent / "x").write_bytes((copy / "cases.npz").read_bytes())

    def rename(raw):
        raw["files"][name] = raw["files"].pop("cases.npz")

    try:
        bundles.reseal(copy, rename)
    except UnicodeEncodeError:  # half a character has no bytes: only its escape can be written
        path = copy / "manifest.json"
        path.write_text(path.read_text("utf-8").replace("cases.npz", "\\ud800"), "utf-8")
    with pytest.raises(FormatError):
        Bundle.open(copy)


BAD_MANIFESTS = {
    "unknown role": lambda raw: raw["files"]["cases.npz"].update(role="virus"),
    "no model": lambda raw: raw["files"].pop("model.onnx"),
    "a model for no engine": lambda raw: raw["files"]["cases.npz"].update(role="model"),
    "no head": lambda raw: raw["files"].pop("head.mrl"),
    "codes without projection": lambda raw: raw["files"].pop("bits-1.mrl"),
    "cascades with a signal that is not there": lambda raw: raw["files"].pop("codes.llc"),
    "size in words": lambda raw: raw["files"]["cases.npz"].update(n_bytes="many"),
    "digest as a number": lambda raw: raw["files"]["cases.npz"].update(sha256=5),
    "one more field": lambda raw: raw["files"]["cases.npz"].update(mode=7),
    "files as a list": lambda raw: raw.update(files=list(raw["files"])),
    "no files": lambda raw: raw.update(files={}),
    "notes as a list": lambda raw: raw.update(notes=[]),
    "a default that is not there": lambda raw: raw.update(default="best"),
    "a distance in words": lambda raw: raw.update(unknown_distance="far"),
    "another key": lambda raw: raw.update(surprise=1),
    "a missing key": lambda raw: raw.pop("model"),
    "version in words": lambda raw: raw.update(schema_version="one"),
}


@pytest.mark.parametrize("name", BAD_MANIFESTS)
def test_a_sealed_manifest_of_another_form_is_refused(name, copy):
    bundles.reseal(copy, BAD_MANIFESTS[name])
    with pytest.raises(FormatError):
        Bundle.open(copy)


def test_a_manifest_sealed_here_is_one_that_opens(copy):
    bundles.reseal(copy, lambda raw: raw["notes"].update(more="ö"))
    assert Bundle.open(copy).manifest.notes["more"] == "ö"


def test_files_that_the_manifest_does_not_name_are_ignored(copy):
    (copy / "notes.txt").write_text("hello")
    (copy / "profile-old.json").write_text("[")
    (copy / "folder").mkdir()
    assert set(Bundle.open(copy).manifest.files) == set(FILES)


def changed(key, **changes):
    """Return cascades.json with one cascade changed."""
    def change(text):
        stored = json.loads(text)
        stored[key].update(changes)
        return json.dumps(stored)

    return change


def without(*keys):
    """Return JSON without what lies at the end of `keys`."""
    def change(text):
        stored = json.loads(text)
        inner = stored
        for key in keys[:-1]:
            inner = inner[key]
        del inner[keys[-1]]
        return json.dumps(stored)

    return change


BAD_PARTS = [
    *[(name, change) for name in ("cascades.json", "profile.json") for change in (
        lambda text: "[]", lambda text: "7", lambda text: text[:-3], lambda text: "\udcff",
        lambda text: "[" * 100_000)],
    *[("cascades.json", without("never", key)) for key in (
        "levels", "thresholds", "signal", "agree", "interpolate", "provenance")],
    ("cascades.json", lambda text: '{"never": 5}'),
    ("cascades.json", changed("never", levels=[["S", 7], ["XL", 8]])),
    ("cascades.json", changed("never", levels=[])),
    ("cascades.json", changed("never", thresholds=[])),
    ("cascades.json", changed("never", thresholds=["nan"])),
    ("cascades.json", changed("never", signal="hope")),
    *[("profile.json", without(*keys)) for keys in (
        ("device",), ("target",), ("plans",), ("device", "key"), ("device", "cpu"))],
    ("profile.json", lambda text: text.replace('"plans": []', '"plans": [1]')),
    ("profile.json", lambda text: text.replace('"schema_version": 1', '"schema_version": 2')),
]


@pytest.mark.parametrize(("name", "change"), BAD_PARTS)
def test_json_of_another_form_is_refused_though_its_digest_is_right(name, change, copy):
    text = (copy / name).read_text("utf-8")
    other = change(text)
    assert other != text
    bundles.replace_file(copy, name, other.encode("utf-8", "surrogateescape"))
    with pytest.raises(FormatError):
        Bundle.open(copy)


@pytest.mark.parametrize("name", ["head.mrl", "codes.llc", "bits-1.mrl"])
def test_noise_for_a_core_file_is_refused_though_its_digest_is_right(name, copy):
    bundles.replace_file(copy, name, np.random.default_rng(0).bytes(4096))
    with pytest.raises(FormatError):
        Bundle.open(copy)


# ---- the profile --------------------------------------------------------------------------


def test_a_new_profile_takes_the_place_of_the_old_one(copy):
    before = bundles.contents(copy)
    bundle = Bundle.open(copy)
    for repeats in (20, 30):
        bundle.replace_profile({**bundles.PROFILE, "repeats": repeats})
        opened = Bundle.open(copy)
        assert opened.profile_content == bundle.profile_content
        assert opened.profile_content["repeats"] == repeats
        assert opened.manifest == bundle.manifest
        after = bundles.contents(copy)
        new, = set(after) - set(before)
        assert new.startswith("profile-")
        assert set(before) - set(after) == {"profile.json"}
        assert all(after[name] == before[name] for name in set(after) - {new, "manifest.json"})


def test_the_same_profile_may_be_stored_again(copy):
    bundle = Bundle.open(copy)
    for _ in range(2):
        bundle.replace_profile({**bundles.PROFILE, "repeats": 20})
        assert Bundle.open(copy).profile_content["repeats"] == 20
    assert len(list(copy.glob("profile*"))) == 1


def test_a_bundle_without_a_profile_gets_one(parts, place):
    bundle = pack(place / "b.edge", models=parts["models"], head=parts["head"])
    bundle.replace_profile(bundles.PROFILE)
    assert Bundle.open(bundle.path).profile_content == bundles.PROFILE


@pytest.mark.parametrize("error", ["full", "Ctrl-C"])
@pytest.mark.parametrize("owner", ["moved", "written"])
def test_a_profile_that_can_not_be_stored_leaves_the_old_one(owner, error, copy, monkeypatch):
    bundle = Bundle.open(copy)
    replace = os.replace

    def moves(source, target):
        if Path(target).name == "manifest.json":
            raise ERRORS[error]()
        replace(source, target)

    if owner == "moved":
        monkeypatch.setattr(os, "replace", moves)
    else:
        monkeypatch.setattr(Manifest, "to_json", raising(error))
    with pytest.raises((OutputError, KeyboardInterrupt)):
        bundle.replace_profile({**bundles.PROFILE, "repeats": 20})
    assert bundle.profile_content == bundles.PROFILE
    assert Bundle.open(copy).profile_content == bundles.PROFILE


@pytest.mark.parametrize("keys", [("device",), ("plans",), ("device", "model"), ("target",)])
def test_what_is_no_profile_is_never_stored(keys, copy):
    before = bundles.contents(copy)
    broken = json.loads(without(*keys)(json.dumps(bundles.PROFILE)))
    with pytest.raises(FormatError, match=r"python -m edge_sdk\.profile"):
        Bundle.open(copy).replace_profile(broken)
    assert bundles.contents(copy) == before
