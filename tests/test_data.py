"""Data sets in a folder that the user names: read as published, anything else refused in words."""

from __future__ import annotations

import numpy as np
import pytest

from edge_sdk import data
from edge_sdk.errors import DataError


def digits(n):
    return {"x": np.zeros((n, 28, 28), np.uint8), "y": np.arange(n) % 10}


def write(folder, **parts):
    (folder / "mnist").mkdir(exist_ok=True)
    for name, arrays in parts.items():
        np.savez(folder / "mnist" / f"mnist_{name}.npz", **arrays)


def test_mnist_is_read_as_published(data_root):
    found = data.mnist(data_root)
    assert found.train_images.shape == (60_000, 1, 28, 28)
    assert found.test_images.shape == (10_000, 1, 28, 28)
    assert found.train_images.dtype == np.uint8
    assert (found.train_images.max(), found.pixel_max) == (255, 255)
    assert found.test_labels.dtype == np.int64
    assert found.labels == tuple("0123456789")
    # Bright ink on black: the border of the pictures is dark.
    assert found.test_images[:, :, 0].mean() < 1 < 20 < found.test_images.mean()
    assert [int((found.test_labels == i).sum()) for i in (0, 9)] == [980, 1009]


@pytest.mark.parametrize("bad", [
    {"x": np.zeros((10_000, 28, 28), np.uint8)},
    {"x": np.zeros((10_000, 784), np.uint8), "y": np.zeros(10_000, int)},
    {"x": np.zeros((10_000, 28, 28), np.float32), "y": np.zeros(10_000, int)},
    {"x": np.zeros((10_000, 28, 28), np.uint8), "y": np.zeros(10_000)},
    {"x": np.zeros((9_999, 28, 28), np.uint8), "y": np.zeros(9_999, int)},
    {"x": np.array([object()]), "y": np.zeros(10_000, int)},
])
def test_an_npz_of_something_else_is_refused(tmp_path, bad):
    write(tmp_path, train=digits(60_000), test=bad)
    with pytest.raises(DataError, match=r"mnist_test\.npz"):
        data.mnist(tmp_path)


def test_a_damaged_or_absent_file_is_refused(tmp_path):
    write(tmp_path, train=digits(60_000), test=digits(10_000))
    assert len(data.mnist(tmp_path).test_labels) == 10_000
    path = tmp_path / "mnist" / "mnist_test.npz"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not a zip", whole[:-30]):
        path.write_bytes(content)
        with pytest.raises(DataError):
            data.mnist(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match="a data file"):
        data.mnist(tmp_path)
