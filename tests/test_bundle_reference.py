"""The reference bundle of matvit-digits: exported without its head, calibrated, evaluated."""

from __future__ import annotations

import json
import shutil

import bundles
import numpy as np
import pytest

from edge_sdk import source as sources
from edge_sdk.bundle import Bundle, reference
from edge_sdk.bundle.cases import SPLIT, calibrating, embed
from edge_sdk.cascade import Head
from edge_sdk.engines import load
from edge_sdk.errors import DataError, OutputError, ShapeError, UnsupportedModel
from edge_sdk.selftest import selftest

for library in ("torch", "onnx", "onnxscript", "onnxruntime", "sklearn"):
    pytest.importorskip(library)

N_HELD_OUT, N_CALIBRATING = 360, 144


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return Bundle.open(bundles.packed_digits(tmp_path_factory))


@pytest.fixture(scope="module")
def held_out():
    return reference.held_out("matvit-digits")


@pytest.fixture(scope="module")
def embeddings(digits, held_out):
    """What the packed file computes in its engine, {granularity: (360, 64)}."""
    engine = load(digits.model())
    return embed(engine, held_out.inputs, engine.granularities)


@pytest.fixture(scope="module")
def universal():
    from edge_sdk import zoo

    return zoo.load("matvit-digits").model


@pytest.fixture(scope="module")
def logits(universal, embeddings):
    """The head's answers in float64, {granularity: (360, 10)}."""
    weight, bias = (tensor.detach().numpy().astype(np.float64)
                    for tensor in (universal.head.weight, universal.head.bias))
    return {name: vectors.astype(np.float64) @ weight.T + bias
            for name, vectors in embeddings.items()}


# ---- the file without a head --------------------------------------------------------------


def test_the_file_computes_the_embeddings_of_the_model_at_each_granularity(
        digits, held_out, embeddings, universal):
    import torch

    from edge_sdk.nn.matformer import use_widths

    assert list(embeddings) == ["S", "M", "L", "XL"]
    images = torch.from_numpy(held_out.inputs["image"])
    for name, info in digits.metadata().granularities.items():
        with torch.no_grad(), use_widths(universal, info.widths):
            eager = universal.embed(images).numpy()
        assert embeddings[name].shape == eager.shape == (N_HELD_OUT, 64)
        assert np.abs(embeddings[name] - eager).max() <= 1e-4
    assert np.abs(embeddings["S"] - embeddings["XL"]).max() > 1e-2  # or the widths did nothing


def test_its_one_output_is_the_embedding_and_no_accuracy_is_claimed(digits):
    metadata = digits.metadata()
    assert [(spec.name, spec.shape) for spec in metadata.outputs] == [("embedding", (1, 64))]
    for info in metadata.granularities.values():
        assert info.accuracy is None
        assert (info.comparison.n, info.comparison.max_difference <= 1e-4) == (N_HELD_OUT, True)
    tested = selftest(digits.model())
    assert set(tested.max_difference) == {"S", "M", "L", "XL"}


def test_it_carries_every_weight_but_those_of_the_head(digits, universal):
    whole = sum(parameter.numel() for parameter in universal.parameters())
    head = sum(parameter.numel() for parameter in universal.head.parameters())
    assert head == 650
    assert digits.metadata().granularities["XL"].parameters == whole - head
    content = digits.model().read_bytes()
    assert universal.norm.weight.detach().numpy().tobytes() in content  # so are weights stored
    for parameter in universal.head.parameters():
        matrix = parameter.detach().numpy()
        assert matrix.tobytes() not in content
        assert np.ascontiguousarray(matrix.T).tobytes() not in content


def test_a_source_without_a_head_leaves_the_model_as_it_was(universal):
    import torch

    found = sources.find_source("matvit-digits", embedding_only=True, n_cases=8)
    x = torch.from_numpy(found.inputs["image"])
    with torch.no_grad():
        only = found.model(x)
        assert list(only) == ["embedding"]
        assert torch.equal(only["embedding"], universal.embed(x))
        assert torch.equal(found.universal(x), universal(x))
    assert isinstance(found.universal.head, torch.nn.Linear)
    assert (found.targets, len(found.labels)) == (None, 10)


def test_the_head_classifies_as_the_models_own(digits, embeddings, logits):
    assert (digits.head.dims, digits.head.n_classes) == ([64], 10)
    for name, vectors in embeddings.items():
        scale = np.abs(logits[name]).max()
        assert np.abs(digits.head.at(vectors) - logits[name]).max() <= 1e-5 * scale


# ---- calibration and evaluation -----------------------------------------------------------


def test_noted_accuracies_are_those_of_an_independent_count(digits, held_out, logits):
    rest = [i for i in range(N_HELD_OUT) if i % 5 >= 2]
    evaluated = digits.manifest.notes["evaluated"]
    assert evaluated["n"] == len(rest) == N_HELD_OUT - N_CALIBRATING
    for name, scores in logits.items():
        right = sum(int(scores[i].argmax()) == int(held_out.labels[i]) for i in rest)
        assert evaluated["levels"][name] == {"64": right / len(rest)}

    threshold = float(digits.cascades["published"].thresholds[0])
    right, early = 0, 0
    for i in rest:
        small = np.exp(logits["S"][i] - logits["S"][i].max())
        sure = (small / small.sum()).max() > threshold
        early += sure
        right += (logits["S"] if sure else logits["XL"])[i].argmax() == held_out.labels[i]
    found = evaluated["cascades"]["published"]
    assert found["accuracy"] == right / len(rest)
    assert found["fractions"] == [early / len(rest), (len(rest) - early) / len(rest)]


def test_thresholds_are_learnt_on_the_calibrating_cases_alone(digits, held_out, embeddings):
    mask = calibrating(N_HELD_OUT)
    cascade = digits.cascades["published"]
    origin = cascade.provenance
    ours = {name: vectors[mask] for name, vectors in embeddings.items()}
    assert (origin["method"], origin["n"]) == ("published", N_CALIBRATING)
    assert origin["data_sha256"] == cascade.digest(ours, held_out.labels[mask])
    assert origin["data"] == digits.manifest.notes["split"] == f"{held_out.words}; {SPLIT}"
    macs = [digits.metadata().granularities[name].macs for name in ("S", "XL")]
    stays = float((cascade.run(ours).levels == 1).mean())
    assert origin["mean_cost"] == pytest.approx(macs[0] + stays * macs[1], rel=1e-12)


def test_a_promise_that_needs_more_cases_is_named_in_the_notes(digits):
    assert list(digits.cascades) == ["published"]
    assert digits.manifest.default == ""
    for epsilon, n in (("0.005", 920), ("0.01", 460), ("0.02", 228)):
        assert digits.manifest.notes[f"risk-{epsilon}"].startswith(
            f"expected {n} calibration cases for epsilon={epsilon} and delta=0.1, got 144")


def test_a_promise_with_enough_cases_is_learnt(digits, held_out, embeddings):
    often = {name: np.tile(vectors, (4, 1)) for name, vectors in embeddings.items()}
    labels = np.tile(held_out.labels, 4)
    found, notes = reference.learn_all(digits.head, digits.metadata(), often, labels,
                                       epsilons=(0.02, 0.0001), delta=0.1, seed=0, words="tiled")
    assert list(found) == ["published", "risk-0.02"]
    assert [name for name in notes if name.startswith("risk")] == ["risk-0.0001"]
    origin = found["risk-0.02"].provenance
    assert (origin["epsilon"], origin["delta"], origin["data"]) == (0.02, 0.1, "tiled")
    assert origin["accuracy"] >= origin["full_accuracy"] - 0.02


def test_a_head_of_several_dims_gets_a_cascade_through_them(embeddings, held_out, digits):
    rng = np.random.default_rng(0)
    head = Head.build([rng.normal(size=(10, dim)) for dim in (16, 64)], [np.zeros(10)] * 2)
    found, _ = reference.learn_all(head, digits.metadata(), embeddings, held_out.labels,
                                   epsilons=(), delta=0.1, seed=0, words="")
    assert [str(level) for level in found["dims"].levels] == ["XL/16", "XL/64"]


def test_packed_cases_are_spread_over_those_that_evaluate(digits, held_out):
    rest = np.flatnonzero(np.arange(N_HELD_OUT) % 5 >= 2)
    chosen = rest[[i * 216 // 200 for i in range(200)]]
    cases = digits.cases()
    assert len(set(chosen)) == len(cases) == 200
    assert cases.labels.tolist() == held_out.labels[chosen].tolist()
    assert cases.inputs["image"].tobytes() == held_out.inputs["image"][chosen].tobytes()
    assert len(reference.sample(cases.take(np.arange(7), "few"))) == 7


def test_the_known_distance_is_the_least_that_keeps_enough_of_every_granularity():
    signal = bundles.code_signal()
    rng = np.random.default_rng(4)
    for n in (1, 2, 19, 20, 21, 150):
        of = {name: rng.normal(size=(n, 8)).astype(np.float32) for name in ("S", "XL")}
        apart = {name: [min(bin(int(word) ^ int(code)).count("1") for code in signal.codes.codes)
                        for word in signal.words(vectors)] for name, vectors in of.items()}
        least = next(d for d in range(bundles.BITS + 2) if all(
            sum(distance < d for distance in row) >= reference.ACCEPTED * n
            for row in apart.values()))
        assert reference.known_distance(signal, of) == least


# ---- what can not be packed ---------------------------------------------------------------


def test_what_is_wrong_from_the_start_is_said_before_any_work(tmp_path, monkeypatch):
    monkeypatch.delenv("EDGE_SDK_DATA", raising=False)
    out = tmp_path / "b.edge"
    with pytest.raises(UnsupportedModel, match="got 'gpt'"):
        reference.pack_reference("gpt", out)
    with pytest.raises(DataError, match="pass --data DIR, or set"):
        reference.pack_reference("matvit-cifar10", out)
    with pytest.raises(DataError):
        reference.pack_reference("matvit-cifar10", out, data=tmp_path / "none")
    with pytest.raises(DataError, match="the data set of matvit-cifar10"):
        reference.held_out("matvit-cifar10")

    def loads(*arguments, **options):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(sources, "find_source", loads)
    with pytest.raises(UnsupportedModel, match="one of the targets"):
        reference.pack_reference("matvit-digits", out, targets=("onnx", "coreml"))
    with pytest.raises(ShapeError, match=r"a folder ending in \.edge"):
        reference.pack_reference("matvit-digits", tmp_path / "b")
    with pytest.raises(OutputError, match="no such folder"):
        reference.pack_reference("matvit-digits", tmp_path / "none" / "b.edge")
    assert list(tmp_path.iterdir()) == []


def test_an_engine_without_embeddings_can_not_calibrate(held_out):
    class Logits:
        metadata = bundles.metadata(outputs=(bundles.TensorSpec("logits", (1, 5), "float32"),))

    with pytest.raises(ShapeError, match="an output named embedding, got logits"):
        embed(Logits(), held_out.inputs, ["S"])


@pytest.mark.slow
def test_a_model_with_several_dims_packs_with_its_data(data_root, tmp_path):
    bundle = reference.pack_reference("matvit-cifar10", tmp_path / "c.edge", data=data_root,
                                      n_cases=300)
    assert (bundle.head.dims, bundle.head.tied) == ([8, 16, 32, 64, 128], True)
    assert {"published", "dims"} <= set(bundle.cascades)
    evaluated = bundle.manifest.notes["evaluated"]
    assert evaluated["n"] == 180
    assert set(evaluated["levels"]["XL"]) == {"8", "16", "32", "64", "128"}
    assert evaluated["levels"]["XL"]["128"] > 0.5


def test_omniglots_bundle_has_dims_codes_and_verdicts(data_root, tmp_path):
    from edge_sdk.device import FixedDevice
    from edge_sdk.session import Session

    bundle = reference.pack_reference("matvit-omniglot", tmp_path / "o.edge", data=data_root,
                                      n_cases=250)
    assert bundle.head.dims == [8, 16, 32, 64, 128, 192]
    assert {"published", "dims"} <= set(bundle.cascades)
    assert set(bundle.manifest.notes["evaluated"]["levels"]) == {"S", "M", "L", "XL"}
    assert bundle.codes is not None
    assert (bundle.codes.codes.bits, len(bundle.codes.codes)) == (20, 968)

    session, cases = Session(bundle, device=FixedDevice()), bundle.cases()
    assert cases is not None
    answers = [session.classify(image, plan="XL") for image in cases.inputs["image"]]
    assert np.mean([answer.id for answer in answers] == cases.labels) > 0.7
    # So many of the calibration inputs count as known; these are others.
    assert np.mean([answer.known for answer in answers]) > 0.8
    limit = bundle.manifest.unknown_distance
    assert all(answer.known == (answer.code_distance < limit) for answer in answers)
    assert session.embed(cases.inputs["image"][0], dim=16).shape == (16,)


# ---- the commands -------------------------------------------------------------------------


def test_pack_passes_on_what_it_is_told_and_shows_the_bundle(
        digits, tmp_path, monkeypatch, run_command):
    from edge_sdk.bundle.__main__ import app

    told = {}

    def packs(model, out, **options):
        told.update(options, model=model, out=str(out))
        return digits

    monkeypatch.setattr(reference, "pack_reference", packs)
    status, out, err = run_command(app, "pack", "matvit-digits", "--target", "onnx, litert",
                                   "--seed", 3, "--out", tmp_path / "b.edge", "--quiet",
                                   "--no-profile")
    assert (status, err) == (0, "")
    assert (told["model"], told["targets"], told["seed"], told["data"], told["out"]) == (
        "matvit-digits", ["onnx", "litert"], 3, None, str(tmp_path / "b.edge"))
    lines = out.splitlines()
    assert lines[0].startswith(f"bundle  {digits.path}  ")
    assert lines[1].endswith("10 classes  dims 64")
    assert any(line.startswith("cascade published    S/64 > XL/64  published  n 144")
               for line in lines)
    assert any(line.startswith("missing risk-0.01    expected 460 calibration cases")
               for line in lines)
    assert lines[-1] == "profile none: python -m edge_sdk.profile FOLDER measures this device"
    monkeypatch.chdir(tmp_path)
    assert run_command(app, "pack", "matvit-digits", "--quiet", "--no-profile")[0] == 0
    assert told["out"] == "matvit-digits.edge"


def test_pack_stores_the_profile_of_this_device_too(digits, tmp_path, monkeypatch, run_command):
    from edge_sdk import profile
    from edge_sdk.bundle.__main__ import app

    copy = tmp_path / "b.edge"
    shutil.copytree(digits.path, copy)
    monkeypatch.setattr(reference, "pack_reference", lambda *_, **__: Bundle.open(copy))
    monkeypatch.setattr(profile, "measure", lambda bundle, report: bundles.PROFILE)
    status, out, _ = run_command(app, "pack", "matvit-digits", "--out", copy, "--quiet")
    assert status == 0
    assert out.splitlines()[-1] == "profile unknown model  a cpu"
    assert Bundle.open(copy).profile_content == bundles.PROFILE


def test_errors_of_the_commands_are_one_message_and_status_1(tmp_path, run_command):
    from edge_sdk.bundle.__main__ import app

    for arguments, message in (
            (("pack", "gpt", "--out", tmp_path / "b.edge"), "UnsupportedModel: expected one of"),
            (("pack", "matvit-digits", "--out", tmp_path / "b"), "ShapeError: expected a folder"),
            (("verify", tmp_path / "none.edge"), "FormatError: expected a bundle"),
            (("show", tmp_path), "FormatError: expected a bundle")):
        status, out, err = run_command(app, *arguments)
        assert (status, out) == (1, "")
        assert message in err
        assert "Traceback" not in err
    assert run_command(app, "verify")[0] == 2
    assert list(tmp_path.iterdir()) == []


def test_verify_names_every_file_and_finds_a_changed_one(tmp_path, run_command):
    from edge_sdk.bundle import pack
    from edge_sdk.bundle.__main__ import app

    bundle = pack(tmp_path / "b.edge", **bundles.parts(tmp_path))
    status, out, err = run_command(app, "verify", bundle.path)
    assert (status, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert [(row[1], row[2], int(row[3]), row[6], row[7]) for row in rows] == [
        (name, entry.role, (bundle.path / name).stat().st_size, entry.sha256[:16], "ok")
        for name, entry in bundle.manifest.files.items()]
    cases = bundle.path / "cases.npz"
    cases.write_bytes(cases.read_bytes()[::-1])
    status, out, err = run_command(app, "verify", bundle.path)
    assert (status, out) == (1, "")
    assert "cases.npz" in err


def test_show_prints_what_a_bundle_holds_for_people_and_machines(tmp_path, run_command):
    from edge_sdk.bundle import pack
    from edge_sdk.bundle.__main__ import app

    bundle = pack(tmp_path / "b.edge", **bundles.parts(tmp_path))
    status, out, err = run_command(app, "show", bundle.path)
    assert (status, err) == (0, "")
    assert "codes   12 bits  unknown from distance 3 on" in out
    assert "cascade never        S/8 > XL/8  given  n unknown  default" in out
    assert "cascade coded        S/8 > XL/8  given  n 3\n" in out
    assert out.endswith("profile unknown model  a cpu\n")
    status, out, _ = run_command(app, "show", bundle.path, "--json")
    shown = json.loads(out)
    assert (status, shown["name"], shown["profile"]) == (0, "b", bundles.PROFILE)
    assert shown["cascades"] == {name: cascade.to_dict()
                                 for name, cascade in bundle.cascades.items()}
    assert {name: entry["sha256"] for name, entry in shown["files"].items()} == {
        name: entry.sha256 for name, entry in bundle.manifest.files.items()}
