"""Everything adaptive on this device, part by part: `python -m benchmarks.adaptive`.

Cascades, the omniglot bundle, the governor, retrieval, and a day on a phone; results go to
`benchmarks/results/<device>/adaptive.json`, and `python -m benchmarks.readme_adaptive` makes
the README's table from them. The bundle is packed and profiled first unless one is given.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import typer
from threadpoolctl import threadpool_limits

from benchmarks import adaptive_omniglot, cascade, day, governor, retrieval
from benchmarks.adaptive_omniglot import Omniglot
from benchmarks.elastic import RESULTS, device
from benchmarks.parts import chosen, each, store
from benchmarks.rows import HEADING, Scale
from edge_sdk import _native
from edge_sdk.bundle import Bundle
from edge_sdk.bundle.reference import pack_reference
from edge_sdk.console import command, say
from edge_sdk.profile import measure as profile

MODEL = "matvit-omniglot"
DAYS = 5

def days(omniglot: Omniglot, scale: Scale) -> dict[str, Any]:
    """Return simulated days; the first is drawn beside the results."""
    results = day.simulate(omniglot.bundle, omniglot.answers(),
                           seeds=range(1 if scale.quick else DAYS))
    if not scale.quick:
        day.plot(results, RESULTS / device() / "day.svg")
    del results["curves"]  # the picture shows them
    return results


ALONE: dict[str, Callable[[Scale], dict[str, Any]]] = {
    "cascade": cascade.measure,
    "governor": lambda scale: governor.measure(quick=scale.quick),
    "retrieval": retrieval.speed,
    "funnel": retrieval.funnel,
    "queries": retrieval.omniglot,
}
WITH_BUNDLE: dict[str, Callable[[Omniglot, Scale], dict[str, Any]]] = {
    "dims": lambda omniglot, scale: adaptive_omniglot.dims(omniglot),
    "levels": adaptive_omniglot.levels,
    "guarantee": adaptive_omniglot.guarantee,
    "day": days,
}
NAMES = (*ALONE, *WITH_BUNDLE)


def main(
    only: str = typer.Option(",".join(NAMES), help="Parts, comma-separated."),
    bundle: Path = typer.Option(None, help=f"A profiled {MODEL}.edge; made if left out."),
    data: Path = typer.Option(None, help="Folder with data sets; or $EDGE_SDK_DATA."),
    quick: bool = typer.Option(False, "--quick", help="Try it out: small, and writes nothing."),
) -> None:
    """Measure everything adaptive and write the results of this device."""
    scale = Scale(quick=quick)

    @lru_cache(maxsize=1)
    def omniglot() -> Omniglot:
        opened = Bundle.open(bundle) if bundle is not None else _make(data)
        return Omniglot(opened, str(data) if data else None, scale)

    def measure(name: str) -> None:
        made = omniglot() if name in WITH_BUNDLE else None
        with threadpool_limits(1):  # of NumPy's products, and of faiss
            faiss.omp_set_num_threads(1)
            measured = ALONE[name](scale) if made is None else WITH_BUNDLE[name](made, scale)
        if not quick:
            _store(name, measured)

    wanted = chosen(only, NAMES)
    say(HEADING)
    each(wanted, measure)


def _make(data: Path | None) -> Bundle:
    Path("build").mkdir(exist_ok=True)
    made = pack_reference(MODEL, Path("build") / f"{MODEL}.edge", data=data, report=say)
    made.replace_profile(profile(made, report=say))
    return made


def _store(name: str, measured: dict[str, Any]) -> None:
    measured["command"] = f"python -m benchmarks.adaptive --only {name}"
    store("adaptive", name, measured, NAMES, {
        "isas": _native.isas(), "faiss": faiss.__version__, "numpy": np.__version__,
        "python": sys.version.split()[0]})


if __name__ == "__main__":
    command(main)()
