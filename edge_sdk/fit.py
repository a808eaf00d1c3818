"""Chooses the best Mix'n'Match for a budget: of bytes, of MACs, or of latency.

Which widths to give to which layers is a knapsack. The cost is linear in the
widths. The proxy for accuracy is the mean KL divergence, in nats, of the mix's
class probabilities from the universal model's on calibration inputs; labels
are not needed, and held-out inputs are never used. In two steps:

1. Modelled: the KL of each layer cut alone to each trained width is measured;
   their sum ranks all mixes, and a dynamic program keeps the Pareto frontier.
2. Measured: the best few of the frontier below the budget, and the largest
   uniform granularity below it, are run; the smallest KL wins.

So a mix is never chosen over a uniform granularity that is nearer to the
universal model. Where no real inputs are at hand, the table on the model's card
stands in for both steps. How well the proxy ranks accuracy is measured on each model
card (`python -m edge_sdk.zoo.cards`).
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_sdk.artifact import SUFFIX, publish
from edge_sdk.errors import BudgetError, UnsupportedModel
from edge_sdk.granularity import Granularity, named
from edge_sdk.prove import Limits
from edge_sdk.source import Source, trained

if TYPE_CHECKING:
    from edge_sdk.export import Export

Widths = tuple[int, ...]
N_MEASURED = 8
N_ATTEMPTS = 4


@dataclass(frozen=True)
class LinearCost:
    """A cost that is base + sum over layers of slope * width."""

    base: float
    slopes: tuple[float, ...]

    def __call__(self, widths: Sequence[int]) -> float:
        """Return the cost of `widths`."""
        return self.base + sum(s * w for s, w in zip(self.slopes, widths, strict=True))

    def scaled(self, factor: float, offset: float) -> LinearCost:
        """Return factor * self + offset."""
        return LinearCost(factor * self.base + offset, tuple(factor * s for s in self.slopes))


@dataclass(frozen=True)
class Choice:
    """The mix chosen, and why.

    `divergence` is the mix's measured KL from the universal model in nats;
    `uniform` the largest uniform granularity below the budget, None if there is none.
    """

    granularity: str
    widths: Widths
    budget: str
    cost: float
    divergence: float
    uniform: str | None
    uniform_divergence: float | None
    calibration: str

    def describe(self) -> str:
        """Return one line for the command's output."""
        beside = ("no uniform granularity fits" if self.uniform is None
                  else f"uniform {self.uniform} KL {self.uniform_divergence:.4f}")
        return (f"fit     {self.granularity}  {self.budget}  predicted {self.cost:.6g}  "
                f"KL {self.divergence:.4f} nats  {beside}  {self.calibration}")


class Proxy(Protocol):
    """What stands for accuracy: lower is better. `words` says what it was taken on."""

    words: str

    def __call__(self, widths: Widths) -> float:
        """Return the proxy of a mix, in nats."""
        ...


class Predicted:
    """KL of mixes as the sum over layers of a model card's table, where no data is at hand."""

    words = "predicted from the model card, no data at hand"

    def __init__(self, table: Sequence[dict[int, float]]) -> None:
        self.table = table

    def __call__(self, widths: Widths) -> float:
        """Return the sum of each layer's KL."""
        return sum(layer[w] for layer, w in zip(self.table, widths, strict=True))


class Divergence:
    """KL of mixes from the universal model on calibration inputs; each mix is run once."""

    def __init__(self, source: Source) -> None:
        import torch

        from edge_sdk.exporters.request import Outputs, output_names

        self.source = source
        self.model = Outputs(source.model, output_names(source.model, source.sample)).eval()
        self.inputs = [torch.from_numpy(array).split(128) for array in source.calibration.values()]
        n = len(next(iter(source.calibration.values())))
        self.words = f"measured on {n} calibration inputs"
        self._known: dict[Widths, float] = {}
        self._universal = self._log_probabilities(trained(source)["XL"])

    def __call__(self, widths: Widths) -> float:
        """Return mean KL(universal || mix) in nats."""
        if widths not in self._known:
            log_q = self._log_probabilities(widths)
            log_p = self._universal
            kl = (np.exp(log_p) * (log_p - log_q)).sum(-1).mean()
            self._known[widths] = float(kl)
        return self._known[widths]

    def _log_probabilities(self, widths: Widths) -> NDArray[np.float64]:
        import torch

        from edge_sdk.nn.matformer import use_widths

        with torch.no_grad(), use_widths(self.source.model, widths):
            logits = torch.cat([self.model(*parts)[0] for parts in zip(*self.inputs, strict=True)])
        out: NDArray[np.float64] = logits.double().log_softmax(-1).numpy()
        return out


def proxy(source: Source) -> Proxy:
    """Return the best proxy that a source allows: measured on its inputs, else its card's.

    Raises:
        UnsupportedModel: It has neither.
    """
    if source.calibration:
        return Divergence(source)
    if source.sensitivity:
        return Predicted(source.sensitivity)
    raise UnsupportedModel("calibration inputs, or a model card of these weights", "neither",
                           where=source.name, hint="pass --data DIR")


def frontier(
    penalties: Sequence[dict[int, float]], cost: LinearCost, budget: float = math.inf
) -> list[tuple[float, float, Widths]]:
    """Return the Pareto-optimal mixes as (cost, penalty, widths), cheapest first.

    A mix is kept if none of lower or equal cost has a lower or equal sum of
    penalties. Exact: dropping a dominated prefix of layers loses no optimum,
    for both sums only grow with the layers to come.

    Args:
        penalties: For each layer, the penalty of each width it may have.
        cost: Of a tuple of widths.
        budget: Mixes above it are left out.
    """
    cheapest = [min(slope * w for w in layer)
                for slope, layer in zip(cost.slopes, penalties, strict=True)]
    kept: list[tuple[float, float, Widths]] = [(cost.base, 0.0, ())]
    for layer, (slope, widths) in enumerate(zip(cost.slopes, penalties, strict=True)):
        rest = sum(cheapest[layer + 1:])
        grown = sorted((c + slope * w, p + penalty, (*mix, w))
                       for c, p, mix in kept for w, penalty in widths.items()
                       if c + slope * w + rest <= budget)
        kept, least = [], math.inf
        for entry in grown:
            if entry[1] < least:
                kept.append(entry)
                least = entry[1]
    return kept


def choose(
    source: Source, divergence: Proxy, cost: LinearCost, budget: float, *, words: str
) -> tuple[Granularity, Choice]:
    """Return the best mix of trained widths whose cost is at most `budget`.

    Raises:
        BudgetError: Even the smallest granularity costs more.
    """
    names = trained(source)
    full = names["XL"]
    smallest = cost(next(iter(names.values())))
    if smallest > budget:
        raise BudgetError(f"a budget of {smallest:.6g} or more, which the smallest needs",
                          f"{budget:.6g}", where=words, hint="raise the budget, or use int8")
    layers = [sorted({widths[layer] for widths in names.values()}) for layer in range(len(full))]
    penalties = [
        {w: divergence((*full[:layer], w, *full[layer + 1:])) if w < full[layer] else 0.0
         for w in widths} for layer, widths in enumerate(layers)
    ]
    below = [mix for _, _, mix in frontier(penalties, cost, budget)][-N_MEASURED:]
    uniforms = [mix for mix in names.values() if cost(mix) <= budget]
    uniform = max(uniforms, key=cost)
    best = min([*below, uniform], key=lambda mix: (divergence(mix), cost(mix), mix))
    granularity = named(best, names)
    return granularity, Choice(
        granularity.name, best, words, cost(best), divergence(best), named(uniform, names).name,
        divergence(uniform), divergence.words)


def count_cost(source: Source, count: Callable[[Any], int]) -> LinearCost:
    """Return the exact linear cost that `count(small model)` has: parameters or MACs."""
    from edge_sdk.nn.matformer import extract

    names = trained(source)
    full, smallest = names["XL"], next(iter(names.values()))
    whole = count(extract(source.model, full))
    slopes = []
    for layer, (wide, least) in enumerate(zip(full, smallest, strict=True)):
        narrow = least if least < wide else max(1, wide // 2)
        cut = count(extract(source.model, (*full[:layer], narrow, *full[layer + 1:])))
        slopes.append((whole - cut) / (wide - narrow))
    return LinearCost(whole - sum(s * w for s, w in zip(slopes, full, strict=True)), tuple(slopes))


def export_fitting(
    source: Source, outs: Callable[[str], dict[str, Path]], *, max_bytes: int, max_macs: int,
    max_latency_ms: float, quantize: str, limits: Limits, report: Callable[[str], None],
) -> tuple[Choice, list[Export]]:
    """Export the best mix for one budget; the others are 0.

    Bytes and latency are predicted from S and XL, written and measured here, and
    checked on the file itself: if it is above the budget, a smaller mix is tried.

    Args:
        source: What to export.
        outs: Returns the file for each target, given a granularity's name.
        max_bytes, max_macs, max_latency_ms: The budget.
        quantize, limits, report: As for `export`.

    Raises:
        BudgetError: Nothing fits.
    """
    from edge_sdk.export import export_all

    targets = list(outs("XL"))
    if len(targets) > 1 and not max_macs:
        raise UnsupportedModel("one --target for a budget of bytes or latency", "several",
                               where="--target", hint="a file differs from engine to engine")
    budget, words = ((float(max_macs), f"{max_macs} MACs") if max_macs else
                     (float(max_bytes), f"{max_bytes} B") if max_bytes else
                     (max_latency_ms, f"{max_latency_ms:g} ms"))
    report("measuring what each layer's width is worth")
    divergence = proxy(source)
    cost = _cost(source, targets[0], max_bytes, max_latency_ms, quantize, limits, report)
    within, actual = budget, math.inf
    for _ in range(N_ATTEMPTS):
        granularity, choice = choose(source, divergence, cost, within, words=words)
        finals = outs(granularity.name)
        with tempfile.TemporaryDirectory(prefix="edge_sdk-") as folder:
            trial = {target: Path(folder) / out.name for target, out in finals.items()}
            written = export_all(source, trial, granularity=granularity.name, elastic=None,
                                 quantize=quantize, limits=limits, report=report)
            actual = _actual(written[0], granularity.name, max_bytes, max_latency_ms)
            if actual <= budget or max_macs:
                with publish(*finals.values()) as partials:
                    for done, partial in zip(written, partials, strict=True):
                        shutil.copyfile(done.path, partial)
                return choice, [replace(done, path=final) for done, final in
                                zip(written, finals.values(), strict=True)]
        report(f"{granularity.name} took {actual:.6g}, above the budget: trying a smaller mix")
        within = min(within, cost(granularity.widths)) * 0.999
    raise BudgetError(words, f"{actual:.6g} after {N_ATTEMPTS} attempts",
                      where="the file as written", hint="raise the budget a little")


def _actual(done: Export, name: str, max_bytes: int, max_latency_ms: float) -> float:
    if max_bytes:
        return done.n_bytes
    return done.measured.latency_ms[name] if max_latency_ms else 0.0


def _cost(
    source: Source, target: str, max_bytes: int, max_latency_ms: float, quantize: str,
    limits: Limits, report: Callable[[str], None],
) -> LinearCost:
    """Return the cost model: exact for MACs, else through S and XL as written and measured."""
    from edge_sdk.export import export_all
    from edge_sdk.nn.counting import count_macs, count_parameters

    if max_bytes:
        exact = count_cost(source, count_parameters)
    else:
        exact = count_cost(source, lambda model: count_macs(model, source.sample))
    if not (max_bytes or max_latency_ms):
        return exact
    names = trained(source)
    points = []
    with tempfile.TemporaryDirectory(prefix="edge_sdk-") as folder:
        for name in (next(iter(names)), "XL"):
            report(f"writing {name} to learn what a width costs")
            out = {target: Path(folder) / f"{name}{SUFFIX[target]}"}
            done = export_all(source, out, granularity=name, elastic=None, quantize=quantize,
                              limits=limits, report=report)[0]
            points.append((exact(names[name]), _actual(done, name, max_bytes, max_latency_ms)))
    (x0, y0), (x1, y1) = points
    slope = (y1 - y0) / (x1 - x0)
    return exact.scaled(slope, y0 - slope * x0)
