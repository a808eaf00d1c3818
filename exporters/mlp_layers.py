"""`MLP`: a plain multilayer perceptron as arrays, and how it is read from torch.

    y = activation(W x + b)       W is (n_out, n_in), layer after layer

Batch normalization is folded into W and b, which leaves zeros of W zeros. Torch is loaded
only to read a module of it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import CheckpointError, ShapeError, UnsupportedModel

if TYPE_CHECKING:
    from torch import nn

Floats = NDArray[np.float32]

HIGHEST = {"none": np.inf, "relu": np.inf, "relu6": 6.0}
"""Activations, and where they end; all but "none" begin at 0."""


@dataclass(frozen=True)
class Layer:
    """A Linear with its activation. Arrays are float32, C-contiguous, finite.

    Attributes:
        name: Where it is in the torch model, such as "2".
        weight: (n_out, n_in).
        bias: (n_out,).
        activation: "none", "relu" or "relu6".
    """

    name: str
    weight: Floats
    bias: Floats
    activation: str = "none"

    def __post_init__(self) -> None:
        for array in (self.weight, self.bias):
            if not np.isfinite(array).all():
                raise CheckpointError("finite weights", "NaN or infinity",
                                      where=f"layer {self.name!r}",
                                      hint="train again with a lower learning rate")

    @property
    def n_in(self) -> int:
        """Inputs of each row."""
        return int(self.weight.shape[1])

    @property
    def n_out(self) -> int:
        """Rows."""
        return int(self.weight.shape[0])


@dataclass(frozen=True)
class MLP:
    """Layers, each taking what the one before it gives."""

    layers: tuple[Layer, ...]

    @property
    def n_inputs(self) -> int:
        """D: numbers of an input."""
        return self.layers[0].n_in

    @property
    def n_outputs(self) -> int:
        """C: numbers of an output."""
        return self.layers[-1].n_out

    def activations(self, x: NDArray[Any]) -> list[NDArray[np.float64]]:
        """Return what each layer gives for x (n, D), in float64; the last is the output."""
        found: list[NDArray[np.float64]] = []
        y = x.astype(np.float64)
        for layer in self.layers:
            y = y @ layer.weight.T.astype(np.float64) + layer.bias
            if layer.activation != "none":
                y = np.clip(y, 0.0, HIGHEST[layer.activation])
            found.append(y)
        return found


# --- from torch -------------------------------------------------------------------------


def from_sequential(model: nn.Sequential) -> MLP:
    """Return the layers of a torch model in eval mode.

    Args:
        model: An `nn.Sequential`, possibly of others, of Linear, ReLU and ReLU6; with
            BatchNorm1d right before or after a Linear, a Flatten in front, and Dropout
            and Identity, which do nothing, anywhere.

    Raises:
        UnsupportedModel: Another layer, which is named, or one at a place where it can not
            be folded; training mode; hooks; weights that are not float32.
        CheckpointError: A weight is NaN or infinite.
        ShapeError: A layer takes another number than the one before it gives.
    """
    from torch import nn

    if type(model) is not nn.Sequential:
        raise UnsupportedModel("an nn.Sequential", type(model).__name__, where="`model`",
                               hint="what a forward() of its own computes can not be read")
    if any(module.training for module in model.modules()):
        raise UnsupportedModel("a model in eval mode", "training mode", where="`model`",
                               hint="call model.eval() first")
    reader = _Reader()
    for name, layer in _flat(model, ""):
        _demand_plain(name, layer)
        reader.take(name, layer)
    return reader.finish()


def run_torch(model: nn.Sequential, samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what torch itself computes for samples (n, ...), in float64, (n, C)."""
    import torch

    with torch.no_grad():
        made = copy.deepcopy(model).double()(torch.from_numpy(samples).double())
    found: NDArray[np.float64] = made.numpy()
    return found


def _flat(model: nn.Sequential, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    from torch import nn

    for name, child in model.named_children():
        if type(child) is nn.Sequential:
            yield from _flat(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


def _unsupported(name: str, layer: nn.Module, why: str, hint: str) -> UnsupportedModel:
    return UnsupportedModel(why, type(layer).__name__, where=f"layer {name!r}", hint=hint)


def _demand_plain(name: str, layer: nn.Module) -> None:
    hooks = (layer._forward_hooks, layer._forward_pre_hooks)
    if any(hooks):
        raise _unsupported(name, layer, "a layer without hooks",
                           "after torch.nn.utils.prune: prune.remove(layer, 'weight')")
    for tensor in layer.state_dict().values():
        if tensor.is_floating_point() and str(tensor.dtype) != "torch.float32":
            raise UnsupportedModel("float32 weights", str(tensor.dtype), where=f"layer {name!r}",
                                   hint="call model.float() first")


class _Reader:
    """Takes layers in order; folds what stands around a Linear into it."""

    def __init__(self) -> None:
        self._layers: list[Layer] = []
        self._before: tuple[str, NDArray[np.float64], NDArray[np.float64]] | None = None
        self._after_linear = False

    def take(self, name: str, layer: nn.Module) -> None:
        from torch import nn

        if type(layer) is nn.Linear:
            self._linear(name, layer)
        elif type(layer) is nn.BatchNorm1d:
            self._norm(name, layer)
        elif type(layer) in (nn.ReLU, nn.ReLU6):
            self._activation(name, layer)
        elif type(layer) is nn.Flatten:
            if self._layers or self._before or (layer.start_dim, layer.end_dim) != (1, -1):
                raise _unsupported(name, layer, "nn.Flatten() in front of everything",
                                   "between Linear layers there is nothing to flatten")
        elif type(layer) not in (nn.Dropout, nn.Identity):
            raise _unsupported(
                name, layer, "Linear, ReLU, ReLU6, BatchNorm1d, or a Flatten in front",
                "for a layer made sparse in training: extract() plain Linear layers first; "
                "for other models: another target")

    def finish(self) -> MLP:
        if self._before is not None:
            raise UnsupportedModel("a Linear right before or after it", "none",
                                   where=f"layer {self._before[0]!r}",
                                   hint="put BatchNorm1d between Linear and its activation")
        if not self._layers:
            raise UnsupportedModel("a Linear or more", "none", where="`model`",
                                   hint="an MLP is made of Linear layers")
        return MLP(tuple(self._layers))

    def _linear(self, name: str, layer: Any) -> None:
        weight = layer.weight.detach().cpu().numpy().astype(np.float64)
        bias = np.zeros(len(weight)) if layer.bias is None else \
            layer.bias.detach().cpu().numpy().astype(np.float64)
        if 0 in weight.shape:
            raise ShapeError("a row and a column or more", str(list(weight.shape)),
                             where=f"layer {name!r}", hint="leave an empty layer out")
        if self._layers and self._layers[-1].n_out != weight.shape[1]:
            raise ShapeError(f"{self._layers[-1].n_out} inputs, as the layer before it gives",
                             str(weight.shape[1]), where=f"layer {name!r}",
                             hint="does this model run in torch?")
        if self._before is not None:
            norm, scale, offset = self._before
            _demand_width(norm, scale, weight.shape[1])
            bias = bias + weight @ offset
            weight = weight * scale
            self._before = None
        self._layers.append(_layer(name, weight, bias))
        self._after_linear = True

    def _norm(self, name: str, layer: Any) -> None:
        if layer.running_mean is None or self._before is not None:
            raise _unsupported(name, layer, "one BatchNorm1d with running statistics",
                               "without them it normalizes over the batch, which C has not")
        mean, variance = (tensor.numpy().astype(np.float64)
                          for tensor in (layer.running_mean.cpu(), layer.running_var.cpu()))
        scale = 1.0 / np.sqrt(variance + layer.eps)
        if layer.affine:
            scale = scale * layer.weight.detach().cpu().numpy()
        offset = -mean * scale
        if layer.affine:
            offset = offset + layer.bias.detach().cpu().numpy()
        if not self._after_linear:
            self._before = name, scale, offset
            return
        last = self._layers[-1]
        _demand_width(name, scale, last.n_out)
        self._layers[-1] = _layer(last.name, last.weight * scale[:, None],
                                  last.bias * scale + offset)

    def _activation(self, name: str, layer: nn.Module) -> None:
        if not self._layers or self._before is not None:
            raise _unsupported(name, layer, "an activation after a Linear",
                               "of inputs, or of a BatchNorm1d that no Linear precedes, there "
                               "is none in the generated code")
        last, kind = self._layers[-1], type(layer).__name__.lower()
        if last.activation != "relu6":  # A ReLU changes nothing after it.
            self._layers[-1] = replace(last, activation=kind)
        self._after_linear = False


def _demand_width(name: str, scale: NDArray[np.float64], width: int) -> None:
    if len(scale) != width:
        raise ShapeError(f"{width} features", str(len(scale)), where=f"layer {name!r}",
                         hint="does this model run in torch?")


def _layer(name: str, weight: NDArray[Any], bias: NDArray[Any]) -> Layer:
    with np.errstate(over="ignore"):
        return Layer(name, np.ascontiguousarray(weight, np.float32),
                     np.ascontiguousarray(bias, np.float32))


def demand_samples(mlp: MLP, samples: Any) -> Floats:
    """Return samples as (n, D) float32.

    Raises:
        ShapeError: They are not finite float32 of that many numbers each, or none.
    """
    good = isinstance(samples, np.ndarray) and samples.dtype == np.float32 and \
        samples.ndim >= 2 and len(samples) > 0 and \
        int(np.prod(samples.shape[1:])) == mlp.n_inputs and bool(np.isfinite(samples).all())
    if not good:
        raise ShapeError(f"finite float32 samples (n >= 1, {mlp.n_inputs})", _got(samples),
                         where="`samples`", hint="real inputs, as the model takes them")
    return np.ascontiguousarray(samples.reshape(len(samples), -1))


def _got(samples: Any) -> str:
    if not isinstance(samples, np.ndarray):
        return type(samples).__name__
    bad = samples.dtype.kind == "f" and not np.isfinite(samples).all()
    return f"{samples.dtype} {list(samples.shape)}{' with NaN or infinity' if bad else ''}"


def demand_labels(mlp: MLP, labels: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the outputs, or none.

    Raises:
        ShapeError: There are more or fewer than outputs.
    """
    if labels and len(labels) != mlp.n_outputs:
        raise ShapeError(f"{mlp.n_outputs} labels, or none", str(len(labels)), where="`labels`",
                         hint="a name for each output")
    return tuple(labels)
