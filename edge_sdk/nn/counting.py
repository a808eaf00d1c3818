"""Counts what a model costs: its parameters, and its multiply-accumulates for one input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters, shared ones once; buffers are no parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model: nn.Module, sample: Tensor | tuple[Any, ...]) -> int:
    """Return the multiply-accumulates of one forward pass over `sample`.

    Counts what torch counts: matrix products and convolutions. Norms, softmax,
    activations and sums are left out, as is customary. A nested model is counted
    at its current widths; `edge_sdk.nn.matformer.extract` gives the same count.

    Args:
        model: Run in eval mode and left in the mode that it had.
        sample: The input, batch included, or a tuple of several inputs.
    """
    inputs = sample if isinstance(sample, tuple) else (sample,)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(*inputs)
    finally:
        for module, training in modes:  # a frozen norm in a training model stays frozen
            module.training = training
    # torch counts a multiply-accumulate as two operations.
    return int(counter.get_total_flops()) // 2
