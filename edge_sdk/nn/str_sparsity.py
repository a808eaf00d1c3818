"""Learnt sparsity: every weight passes a soft threshold, and the thresholds are trained.

Source: Kusupati et al., "Soft Threshold Weight Reparameterization for Learnable
Sparsity", ICML 2020 (arXiv:2002.03231). A layer computes with

    S_g(W, s) = sign(W) relu(|W| - g(s))                                 (equation 2)

where g is the sigmoid, or the exponential, and s is learnt by the gradient and by
a weight decay of its own, which draws s towards 0, g(s) upwards, and so sets how
sparse the model becomes. One s for each layer (the paper's default), one for all
layers, one for each output row or channel, or one for each weight.

    handle = sparsify(model, s_init=-8.0)
    optimizer = torch.optim.SGD(handle.parameter_groups(0.1, 5e-4, 4e-3), momentum=0.9)
    ...                     # train as ever; handle.freeze(mask=True) before the last epochs
    handle.extract()        # plain layers with zeros

Choose s_init with care. Below about -89 the float32 sigmoid, and with it the
gradient of s, is exactly 0. The paper's s_init of -3200 for ResNet-50 means that
at first s moves by weight decay alone and the model trains dense, until the decay
has brought s into reach. Without a decay such an s never moves. For short
trainings -8 starts at a threshold of 3e-4, with a gradient.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from edge_sdk.errors import ShapeError, UnsupportedModel
from edge_sdk.nn.budgets import LayerCost, Where, count_layers, select_layers, total_cost

G: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "exp": torch.exp}
THRESHOLDS = ("layer", "global", "filter", "weight")
NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase, nn.RMSNorm)


def soft_threshold(weight: Tensor, threshold: Tensor) -> Tensor:
    """Return sign(weight) relu(|weight| - threshold), the shape of `weight`.

    The gradient is 1 for weights that are kept and 0 for the others; the threshold's
    is -sign(weight), summed over those kept. At |weight| = threshold both are 0. A
    pruned weight is +0.0, never -0.0. NaN stays NaN.

    Args:
        weight: Any shape.
        threshold: >= 0, broadcast to `weight`.
    """
    pruned = weight.abs() <= threshold
    return torch.where(pruned, 0.0, weight - torch.sign(weight) * threshold)


class SoftThresholded(nn.Module):
    """A layer whose `weight` is thresholded at each use; made by `sparsify`.

    Everything that reads `weight` gets the thresholded one, slices included, so a
    nested FFN stays nested: its first rows or columns are those of the whole.
    The parameters are `weight`, dense, and `threshold`, s, under these names.

    Attributes:
        threshold: s, shape (), (out, 1...) or that of the weight.
        mask: Where weights stay, once `freeze(mask=True)` fixed them; else None.
        g: "sigmoid" or "exp".
    """

    threshold: nn.Parameter
    mask: Tensor | None
    g: str

    @property
    def dense(self) -> nn.Parameter:
        """The weight that is trained, before the threshold."""
        return cast(nn.Parameter, self._parameters["weight"])

    @property
    def weight(self) -> Tensor:
        """The weight that the layer computes with."""
        if self.mask is not None:
            return torch.where(self.mask, self.dense, 0.0)
        return soft_threshold(self.dense, G[self.g](self.threshold))


class STRLinear(SoftThresholded, nn.Linear):  # type: ignore[misc, override]
    """`nn.Linear` with a thresholded weight; made by `sparsify`."""


class STRConv2d(SoftThresholded, nn.Conv2d):  # type: ignore[misc, override]
    """`nn.Conv2d` with a thresholded weight; made by `sparsify`."""


@cache
def _thresholded(kind: Any) -> type[nn.Module]:
    """Return the thresholded form of a class: Linear, Conv2d or a child of theirs."""
    known: dict[Any, type[nn.Module]] = {nn.Linear: STRLinear, nn.Conv2d: STRConv2d}
    return known.get(kind) or type(f"STR{kind.__name__}", (SoftThresholded, kind), {})


class Sparsified:
    """The layers that `sparsify` made sparse, and what can be done with them.

    Attributes:
        module: The model they are in.
        layers: They by name, in the model's order.
    """

    def __init__(self, module: nn.Module, layers: dict[str, nn.Module]) -> None:
        self.module, self.layers = module, layers

    def parameter_groups(
        self, lr: float, weight_decay: float, threshold_decay: float
    ) -> list[dict[str, Any]]:
        """Return three groups for a torch optimizer, each parameter of the model in one.

        "weights": every parameter of two dimensions or more that is no norm's, with
        `weight_decay`. "others": biases and norms, without decay. "thresholds": s, with
        `threshold_decay`: the larger, the sparser. All learn at `lr`.
        """
        thresholds = {id(layer.threshold): layer.threshold for layer in self._thresholded()}
        norms = {id(parameter) for module in self.module.modules() if isinstance(module, NORMS)
                 for parameter in module.parameters(recurse=False)}
        weights: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for parameter in self.module.parameters():
            if id(parameter) not in thresholds:
                decays = parameter.ndim > 1 and id(parameter) not in norms
                (weights if decays else others).append(parameter)
        groups: list[tuple[str, list[nn.Parameter], float]] = [
            ("weights", weights, weight_decay), ("others", others, 0.0),
            ("thresholds", list(thresholds.values()), threshold_decay)]
        return [{"name": name, "params": parameters, "lr": lr, "weight_decay": decay}
                for name, parameters, decay in groups]

    def sparsity(self) -> float:
        """Return the fraction of zeros in the sparsified layers' weights."""
        return total_cost(self.report()).sparsity

    def report(self, sample: Tensor | tuple[Any, ...] | None = None) -> list[LayerCost]:
        """Return the cost of each sparsified layer; MACs only with a `sample` input.

        See `edge_sdk.nn.budgets.count_layers`. A layer may have lost all its weights.
        """
        if sample is None:
            with torch.no_grad():
                weights = {name: cast(Tensor, layer.weight) for name, layer in self.layers.items()}
                return [LayerCost(name, tuple(weight.shape), weight.numel(),
                                  int(torch.count_nonzero(weight)))
                        for name, weight in weights.items()]
        # What runs for the count is what an extract would run.
        plain = copy.deepcopy(self.module)
        modules = dict(plain.named_modules())
        layers = {name: modules[name] for name in self.layers}
        Sparsified(plain, layers).extract()
        return count_layers(plain, sample, layers=layers)

    def thresholds(self) -> dict[str, Tensor]:
        """Return g(s) of each layer, shape (), (out, 1...) or that of the weight."""
        self._thresholded()
        return {name: G[cast(SoftThresholded, layer).g](cast(Tensor, layer.threshold)).detach()
                for name, layer in self.layers.items()}

    @torch.no_grad()
    def freeze(self, *, mask: bool = False) -> None:
        """Stop learning the thresholds: no gradient, no decay, no momentum moves s any more.

        Weights may still cross the threshold that stays. With `mask` the zeros are
        fixed too: weights take their thresholded values, so that no output changes,
        and train on without a threshold; zeros stay, whatever the optimizer does.

        Raises:
            UnsupportedModel: The layers were extracted.
        """
        for layer in self._thresholded():
            # Optimizers pass over a parameter without a gradient, decay and momentum included.
            layer.threshold.requires_grad_(False)
            layer.threshold.grad = None
            if mask and layer.mask is None:
                weight = layer.weight
                layer.dense.copy_(weight)
                layer.mask = weight != 0

    @torch.no_grad()
    def extract(self) -> nn.Module:
        """Turn the layers, in place, into plain ones with the zeros in their weights.

        Outputs stay the same, bit for bit. Parameters keep their identity. Nothing of
        the thresholds is left. Returns the module. A second call changes nothing.
        """
        for layer in self.layers.values():
            if isinstance(layer, SoftThresholded):
                weight = layer.weight
                layer.dense.copy_(weight)
                del layer.threshold, layer.mask, layer.g
                layer.__class__ = type(layer).__bases__[1]
        return self.module

    def _thresholded(self) -> list[SoftThresholded]:
        layers = [layer for layer in self.layers.values() if isinstance(layer, SoftThresholded)]
        if not layers:
            raise UnsupportedModel("layers with thresholds", "plain ones", where="the handle",
                                   hint="extract() ends the training of thresholds")
        return layers


@torch.no_grad()
def sparsify(
    module: nn.Module, *, threshold: str = "layer", g: str = "sigmoid", s_init: float = -8.0,
    where: Where | None = None,
) -> Sparsified:
    """Give the layers of `module` learnt thresholds, in place, and return a handle to them.

    Weights are kept, and with them everything that holds the layers or their
    parameters; an optimizer made before knows nothing of the thresholds. A nested
    FFN, `edge_sdk.nn.matformer`, stays one: its widths are slices of the thresholded
    weight.

    Args:
        module: Holds Linear and Conv2d modules, or is one.
        threshold: What shares an s: "layer", "global" (all layers together), "filter"
            (an output row or channel), or "weight" (each alone).
        g: "sigmoid" or "exp".
        s_init: Where s starts; the module's docstring says what very low values do.
        where: Asked with name and layer, whether to sparsify; all but grouped
            convolutions by default.

    Raises:
        UnsupportedModel: `threshold` or `g` is unknown, no layer is chosen, one is
            sparsified already, or two modules share a weight.
        ShapeError: s_init is not finite.
        CheckpointError: A weight is not finite.
    """
    for value, known, name in ((threshold, THRESHOLDS, "`threshold`"), (g, tuple(G), "`g`")):
        if value not in known:
            raise UnsupportedModel(f"one of {', '.join(known)}", repr(value), where=name,
                                   hint="the paper's are layer and sigmoid")
    if not math.isfinite(s_init):
        raise ShapeError("a finite number", repr(s_init), where="`s_init`",
                         hint="-8 starts at a threshold of 3e-4")
    layers = select_layers(module, where)
    one: nn.Parameter | None = None
    for layer in layers.values():
        weight = cast(nn.Parameter, layer.weight)
        shape = {"filter": (len(weight), *[1] * (weight.ndim - 1)),
                 "weight": tuple(weight.shape)}.get(threshold, ())
        if one is None or threshold != "global":
            one = nn.Parameter(weight.new_full(shape, s_init))
        layer.__class__ = _thresholded(cast(Any, type(layer)))
        layer.register_parameter("threshold", one)
        layer.register_buffer("mask", None)
        layer.g = g  # type: ignore[assignment]
    return Sparsified(module, layers)
