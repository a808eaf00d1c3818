"""What the arm64 proof compares: a difference between two devices must not pass it."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

TOOLS = Path(__file__).resolve().parent.parent / "runtime/tools"


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, TOOLS / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


compare = load("compare_devices", "devices/compare.py")
load("debian", "debian.py")  # beside the program that runs, which imports it
emulated = load("emulated_python", "emulated_python.py")
NUMBERS = {"a.edge/onnx/S": np.array([[0.5, -0.25]], np.float32),
           "digits-int8.onnx/S/logits": np.array([[8.0, -2.0]], np.float32),
           "large.onnx/S/embedding": np.array([[100.0]], np.float32)}
EXACT = {"codes": {"ed": [1, 2]}, "governor": ["one", "two"]}


@pytest.fixture
def answers(tmp_path):
    """Return answers(name, numbers, exact): a folder as `answers.py` writes it."""

    def written(name, numbers=NUMBERS, exact=EXACT):
        folder = tmp_path / name
        folder.mkdir()
        np.savez(folder / "numbers.npz", **numbers)
        (folder / "exact.json").write_text(json.dumps(exact))
        return folder

    return written


def outcome(monkeypatch, capsys, this, other):
    monkeypatch.setattr(sys, "argv", ["compare.py", str(this), str(other)])
    status = compare.main()
    return status, capsys.readouterr().out


def test_equal_answers_pass(answers, monkeypatch, capsys):
    status, out = outcome(monkeypatch, capsys, answers("x"), answers("y"))
    assert status == 0
    assert "compare 2 lists of decisions, identical" in out
    assert "a.edge/onnx" in out


@pytest.mark.parametrize(("name", "change", "passes"), [
    ("a.edge/onnx/S", 9e-6, True), ("a.edge/onnx/S", 1.2e-5, False),
    ("a.edge/onnx/S", np.nan, False), ("large.onnx/S/embedding", 9e-4, True),
    ("large.onnx/S/embedding", 1.2e-3, False), ("digits-int8.onnx/S/logits", 0.39, True),
    ("digits-int8.onnx/S/logits", 0.41, False)])
def test_numbers_may_differ_by_their_limit_and_no_more(
        answers, monkeypatch, capsys, name, change, passes):
    changed = {**NUMBERS, name: NUMBERS[name] + np.float32(change) * np.eye(
        1, NUMBERS[name].shape[1], dtype=np.float32)}
    status, out = outcome(monkeypatch, capsys, answers("x"), answers("y", changed))
    assert status == (0 if passes else 1)
    assert (f"{name}: differs by" in out) is not passes


@pytest.mark.parametrize("numbers", [
    {"a.edge/onnx/S": NUMBERS["a.edge/onnx/S"]},
    {**NUMBERS, "a.edge/onnx/S": np.zeros((2, 2), np.float32)},
    {**NUMBERS, "b": np.zeros(1)}])
def test_an_array_that_one_device_lacks_or_shapes_otherwise_fails(
        answers, monkeypatch, capsys, numbers):
    assert outcome(monkeypatch, capsys, answers("x"), answers("y", numbers))[0] == 1
    assert outcome(monkeypatch, capsys, answers("v", numbers), answers("w"))[0] == 1


@pytest.mark.parametrize("exact", [
    {"codes": {"ed": [1, 3]}, "governor": ["one", "two"]},
    {"codes": {"ed": [1, 2]}, "governor": ["one", "two", "three"]},
    {"codes": {"ed": [1, 2]}, "governor": ["one", "TWO"]}, {"codes": {"ed": [1, 2]}},
    {**EXACT, "more": None}])
def test_one_other_decision_fails(answers, monkeypatch, capsys, exact):
    status, out = outcome(monkeypatch, capsys, answers("x"), answers("y", exact=exact))
    assert status == 1
    assert "other decisions" in out


def test_the_place_of_another_decision_is_named(answers, monkeypatch, capsys):
    other = answers("y", exact={**EXACT, "governor": ["one", "TWO"]})
    assert "governor: other decisions; #1: two and TWO" in outcome(
        monkeypatch, capsys, answers("x"), other)[1]


def test_a_command_that_fails_says_what_it_printed(tmp_path):
    with pytest.raises(emulated.ProofError, match=r"exit status 3\n.*before the end"):
        emulated.run([sys.executable, "-c", "print('before the end'); raise SystemExit(3)"],
                     where=tmp_path)


def test_an_environment_is_made_again_when_the_wheel_is_another(tmp_path):
    wheel = tmp_path / "x.whl"
    wheel.write_bytes(b"one")
    stamp = emulated._stamp(wheel)
    assert not emulated._is_ready(tmp_path, stamp)
    (tmp_path / "ready").write_text(stamp)
    assert emulated._is_ready(tmp_path, stamp)
    wheel.write_bytes(b"other")
    assert not emulated._is_ready(tmp_path, emulated._stamp(wheel))


def test_the_tests_that_run_on_arm64_exist_and_ask_for_no_toolchain():
    folder = Path(__file__).resolve().parent
    for name in emulated.TESTS:
        text = (folder / f"{name}.py").read_text(encoding="utf-8")
        # Torch may be asked for only where no files were exported elsewhere.
        asked = text.replace("if conformance.folder() is None:\n    pytest.importorskip", "")
        assert "importorskip(\"torch" not in asked, name
