"""Elastic files store every weight once, in every engine and precision.

The model is one layer, nearly all of it feed-forward network: S stored beside XL
would add an eighth.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import edge_sdk
from edge_sdk.artifact import SUFFIX
from edge_sdk.nn.matformer import MatViT
from edge_sdk.nn.nesting import nest
from edge_sdk.prove import Limits

ANY = Limits(argmax_agreement=0.0)  # random weights: near ties everywhere


@pytest.fixture(scope="module")
def wide():
    torch.manual_seed(0)
    model = MatViT(image_size=8, channels=1, patch=4, d_model=64, n_layers=1, n_heads=2,
                   d_ff=16384, head=nn.Linear(64, 4))
    return model.eval(), torch.randn(4, 1, 8, 8)


@pytest.mark.parametrize("quantize", ["none", "int8"])
@pytest.mark.parametrize("target", list(SUFFIX))
def test_two_sizes_in_one_file_take_little_more_than_the_largest(
        wide, tmp_path, target, quantize):
    model, sample = wide
    single, elastic = (edge_sdk.export(
        model, tmp_path / f"{name}{SUFFIX[target]}", sample=sample, target=target,
        elastic=sizes, quantize=quantize, limits=ANY)
        for name, sizes in (("single", None), ("elastic", "S,XL")))
    added = elastic.n_bytes - single.n_bytes
    weights = sum(p.numel() for p in model.parameters()) * (1 if quantize == "int8" else 4)
    # S stored beside XL would add an eighth of the weights.
    assert added < weights / 24, f"{added} B more than XL alone, weights {weights} B"
    assert single.n_bytes < 1.3 * weights


def test_the_encoder_of_somebody_else_leaves_nested_in_one_elastic_file(tmp_path):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 64, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    sample = torch.randn(4, 5, 16)
    written = edge_sdk.export(nest(encoder), tmp_path / "theirs.onnx", sample=sample,
                              target="onnx", elastic="S,XL")
    engine = edge_sdk.load(written.path)
    with torch.no_grad():
        theirs = encoder(sample[:1]).numpy()
    (ours,) = engine.run({"input": sample[:1].numpy()}, "XL").values()
    assert np.abs(ours - theirs).max() < 1e-4
    (small,) = engine.run({"input": sample[:1].numpy()}, "S").values()
    assert np.abs(small - theirs).max() > 1e-3, "S must not be the whole model"
