"""Gradual magnitude pruning: the smallest weights are set to zero, more and more of them.

Source: Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning
for model compression", 2017 (arXiv:1710.01878). The sparsity grows from 0 to s_f by

    s_t = s_f (1 - (1 - (t - start) / (end - start))^3)                  (equation 1)

and at every so many steps the masks are made anew from the weights' magnitudes. As
in the paper, a pruned weight gets no gradient and is not updated, but its value of
the step when it was pruned is remembered and takes part in the next ranking: it
returns with this value if enough others have become smaller. After the last step of
the schedule the masks stay.

    pruning = MagnitudePruning(model, sparsity=0.9, start_step=500, end_step=4000, every=100)
    for batch in batches:
        ...; optimizer.step(); pruning.after_step()
    pruning.extract()
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from edge_sdk.errors import BudgetError, CheckpointError, ShapeError, UnsupportedModel
from edge_sdk.nn.budgets import (
    LayerCost,
    Where,
    check_budget,
    count_layers,
    n_pruned,
    plain_weight,
    select_layers,
    total_cost,
)

SCOPES = ("layer", "global")


def largest(magnitudes: Tensor, kept: int) -> Tensor:
    """Return a mask of exactly `kept` largest entries; of equal ones the lower index stays.

    Args:
        magnitudes: Any shape; indices count in row-major order.
        kept: 0 up to the number of entries.
    """
    order = torch.sort(magnitudes.flatten(), descending=True, stable=True).indices
    mask = torch.zeros(magnitudes.numel(), dtype=torch.bool, device=magnitudes.device)
    mask[order[:kept]] = True
    return mask.view(magnitudes.shape)


class MagnitudePruning:
    """Prunes the layers of a module while something else trains it.

    Attributes:
        module: The model; its weights are zero where they are pruned.
        layers: The pruned layers by name, in the model's order.
        masks: True where a weight stays, by layer.
        kept: How many weights each layer keeps in the end; None with scope "global".
        step: How often `after_step` was called.
    """

    def __init__(
        self, module: nn.Module, *, sparsity: float | None = None, scope: str = "layer",
        budget: Mapping[str, LayerCost | float] | None = None, start_step: int = 0,
        end_step: int, every: int = 1, where: Where | None = None,
    ) -> None:
        """Plan the pruning of `module`; nothing is pruned before the first `after_step`.

        Args:
            module: Holds Linear and Conv2d modules, or is one.
            sparsity: s_f, of every layer, or of all together with scope "global".
            scope: "layer", or "global": one ranking of the weights of all layers.
            budget: s_f of each layer instead: sparsities, or exact counts.
            start_step, end_step: Steps at which pruning begins (with none pruned) and
                at which s_f is reached. Equal ones prune at once.
            every: Steps from one making of masks to the next.
            where: Asked with name and layer, whether to prune; all but grouped
                convolutions by default.

        Raises:
            BudgetError: Neither or both of `sparsity` and `budget`, a sparsity out of
                [0, 1), or a budget of other layers or counts.
            ShapeError: Steps that are no schedule.
            UnsupportedModel: No layer is chosen, two modules share a weight, one is
                no plain weight, or the scope is unknown.
            CheckpointError: A weight is not finite.
        """
        if (sparsity is None) == (budget is None):
            raise BudgetError("`sparsity` or `budget`", "both" if budget else "neither",
                              hint="sparsity=0.9 for all, budget={...} for each layer")
        if sparsity is not None and not 0.0 <= sparsity < 1.0:
            raise BudgetError("a sparsity in [0, 1)", repr(sparsity), where="`sparsity`",
                              hint="0.9 prunes nine weights of ten")
        if not 0 <= start_step <= end_step or end_step < 1 or every < 1:
            raise ShapeError("0 <= start_step <= end_step, and every >= 1",
                             f"{start_step}, {end_step}, every {every}", where="the schedule",
                             hint="end well before the training does, so that it can recover")
        if scope not in SCOPES or (scope == "global" and budget is not None):
            raise UnsupportedModel("scope 'layer', or 'global' with `sparsity`", repr(scope),
                                   where="`scope`", hint="a budget is one of each layer")
        self.module, self.scope = module, scope
        self.layers = select_layers(module, where)
        weights = {name: plain_weight(name, layer) for name, layer in self.layers.items()}
        self._weights = weights
        self.kept: dict[str, int] | None = None
        if budget is None and sparsity is not None:
            budget = dict.fromkeys(weights, sparsity)
        if scope == "layer" and budget is not None:
            self.kept = check_budget(budget, self.layers)
        self._sparsity = sparsity
        self.start_step, self.end_step, self.every, self.step = start_step, end_step, every, 0
        self.masks = {name: torch.ones_like(weight, dtype=torch.bool)
                      for name, weight in weights.items()}
        # Pruned weights as they were; None before and after the schedule.
        self._held: dict[str, Tensor] | None = None
        self._hooks = [weight.register_hook(partial(self._mask_gradient, name))
                       for name, weight in weights.items() if weight.requires_grad]

    def _mask_gradient(self, name: str, gradient: Tensor) -> Tensor:
        return torch.where(self.masks[name], gradient, 0.0)

    def progress(self, step: int) -> float:
        """Return the fraction of s_f that is due at `step`, by the paper's cubic: 0 up to 1."""
        if step >= self.end_step:
            return 1.0
        if step <= self.start_step:
            return 0.0
        left = 1.0 - (step - self.start_step) / (self.end_step - self.start_step)
        return 1.0 - left**3

    @torch.no_grad()
    def after_step(self) -> None:
        """Apply the masks; call it after each step of the optimizer.

        Raises:
            CheckpointError: Masks are due and a weight is not finite.
            UnsupportedModel: The layers were extracted.
        """
        if not self._weights:
            raise UnsupportedModel("a pruning in progress", "an extracted one", where="after_step",
                                   hint="leave out after_step once extract() was called")
        self.step += 1
        if self.step < self.start_step:
            return
        if self._held is not None:
            # Whatever the optimizer did to pruned weights is undone.
            for name, weight in self._weights.items():
                weight.copy_(torch.where(self.masks[name], weight, self._held[name]))
        due = (self.step - self.start_step) % self.every == 0 or self.step == self.end_step
        if due and self.step <= self.end_step:
            self._make_masks()
        if self.step < self.end_step:
            self._held = {name: weight.clone() for name, weight in self._weights.items()}
        else:
            self._held = None
        self._apply()

    def _apply(self) -> None:
        for name, weight in self._weights.items():
            weight.copy_(torch.where(self.masks[name], weight, 0.0))

    def _make_masks(self) -> None:
        sizes = {name: weight.abs() for name, weight in self._weights.items()}
        for name, size in sizes.items():
            if not bool(torch.isfinite(size).all()):
                raise CheckpointError("finite weights", f"NaN or infinity at step {self.step}",
                                      where=f"{name}.weight", hint="lower the learning rate")
        progress = self.progress(self.step)
        if self.kept is not None:
            for name, size in sizes.items():
                pruned = n_pruned(progress, size.numel() - self.kept[name])
                self.masks[name] = largest(size, size.numel() - pruned)
            return
        assert self._sparsity is not None
        flat = torch.cat([size.flatten() for size in sizes.values()])
        mask = largest(flat, len(flat) - n_pruned(progress * self._sparsity, len(flat)))
        parts = mask.split([size.numel() for size in sizes.values()])
        for (name, size), part in zip(sizes.items(), parts, strict=True):
            self.masks[name] = part.view(size.shape)

    def sparsity(self) -> float:
        """Return the fraction of zeros in the pruned layers' weights."""
        return total_cost(self.report()).sparsity

    def report(self, sample: Tensor | tuple[Any, ...] | None = None) -> list[LayerCost]:
        """Return the cost of each pruned layer; MACs only with a `sample` input.

        See `edge_sdk.nn.budgets.count_layers`. A layer may have lost all its weights.
        """
        return count_layers(self.module, sample, layers=self.layers)

    @torch.no_grad()
    def extract(self) -> nn.Module:
        """End the pruning with the masks of now, and return the module, its zeros in place.

        Nothing of the pruning is left in it: gradients reach all weights again. A
        second call changes nothing.
        """
        if self.step >= self.start_step:
            self._apply()
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._weights, self._held = [], {}, None
        return self.module
