"""Engines side by side, each in a process of its own, asked in turns how long a call takes.

An engine is a function from a folder of files to its calls. A call's answer is checked before
it is timed.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import ComparisonError

BATCH_S, WARM_CALLS, WARM_ROUNDS = 3e-3, 5, 2
STEADY_S = 3e-3
"""Calls of this long come before those that are timed: others ran in between, and caches and
branch predictors know nothing of this call any more."""


@dataclass(frozen=True)
class Call:
    """What is timed, where its output is afterwards, and what must live on."""

    run: Callable[[], object]
    output: Callable[[], NDArray[np.float32]]
    kept: tuple[Any, ...] = ()


Calls = dict[str, Call]
Make = Callable[[Path], Calls]
Check = Callable[[str, Call], None]
"""Raises if a call of this name, which was made once, has another output than it should."""


class Peer:
    """An engine's process. Close it when done."""

    def __init__(self, name: str, make: Make, check: Check, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(other, name, make, check, folder), daemon=True)
        self._process.start()
        other.close()
        self.name = name
        try:
            self.calls: list[str] = self._pipe.recv()
        except EOFError:
            raise RuntimeError(f"{name} did not answer as it should: see above") from None

    def seconds(self, call: str) -> float:
        """Return the seconds that a call takes now, mean of some milliseconds' calls."""
        self._pipe.send(call)
        taken: float = self._pipe.recv()
        return taken

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()


@contextmanager
def peers(engines: Mapping[str, Make], check: Check, folder: Path) -> Iterator[list[Peer]]:
    """Start every engine's process, one thread each."""
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    found: list[Peer] = []
    try:
        with mock.patch.dict(os.environ, threads):  # the children inherit it
            for name, make in engines.items():
                found.append(Peer(name, make, check, folder))
        yield found
    finally:
        for peer in found:
            peer.close()


def alternate(asked: Sequence[tuple[Peer, str]], rounds: int) -> list[float]:
    """Return the median seconds of each call, made in turns in an order drawn each round."""
    draw = random.Random(0)
    times: list[list[float]] = [[] for _ in asked]
    for turn in range(rounds + WARM_ROUNDS):
        for i in draw.sample(range(len(asked)), len(asked)):
            peer, call = asked[i]
            taken = peer.seconds(call)
            if turn >= WARM_ROUNDS:
                times[i].append(taken)
    return [statistics.median(taken) for taken in times]


def demand_near(
    got: NDArray[Any], right: NDArray[Any], limit: float, *, where: str
) -> None:
    """Demand an output at most `limit` from what is right.

    Raises:
        ComparisonError: It is farther away, or not finite.
    """
    apart = float(np.abs(got - right).max())
    if not apart <= limit:
        raise ComparisonError(f"an output within {limit:g} of float64", f"{apart:.3g}",
                              where=where,
                              hint="a call that computes something else is not timed")


def _serve(pipe: Any, engine: str, make: Make, check: Check, folder: Path) -> None:
    calls = make(folder)
    for name, call in calls.items():
        call.run()
        try:
            check(name, call)
        except ComparisonError as error:
            error.where = f"{engine}, {error.where}"
            raise
    counts = {}
    for name, call in calls.items():
        _batch(call.run, WARM_CALLS)
        counts[name] = max(1, round(BATCH_S / _batch(call.run, WARM_CALLS)))
    pipe.send(list(calls))
    try:
        while True:
            name = pipe.recv()
            run = calls[name].run
            _steady(run)
            pipe.send(_batch(run, counts[name]))
    except EOFError:  # the parent has what it wanted
        pass


def _steady(run: Callable[[], object]) -> None:
    end = time.perf_counter() + STEADY_S
    while time.perf_counter() < end:
        run()


def _batch(run: Callable[[], object], n: int) -> float:
    start = time.perf_counter()
    for _ in range(n):
        run()
    return (time.perf_counter() - start) / n
