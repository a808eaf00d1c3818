"""What is handed to an exporter is what the engines will be given."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edge_sdk.source import Source  # noqa: E402


def test_a_sample_has_plain_strides_however_its_axis_of_one_channel_came_about():
    images = np.stack([np.zeros((8, 8), np.float32)] * 3)[:, None]
    assert images.flags.c_contiguous
    assert images.strides != np.zeros(images.shape, np.float32).strides, "the trap itself"
    source = Source("tiny", torch.nn.Identity(), {"image": images}, "cases")
    (sample,) = source.sample
    assert sample.stride() == torch.zeros(1, 1, 8, 8).stride()
