"""A MatViT of 2 layers and a data set of 10 noisy patterns: what a test needs of a trained model.

A module of its own, so that `--model tiny:source` finds it from a command line.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from edge_sdk.nn.matformer import MatViT, joint_loss, use_widths
from edge_sdk.source import Source

N_CASES = 32
N_CALIBRATION = 64
D_FF = 64
TRAINED = {"S": (8, 8), "M": (16, 16), "L": (32, 32), "XL": (64, 64)}


def cases(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return n noisy patterns (n, 1, 8, 8) and their class ids (n,)."""
    patterns = torch.randn(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (n,), generator=generator)
    return patterns[labels] + 0.4 * torch.randn(n, 1, 8, 8, generator=generator), labels


def untrained() -> MatViT:
    """Return the model as initialized, always alike."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MatViT(image_size=8, channels=1, patch=2, d_model=16, n_layers=2, n_heads=2,
                      d_ff=D_FF, head=nn.Linear(16, 10)).eval()


@functools.cache
def _trained_state() -> dict[str, torch.Tensor]:
    model = untrained().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(150):
        images, labels = cases(64, seed=100 + step)
        optimizer.zero_grad()
        joint_loss(model, lambda x=images, y=labels: F.cross_entropy(model(x), y)).backward()
        optimizer.step()
    return model.state_dict()


def model() -> MatViT:
    """Return the model after some steps of joint training, right on most cases."""
    trained = untrained()
    trained.load_state_dict(_trained_state())
    return trained.eval()


def logits(widths: Sequence[int], images: np.ndarray) -> np.ndarray:
    """Return what the trained model answers in eager mode at `widths`."""
    universal = model()
    with torch.no_grad(), use_widths(universal, widths):
        return universal(torch.from_numpy(images)).numpy()


def source() -> Source:
    """Return the trained model with held-out cases, labels and calibration cases."""
    images, labels = cases(N_CASES, seed=1)
    calibration, _ = cases(N_CALIBRATION, seed=2)
    return Source("tiny", model(), {"image": images.numpy()}, "held-out patterns",
                  targets=labels.numpy().astype(np.int64),
                  calibration={"image": calibration.numpy()},
                  labels=tuple("abcdefghij"), preprocessing={"image": "none"})


def nan_source() -> Source:
    """Return a source with a NaN in one weight."""
    broken = source()
    with torch.no_grad():
        broken.model.blocks[1].ffn.up.weight[3, 2] = float("nan")
    return broken


def model_and_sample() -> tuple[MatViT, torch.Tensor]:
    """Return what the simplest factory returns."""
    return model(), cases(4, seed=1)[0]


def nothing() -> None:
    """Return what no factory should."""
