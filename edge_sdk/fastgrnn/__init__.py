"""FastGRNN on the device: weights as arrays, the integer recipe, and the core's face. No torch."""

from typing import TYPE_CHECKING, Any

from edge_sdk.fastgrnn.weights import Weights as Weights

if TYPE_CHECKING:
    from edge_sdk.fastgrnn.model import FastGRNN as FastGRNN


def __getattr__(name: str) -> Any:
    if name != "FastGRNN":
        raise AttributeError(f"module 'edge_sdk.fastgrnn' has no attribute {name!r}")
    from edge_sdk.fastgrnn.model import FastGRNN

    return FastGRNN
