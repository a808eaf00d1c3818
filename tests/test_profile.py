"""`edge_sdk.profile`: what each plan costs here, measured apart, and nothing made up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import bundles
import numpy as np
import pytest

from edge_sdk import profile
from edge_sdk.bundle import Bundle, Cases, pack
from edge_sdk.bundle.cases import embed, save_cases
from edge_sdk.device import Device
from edge_sdk.energy import Energy
from edge_sdk.engines import load
from edge_sdk.errors import DataError, EngineError, FormatError, ShapeError
from edge_sdk.profile import app, describe, measure

PLANS = ["S", "M", "L", "XL", "published"]
N_GIVEN = 40


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    for library in ("torch", "onnx", "onnxscript", "onnxruntime", "sklearn"):
        pytest.importorskip(library)
    return Bundle.open(bundles.packed_digits(tmp_path_factory))


@pytest.fixture(scope="module")
def measured(digits):
    """The profile of this machine, each figure from a process of its own."""
    return measure(digits, repeats=10)


@pytest.fixture(scope="module")
def given_cases(digits):
    """Cases of another choice, the labels of some of them wrong: accuracies differ from packed."""
    cases = digits.cases().take(np.arange(N_GIVEN) * 3, "forty of the packed")
    labels = cases.labels.copy()
    labels[::7] = (labels[::7] + 1) % 10
    return Cases(cases.inputs, labels, cases.words)


@pytest.fixture
def in_this_process(monkeypatch):
    """Do the children's work here: no figure is looked at."""
    monkeypatch.setattr(profile, "_in_child", lambda work, path, *rest: work(path, *rest))


def kill_me(path: Path) -> None:
    """Die as an engine does that the system kills."""
    os._exit(9)


def refuse(path: Path, text: str) -> None:
    raise FormatError("a profile", text, where=str(path), hint="none")


# ---- figures ------------------------------------------------------------------------------


def test_every_plan_is_measured_once(measured):
    assert [(plan["name"], plan["threads"]) for plan in measured["plans"]] == [
        (name, 1) for name in PLANS]
    for plan in measured["plans"]:
        assert plan["latency_p95_ms"] >= plan["latency_p50_ms"] > 0
        assert plan["ram_mb"] is None or plan["ram_mb"] > 0
    assert (measured["target"], measured["repeats"]) == ("onnx", 10)
    assert measured["load_ms"] > 0


def test_energy_is_measured_by_a_named_counter_or_unknown(measured):
    for plan in measured["plans"]:
        if plan["energy_mj"] is None:
            assert plan["energy_source"] == "no counter"
        else:
            assert plan["energy_mj"] > 0
            assert "mean of" in plan["energy_source"]


def test_modelled_energy_grows_with_the_granularity_and_stands_apart(measured, digits):
    figures = [plan["modelled_mj"] for plan in measured["plans"]]
    assert figures[:4] == sorted(figures[:4])
    assert figures[4] is None  # what a cascade moves depends on its inputs
    info = digits.metadata().granularities["S"]
    assert figures[0] == pytest.approx(
        (4.6 * info.macs + 160 * 4 * info.parameters) * 1e-9, rel=1e-12)


def test_accuracy_is_the_packed_one_unless_cases_are_given(measured, digits):
    evaluated = digits.manifest.notes["evaluated"]
    found = {plan["name"]: (plan["accuracy"], plan["accuracy_n"], plan["accuracy_from"])
             for plan in measured["plans"]}
    assert found == {
        **{name: (evaluated["levels"][name]["64"], 216, "packed") for name in PLANS[:4]},
        "published": (evaluated["cascades"]["published"]["accuracy"], 216, "packed")}
    assert measured["levels"] == [
        {"plan": None, "granularity": name, "dim": 64, "n": 216, "from": "packed",
         "accuracy": evaluated["levels"][name]["64"]} for name in PLANS[:4]]
    assert measured["cases"] == f"200 of: {digits.cases().words}"


def test_only_the_full_model_is_without_risk_and_nothing_is_promised_unasked(measured):
    assert [plan["risk"] for plan in measured["plans"]] == [None, None, None, 0.0, None]


def test_a_cascade_that_promises_carries_its_risk(tmp_path):
    bundle = pack(tmp_path / "b.edge", **bundles.parts(tmp_path))
    cascade = bundle.cascades["never"]
    cascade.provenance = {"method": "ltt", "epsilon": 0.02}
    timed = {"p50_ms": 1.0, "p95_ms": 2.0, "energy_mj": None, "energy_source": "off"}
    row = profile._plan(bundle, "onnx", "never", 2, timed, None, [])
    assert (row.risk, row.ram_mb, row.accuracy, row.accuracy_n, row.threads) == (
        0.02, None, None, 0, 2)


def test_a_profile_says_which_device_it_is_of(measured):
    identity = Device().identity()
    assert measured["device"]["key"] == identity.key
    assert measured["device"]["cpu"] == identity.cpu


def test_a_profile_is_json_and_comes_back_from_the_bundle(measured, digits, tmp_path):
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured
    copy = Bundle.open(shutil.copytree(digits.path, tmp_path / "b.edge"))
    copy.replace_profile(measured)
    assert Bundle.open(copy.path).profile_content == measured


def test_accuracy_on_given_cases_is_that_of_a_slow_count(digits, given_cases, in_this_process):
    found = measure(digits, repeats=10, cases=given_cases, energy=False)
    vectors = embed(load(digits.model()), given_cases.inputs, PLANS[:4])
    weights = digits.head
    right = {}
    for name in PLANS[:4]:
        answers = [int(np.argmax(weights.at(vector[None])[0])) for vector in vectors[name]]
        right[name] = sum(a == b for a, b in zip(answers, given_cases.labels, strict=True))
    threshold = digits.cascades["published"].thresholds[0]
    right["published"] = 0
    for small, large, label in zip(vectors["S"], vectors["XL"], given_cases.labels, strict=True):
        scores = weights.at(small[None])[0].astype(np.float64)
        sure = 1 / np.exp(scores - scores.max()).sum() > threshold
        answer = scores.argmax() if sure else weights.at(large[None])[0].argmax()
        right["published"] += answer == label
    assert {plan["name"]: plan["accuracy"] for plan in found["plans"]} == {
        name: n / N_GIVEN for name, n in right.items()}
    assert max(right.values()) < N_GIVEN  # the wrong labels were seen
    assert {(plan["accuracy_n"], plan["accuracy_from"], plan["energy_source"])
            for plan in found["plans"]} == {(N_GIVEN, "this device", "off")}
    assert [(row["plan"], row["granularity"], row["dim"]) for row in found["levels"]] == [
        *[(name, name, 64) for name in PLANS[:4]], ("published", None, None)]


def test_each_number_of_threads_is_measured(digits, in_this_process):
    found = measure(digits, repeats=2, threads=(1, 2), energy=False)
    assert [(plan["name"], plan["threads"]) for plan in found["plans"]] == [
        (name, count) for count in (1, 2) for name in PLANS]


def test_a_counter_is_read_over_a_long_stretch_and_divided(monkeypatch):
    ran = []

    class Counter:
        source = "a counter"

        def start(self):
            ran.clear()

        def stop(self):
            return Energy(3.0 * len(ran), self.source, True)

    class Counts:
        def run(self, name, inputs):
            ran.append(inputs)

    monkeypatch.setattr(profile, "Meter", Counter)
    assert profile._energy(Counts(), "S", [1, 2, 3], 4.0) == (3.0, "a counter, mean of 250")
    assert ran[:4] == [1, 2, 3, 1]
    monkeypatch.setattr(Counter, "source", "none")
    assert profile._energy(Counts(), "S", [1], 4.0) == (None, "no counter")


# ---- what can not be measured -------------------------------------------------------------


def test_an_engine_that_was_not_packed_is_refused(digits):
    with pytest.raises(FormatError, match="a model for one of onnx, got litert"):
        measure(digits, target="litert", repeats=10)


@pytest.mark.parametrize("options", [{"repeats": 0}, {"threads": ()}, {"threads": (1, 0)}])
def test_no_repeats_or_threads_are_refused(options, digits):
    with pytest.raises(ShapeError, match="from 1 up"):
        measure(digits, **options)


def test_a_bundle_without_cases_needs_some(tmp_path):
    parts = bundles.parts(tmp_path)
    bundle = pack(tmp_path / "b.edge", models=parts["models"], head=parts["head"])
    for cases in (None, parts["cases"].take(np.zeros(6, bool), "none")):
        with pytest.raises(DataError, match=r"pass --cases FILE\.npz"):
            measure(bundle, cases=cases)


def test_a_child_that_dies_is_an_engine_error_and_one_that_raises_raises_here(tmp_path):
    with pytest.raises(EngineError, match="the engine's process died"):
        profile._in_child(kill_me, tmp_path)
    with pytest.raises(FormatError, match="expected a profile, got none"):
        profile._in_child(refuse, tmp_path, "none")


# ---- the command --------------------------------------------------------------------------


def test_the_command_stores_the_profile_and_prints_one_line_a_plan(
        digits, given_cases, tmp_path):
    folder = shutil.copytree(digits.path, tmp_path / "b.edge")
    save_cases(tmp_path / "c.npz", given_cases)
    done = subprocess.run(
        [sys.executable, "-m", "edge_sdk.profile", folder, "--repeats", "10", "--cases",
         tmp_path / "c.npz", "--quiet"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    stored = Bundle.open(folder).profile_content
    lines = done.stdout.splitlines()
    assert lines == describe(stored)
    assert [line.split()[1] for line in lines if line.startswith("plan ")] == PLANS
    assert lines[1].endswith("10 repeats  cases 40 of: forty of the packed")
    assert all("(n 40, this device)" in line for line in lines[2:])


def test_what_is_unknown_is_printed_so(measured):
    plan = {**measured["plans"][0], "accuracy": None, "ram_mb": None, "energy_mj": None,
            "energy_source": "no counter"}
    device = {**measured["device"], "model": None, "cpu": None}
    lines = describe({**measured, "device": device, "plans": [plan]})
    assert lines[0].startswith("device  unknown model  unknown cpu")
    assert lines[2].endswith("peak RAM unknown  energy unknown (no counter)  top-1 unknown")
    known = {**plan, "energy_mj": 1.5, "ram_mb": 2.0, "accuracy": 0.5, "accuracy_n": 4,
             "accuracy_from": "packed"}
    assert describe({**measured, "plans": [known]})[2].endswith(
        "peak RAM 2.0 MB  energy 1.50 mJ (no counter)  top-1 50.00% (n 4, packed)")


@pytest.mark.parametrize("options", [
    ("--threads", "0"), ("--threads", "1,x"), ("--threads", ""), ("--threads", "1,-2"),
    ("--repeats", "9"), ("--repeats", "many")])
def test_wrong_usage_ends_with_status_2_and_changes_nothing(options, tmp_path, run_command):
    bundle = pack(tmp_path / "b.edge", **bundles.parts(tmp_path))
    before = bundles.contents(bundle.path)
    status, out, err = run_command(app, bundle.path, *options)
    assert (status, out) == (2, "")
    assert options[0].strip("-") in err
    assert bundles.contents(bundle.path) == before


def test_errors_end_with_status_1_and_change_nothing(tmp_path, run_command):
    bundle = pack(tmp_path / "b.edge", **bundles.parts(tmp_path))
    before = bundles.contents(bundle.path)
    for arguments, message in (
            ((tmp_path / "none.edge",), "FormatError: expected a bundle"),
            ((bundle.path, "--cases", tmp_path / "none.npz"), "DataError: expected an .npz"),
            ((bundle.path, "--target", "litert"), "FormatError: expected a model for")):
        status, out, err = run_command(app, *arguments, "--quiet")
        assert (status, out) == (1, "")
        assert message in err
        assert "Traceback" not in err
    assert bundles.contents(bundle.path) == before


def test_a_model_of_ones_own_has_no_data_set_here(tmp_path, run_command):
    pytest.importorskip("torch")
    bundle = pack(tmp_path / "b.edge", **bundles.parts(tmp_path))
    status, _, err = run_command(app, bundle.path, "--data", tmp_path, "--quiet")
    assert (status, "UnsupportedModel: expected one of matvit-" in err) == (1, True)


def test_cases_of_the_data_set_are_those_that_did_not_calibrate(digits):
    cases = profile._evaluating("matvit-digits", None)
    assert len(cases) == 216
    assert cases.words == digits.manifest.notes["split"]
