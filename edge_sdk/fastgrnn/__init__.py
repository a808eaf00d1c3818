"""FastGRNN on the device: weights as arrays, the integer recipe, and the core's face. No torch."""

from edge_sdk.fastgrnn.weights import Weights as Weights
