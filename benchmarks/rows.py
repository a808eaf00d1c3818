"""Rows of measurements, ours beside a peer's: what benchmarks.codes makes, prints and stores."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from edge_sdk import _native
from edge_sdk.console import say

Row = dict[str, Any]
WARM_ROUNDS = 2
WIDTH = 74


@dataclass(frozen=True)
class Scale:
    """How much is measured: `large` adds the sizes that take minutes, `quick` is to try it out."""

    large: bool = False
    quick: bool = False

    def n(self, n: int) -> int:
        """Return `n` items, or with `quick` a hundredth of them, 1000 at least."""
        return max(n // 100, min(n, 1000)) if self.quick else n

    def rounds(self, rounds: int) -> int:
        """Return how many rounds to take: at least 3."""
        return max(3, rounds // 10) if self.quick else rounds


def alternate(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Return the median seconds of each call, made in turns.

    Two take turns in coming first; of more the order is drawn each round, so that
    none always follows the same one, whose branches and cache it would inherit.
    """
    draw = random.Random(0)
    times: list[list[float]] = [[] for _ in calls]
    with _without_gc():
        for turn in range(rounds + WARM_ROUNDS):
            order = [turn % 2, 1 - turn % 2] if len(calls) == 2 else \
                draw.sample(range(len(calls)), len(calls))
            for i in order:
                start = time.perf_counter()
                calls[i]()
                if turn >= WARM_ROUNDS:
                    times[i].append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def fresh(
    call: Callable[[Any], object], batches: Sequence[Any] | NDArray[Any], *, ahead: bool = False
) -> Callable[[], object]:
    """Return `call` of the next of `batches`, round and round.

    With `ahead`, from the middle of them on: a peer that starts at the first then
    finds none that this one has just warmed.
    """
    start = len(batches) // 2 if ahead else 0
    turn = itertools.cycle([*batches[start:], *batches[:start]])
    return lambda: call(next(turn))


def beside(
    what: str, ours: Callable[[], object], peer: Callable[[], object], *, peer_name: str,
    unit: str, units: float, rounds: int, n: int, at_least: float | None = None,
) -> Row:
    """Return a row of times taken in turns; the ratio is how many times ours is faster.

    Args:
        what, peer_name: In words.
        ours, peer: The calls, each doing the same.
        unit: Of the times, as "ns a word".
        units: How many of them a second of one call is.
        rounds: Calls of each.
        n: Items searched.
        at_least: The ratio aimed at.
    """
    mine, theirs = (seconds * units for seconds in alternate([ours, peer], rounds))
    return row(what, mine, theirs, peer_name=peer_name, unit=unit, ratio=theirs / mine, n=n,
               rounds=rounds, at_least=at_least)


def row(
    what: str, ours: float, peer: float | None = None, *, unit: str, n: int, peer_name: str = "",
    ratio: float | None = None, rounds: int = 1, at_least: float | None = None,
    at_most: float | None = None,
) -> Row:
    """Return one row. `at_least` is a target of the ratio, `at_most` one of our own value."""
    target, met = "", None
    if at_least is not None and ratio is not None:
        target, met = f"ratio >= {at_least:g}", ratio >= at_least
    elif at_most is not None:
        target, met = f"ours <= {at_most:g}", ours <= at_most
    made = {"what": what, "ours": ours, "peer": peer, "peer_name": peer_name, "unit": unit,
            "ratio": ratio, "target": target, "met": met, "n": n, "rounds": rounds,
            "isa": _native.isa()}
    show(made)
    return made


HEADING = f"{'what':<{WIDTH}} {'ours':>9} {'peer':>9}  {'unit':<15} {'ratio':>7}  target"


def count(n: int) -> str:
    """Return 1e6 for 1_000_000, and 968 as it is."""
    short = f"{n:.0e}".replace("e+0", "e")
    return short if n >= 1000 and float(short) == n else f"{n:,}"


def number(value: float | None) -> str:
    """Return three significant digits, without an exponent; "-" for None."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def verdict(made: Row) -> str:
    """Return the target of a row, and whether it was met."""
    return f"{made['target']} {'ok' if made['met'] else 'MISSED'}" if made["target"] else ""


def title(made: Row) -> str:
    """Return what was measured, and beside what."""
    return f"{made['what']}, {made['peer_name']}" if made["peer_name"] else str(made["what"])


def show(made: Row) -> None:
    """Print a row, aligned with `HEADING`."""
    say(f"{title(made):<{WIDTH}} {number(made['ours']):>9} {number(made['peer']):>9}  "
        f"{made['unit']:<15} {number(made['ratio']):>7}  {verdict(made)}".rstrip())


@contextmanager
def using(isa: str) -> Iterator[None]:
    """Use the kernels of one instruction set, then the best again."""
    _native.use_isa(isa)
    try:
        yield
    finally:
        _native.use_isa(_native.isas()[-1])


def in_child(function: Callable[..., float], *arguments: Any) -> float:
    """Return what `function` returns in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


@contextmanager
def _without_gc() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
