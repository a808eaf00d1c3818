"""FastGRNN on the device: weights as arrays, the integer recipe, and the core's face. No torch."""

from edge_sdk.fastgrnn.early import EarlyDecision as EarlyDecision
from edge_sdk.fastgrnn.integer import QuantizedWeights as QuantizedWeights
from edge_sdk.fastgrnn.integer import quantize as quantize
from edge_sdk.fastgrnn.model import FastGRNN as FastGRNN
from edge_sdk.fastgrnn.weights import Weights as Weights
from edge_sdk.fastgrnn.weights import from_module as from_module
