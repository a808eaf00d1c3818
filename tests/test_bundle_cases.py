"""Labelled cases: which calibrate, and how they lie in a file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.bundle import Cases, load_cases
from edge_sdk.bundle.cases import calibrating, save_cases
from edge_sdk.errors import DataError


def test_cases_are_loaded_as_they_were_saved(tmp_path):
    rng = np.random.default_rng(0)
    cases = Cases({"image": rng.normal(size=(4, 1, 2, 2)).astype(np.float32),
                   "length": np.arange(4, dtype=np.int32)}, np.array([3, 1, 2, 1]), "words, ß")
    save_cases(tmp_path / "c.npz", cases)
    loaded = load_cases(tmp_path / "c.npz")
    assert (loaded.labels.tolist(), loaded.labels.dtype, loaded.words) == (
        [3, 1, 2, 1], np.int64, "words, ß")
    assert list(loaded.inputs) == ["image", "length"]
    for name, array in cases.inputs.items():
        assert loaded.inputs[name].dtype == array.dtype
        assert loaded.inputs[name].tolist() == array.tolist()
    np.savez(tmp_path / "plain.npz", x=np.ones((2, 3)), labels=np.array([0, 1], np.uint8))
    assert load_cases(tmp_path / "plain.npz").words == "plain.npz"
    one = loaded.one(2)
    assert {name: array.shape for name, array in one.items()} == {"image": (1, 1, 2, 2),
                                                                  "length": (1,)}
    assert one["length"].tolist() == [2]


@settings(deadline=None)
@given(st.integers(0, 500))
def test_two_cases_of_five_calibrate_and_none_is_on_both_sides(n):
    mask = calibrating(n)
    assert [i for i in range(n) if mask[i]] == [i for i in range(n) if i % 5 in (0, 1)]
    cases = Cases({"x": np.arange(n)}, np.arange(n), "all")
    ours, theirs = cases.take(mask, "ours"), cases.take(~mask, "theirs")
    assert sorted([*ours.labels, *theirs.labels]) == list(range(n))
    assert ours.inputs["x"].tolist() == ours.labels.tolist()
    assert (len(ours), ours.words, theirs.words) == (-(-n // 5) + (n + 3) // 5, "ours", "theirs")


X = np.ones((3, 2), np.float32)
IDS = np.arange(3)


@pytest.mark.parametrize("arrays", [
    {"x": X}, {"labels": IDS}, {"x": X, "labels": IDS[:2]}, {"x": X, "labels": IDS[:, None]},
    {"x": X, "labels": np.array(["a", "b", "c"])}, {"x": X, "labels": IDS + 0.5},
    {"x": X[:0], "labels": IDS[:0]}, {"x": np.float32(1), "labels": IDS},
    {"x": X, "labels": np.array([{}, 1, 2])}, {"x": X, "labels": np.int64(3)}])
def test_arrays_that_are_no_cases_are_refused(arrays, tmp_path):
    np.savez(tmp_path / "c.npz", **arrays)
    with pytest.raises(DataError, match=r"c\.npz"):
        load_cases(tmp_path / "c.npz")


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    path = tmp_path / "c.npz"
    np.savez(path, x=X, labels=IDS)
    whole = path.read_bytes()
    np.save(tmp_path / "x.npy", X)
    others = [b"", b"text", (tmp_path / "x.npy").read_bytes(), whole[:-40], whole[:200],
              whole.replace(IDS.astype("<i8").tobytes(), (IDS + 1).astype("<i8").tobytes())]
    for content in others:
        assert content != whole
        path.write_bytes(content)
        with pytest.raises(DataError):
            load_cases(path)
    with pytest.raises(DataError):
        load_cases(tmp_path / "none.npz")
