"""Models whose size and speed are measured, apart from the zoo's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_sdk.nn.matformer import MatViT


def vit_192() -> tuple[nn.Module, Tensor]:
    """Return a MatViT of 2.7M random weights, d_model 192, d_ff 768, 6 layers, 64 tokens.

    Weights do not matter to size and time; the sample is 16 cases of noise.
    """
    torch.manual_seed(0)
    model = MatViT(image_size=32, channels=3, patch=4, d_model=192, n_layers=6, n_heads=6,
                   d_ff=768, head=nn.Linear(192, 10))
    return model.eval(), torch.randn(16, 3, 32, 32)
