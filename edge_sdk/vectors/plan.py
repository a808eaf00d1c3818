"""Stages of a retrieval, what they cost, and how they are chosen for a recall.

Adaptive retrieval and funnels: Kusupati et al. 2022, "Matryoshka Representation
Learning", arXiv:2205.13147, section 4.3 and appendix E. Choosing a dim for each
stage apart: Rege et al. 2023, "AdANNS", arXiv:2305.19435.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import ShapeError

if TYPE_CHECKING:
    from edge_sdk.vectors.index import VectorIndex

Stages = tuple[tuple[int, int], ...]
"""(dim, how many to keep), the first over all vectors."""

ROW_BYTES = 1024
"""What fetching one scattered row costs beside its bytes, as bytes of a scan."""


@dataclass(frozen=True)
class Plan:
    """Stages that met a recall on calibration queries at the least cost.

    Attributes:
        stages: (dim, keep) of each stage, for `VectorIndex.search`.
        recall: Mean share of the exact nearest `k` that these stages found.
        n_queries: Queries it was measured on; those of another set may fare otherwise.
        k: As asked for.
        cost: Bytes a query, as `cost` counts them.
    """

    stages: Stages
    recall: float
    n_queries: int
    k: int
    cost: int


def cost(stages: Sequence[tuple[int, int]], n: int, prefix_dim: int) -> int:
    """Return what a query costs, in bytes that a scan reads in the same time.

    The first stage reads `prefix_dim` bytes of each of `n` vectors, or 4 a
    coordinate at another dim. Each later stage reads 4 bytes a coordinate of
    what the one before kept, and `ROW_BYTES` more for each row, which lies
    somewhere else.
    """
    dim, keep = stages[0]
    total = n * (dim if dim == prefix_dim else 4 * dim)
    last_dim, later = dim, stages[1:] if len(stages) > 1 else stages[:1]
    for dim, next_keep in later:
        total += min(keep, n) * (4 * (dim - last_dim if last_dim != prefix_dim else dim)
                                 + ROW_BYTES)
        keep, last_dim = next_keep, dim
    return total


def funnel_stages(dims: Sequence[int], k: int, *, start_dim: int, keep: int) -> Stages:
    """Return the stages of a funnel: halve the list, double the dim, down to `k` at the full dim.

    Where twice a dim is not trained, the next larger one takes its place. Ends
    at the full dim, with `k`, however short the list is by then.

    Args:
        dims: Trained dims, ascending; the last is the full one.
        k: Hits wanted.
        start_dim: Dim of the first list.
        keep: Length of the first list.

    Raises:
        ShapeError: `start_dim` is not trained, or `keep` is below `k`.
    """
    if start_dim not in dims:
        raise ShapeError(f"a trained dim, one of {list(dims)}", str(start_dim),
                         where="`start_dim`", hint="an untrained prefix means nothing")
    if keep < k:
        raise ShapeError(f"a list of at least k = {k}", str(keep), where="`keep`",
                         hint="a funnel only gets narrower")
    stages, dim = [(start_dim, keep)], start_dim
    while dim < dims[-1]:
        dim = next((d for d in dims if d >= 2 * dim), dims[-1])
        keep = max(k, (keep + 1) // 2)
        stages.append((dim, k if dim == dims[-1] else keep))
    return tuple(stages)


def calibrate(index: VectorIndex, queries: NDArray[np.float32], k: int, recall: float) -> Plan:
    """Return the cheapest plan whose recall on `queries` is at least `recall`.

    Tried are one shortlist of any length, funnels from the prefix on, and the
    exact scan, which always meets it. See `VectorIndex.calibrate`.
    """
    n, full = len(index), index.dims[-1]
    exact = index.flat(queries, k, own_ids=False).ids
    n_found = exact.shape[1]

    def measured(stages: Stages) -> Plan:
        found = index.search(queries, k, stages=stages, own_ids=False).ids
        return Plan(stages, overlap(found, exact), len(queries), k,
                    cost(stages, n, index.prefix_dim))

    plans = [Plan(((full, k),), 1.0, len(queries), k, cost(((full, k),), n, index.prefix_dim))]
    if n_found and index.prefix_dim < full:
        lengths = [length for length in _lengths(k) if length < n] + [min(n, _most())]
        for kind in ("shortlist", "funnel"):
            bounds: tuple[int, Plan] | None = None
            before = k - 1
            for length in lengths:
                plan = measured(_stages(kind, index, k, length))
                if plan.cost >= plans[0].cost:
                    break
                if plan.recall >= recall:
                    bounds = before, plan
                    break
                before = length
            if bounds is not None:
                plans.append(_shortest(kind, index, k, recall, *bounds, measured))
    return min(plans, key=lambda plan: (plan.cost, len(plan.stages)))


def overlap(found: NDArray[np.int64], exact: NDArray[np.int64]) -> float:
    """Return the mean share of each row of `exact` that is in the same row of `found`."""
    if exact.size == 0:
        return 1.0
    return float(np.mean([np.isin(best, row).mean()
                          for row, best in zip(found, exact, strict=True)]))


def _most() -> int:
    from edge_sdk import _native

    return int(_native.VECTORS_MAX_KEEP)


def _lengths(k: int) -> list[int]:
    """Return k, 2 k, 4 k, ... up to the longest list there is."""
    lengths = [max(1, k)]
    while lengths[-1] * 2 <= _most():
        lengths.append(lengths[-1] * 2)
    return lengths


def _stages(kind: str, index: VectorIndex, k: int, length: int) -> Stages:
    if kind == "shortlist":
        return (index.prefix_dim, length), (index.dims[-1], k)
    return funnel_stages(index.dims, k, start_dim=index.prefix_dim, keep=length)


def _shortest(kind: str, index: VectorIndex, k: int, recall: float, below: int, plan: Plan,
              measured: Measured) -> Plan:
    """Return the plan of the shortest list above `below` that meets `recall`, to some 3 %."""
    low, high = below, plan.stages[0][1]
    while high - low > max(1, high // 32):
        middle = (low + high) // 2
        tried = measured(_stages(kind, index, k, middle))
        if tried.recall >= recall:
            high, plan = middle, tried
        else:
            low = middle
    return plan
