"""`python -m edge_sdk.governor replay LOG`: decide a log again, and compare."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from edge_sdk.console import commands, say
from edge_sdk.errors import ComparisonError
from edge_sdk.governor.log import replay


def again(
    log: Path = typer.Argument(..., help="A log that Governor(log=...) wrote."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Decide everything in LOG again; exit 1 if any decision differs."""
    decisions = switches = missed = 0
    differing: list[int] = []
    for logged, now in replay(log):
        if logged != now:
            differing.append(decisions)
        decisions += 1
        switches += now.switched
        missed += not now.met
    if as_json:
        say(json.dumps({"decisions": decisions, "same": decisions - len(differing),
                        "first_different": differing[0] if differing else None,
                        "switches": switches, "missed": missed}))
    else:
        say(f"log     {log.name}  {decisions} decisions  {switches} switches  "
            f"{missed} missed the budget")
        say(f"check   {decisions - len(differing)}/{decisions} the same"
            f"{'' if differing else '  ok'}")
    if differing:
        raise ComparisonError("the same decisions", f"{len(differing)} others",
                              where=f"{log}, decision {differing[0]}",
                              hint="was it written by another version?")


app = commands(replay=again)


@app.callback()
def main() -> None:
    """Look into what a governor decided."""


if __name__ == "__main__":
    app()
