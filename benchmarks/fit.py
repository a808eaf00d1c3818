"""Validates the choice of Mix'n'Match: `python -m benchmarks.fit MODEL --data DIR`.

For budgets of MACs between the uniform granularities, the mix that
`edge_sdk.fit` chooses on calibration inputs is run on all held-out inputs,
beside the largest uniform granularity below the same budget. Results go to
`benchmarks/results/fit-MODEL.json`: accuracy does not depend on the device.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer

from benchmarks.elastic import RESULTS
from edge_sdk.console import command, say
from edge_sdk.fit import choose, count_cost, proxy
from edge_sdk.granularity import parse
from edge_sdk.nn.counting import count_macs
from edge_sdk.prove import eager
from edge_sdk.source import Source, find_source, trained

FRACTIONS = (0.25, 0.5, 0.75)


def validate(source: Source) -> list[dict[str, Any]]:
    """Return, for each budget, the mix chosen and its held-out accuracy beside the uniform's."""
    cost = count_cost(source, lambda model: count_macs(model, source.sample))
    names = trained(source)
    taken_on = proxy(source)
    known: dict[str, float] = {}

    def top1(name: str) -> float:
        if name not in known:
            logits = eager(source, parse(name, names), ["logits"])["logits"]
            known[name] = float((logits.argmax(-1) == source.targets).mean())
        return known[name]

    rows = []
    for low, high in pairwise(cost(widths) for widths in names.values()):
        for fraction in FRACTIONS:
            budget = low + fraction * (high - low)
            granularity, choice = choose(source, taken_on, cost, budget, words="MACs")
            assert choice.uniform is not None
            rows.append({
                "budget_macs": round(budget), "mix": granularity.name,
                "macs": round(choice.cost), "divergence": choice.divergence,
                "top1": top1(granularity.name), "uniform": choice.uniform,
                "uniform_divergence": choice.uniform_divergence,
                "uniform_top1": top1(choice.uniform),
            })
    return rows


def main(
    model: str = typer.Argument(..., help="A zoo model."),
    data: Path = typer.Option(None, help="Folder with data sets; or $EDGE_SDK_DATA."),
) -> None:
    """Write how the chosen mixes fare beside uniform granularities."""
    source = find_source(model, data=data)
    assert source.targets is not None, "needs labelled data"
    rows = validate(source)
    result = {"command": f"EDGE_SDK_DATA=... python -m benchmarks.fit {model}",
              "n": len(source.targets), "split": source.inputs_are,
              "proxy": proxy(source).words, "budgets": rows}
    path = RESULTS / f"fit-{model}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    for row in rows:
        say(f"{row['budget_macs']:>12} MACs  {row['mix']:<16} {row['top1']:.2%}  "
            f"uniform {row['uniform']:<3} {row['uniform_top1']:.2%}")
    say(f"wrote   {path}")


if __name__ == "__main__":
    command(main)()
