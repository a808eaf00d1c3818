"""Stages of a retrieval, what they cost, and how they are chosen for a recall.

Adaptive retrieval and funnels: Kusupati et al. 2022, "Matryoshka Representation
Learning", arXiv:2205.13147, section 4.3 and appendix E. Choosing a dim for each
stage apart: Rege et al. 2023, "AdANNS", arXiv:2305.19435.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import ShapeError

if TYPE_CHECKING:
    from edge_sdk.vectors.index import VectorIndex

Stages = tuple[tuple[int, int], ...]
"""(dim, how many to keep), the first over all vectors."""

LONGEST = 1 << 16
"""The longest list that calibration looks for neighbours in."""
NEVER = 1 << 40  # the rank of what a list does not hold

ROW_BYTES, COORDINATE_BYTES = 5500, 24
"""Scoring a vector takes the time in which a scan reads so many bytes: for the row, which lies
somewhere else in memory, and for each coordinate: fitted to lists of 1796 rows out of a million
on one server. They only rank plans; no answer depends on them."""


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

    The first stage reads `prefix_dim` bytes of each of `n` vectors, or scores
    all of them at another dim. Each later stage, or the only one, scores what
    was kept before.
    """
    (dim, keep), later = stages[0], stages[1:]
    if dim == prefix_dim:
        total, later = n * prefix_dim, later or stages
    else:
        total = n * (ROW_BYTES // 16 + COORDINATE_BYTES * dim)  # row by row, all of them
    for later_dim, later_keep in later:
        total += min(keep, n) * (ROW_BYTES + COORDINATE_BYTES * later_dim)
        keep = later_keep
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

    See `VectorIndex.calibrate`. A neighbour survives a list of length m if it
    ranks m-th or better in it; ranks among fewer are never worse. So from the
    ranks of all neighbours in one long list, lists that keep enough of them
    follow without searching again.
    """
    n, full, prefix = len(index), index.dims[-1], index.prefix_dim
    exact = index.flat(queries, k, own_ids=False).ids
    fallback: Stages = ((full, min(k, n)),)
    chains: list[Stages] = []
    if exact.size and prefix < full:
        ranks = _Ranks(index, queries, exact, k)
        chains = [*ranks.shortlists(recall), *ranks.funnels(recall)]
    chains = [stages for stages in chains
              if cost(stages, n, prefix) < cost(fallback, n, prefix)]
    for stages in sorted(chains, key=lambda stages: cost(stages, n, prefix)):
        found = index.search(queries, k, stages=stages, own_ids=False).ids
        measured = overlap(found, exact)
        if measured >= recall:
            return Plan(stages, measured, len(queries), k, cost(stages, n, prefix))
    return Plan(fallback, 1.0, len(queries), k, cost(fallback, n, prefix))


def overlap(found: NDArray[np.int64], exact: NDArray[np.int64]) -> float:
    """Return the mean share of each row of `exact` that is in the same row of `found`."""
    if exact.size == 0:
        return 1.0
    return float(np.mean([np.isin(best, row).mean()
                          for row, best in zip(found, exact, strict=True)]))


class _Ranks:
    """Ranks of the exact neighbours, 1 being the first, in a long list ordered by each dim."""

    def __init__(self, index: VectorIndex, queries: NDArray[np.float32],
                 exact: NDArray[np.int64], k: int) -> None:
        self.index, self.k = index, k
        self.length = min(len(index), LONGEST, max(16 * k, len(index) // 64))
        ids, distances = index.scan(queries, index.prefix_dim, self.length, False, 0, len(index))
        order = np.argsort(distances, axis=1, kind="stable")
        listed = np.ascontiguousarray(np.take_along_axis(ids, order, axis=1))
        self.of = {index.prefix_dim: _ranks(listed, exact)}
        for dim in index.dims:
            if index.prefix_dim < dim < index.dims[-1]:
                ranked = index.rerank(queries, [(dim, self.length)], listed)[0]
                self.of[dim] = _ranks(ranked, exact)

    def shortlists(self, recall: float) -> Iterator[Stages]:
        """Yield one shortlist, and two: the int8 prefix's, cut at a dim in between."""
        prefix, full = self.index.prefix_dim, self.index.dims[-1]
        single = self._least(self.of[prefix], recall)
        if single is not None:
            yield (prefix, single), (full, self.k)
        for dim in list(self.of)[1:]:
            # What the first list loses, the second can not: several ways to share it.
            for share in (0.3, 0.5, 0.7, 0.9):
                first = self._least(self.of[prefix], 1 - share * (1 - recall))
                if first is None:
                    continue
                left = np.where(self.of[prefix] <= first, self.of[dim], NEVER)
                second = self._least(left, recall)
                if second is not None:
                    yield (prefix, max(first, second)), (dim, second), (full, self.k)

    def funnels(self, recall: float) -> Iterator[Stages]:
        """Yield the funnel that halves the list while it doubles the dim."""
        prefix, dims = self.index.prefix_dim, self.index.dims
        length = np.zeros(self.of[prefix].shape, np.int64)
        stages = funnel_stages(dims, 1, start_dim=prefix, keep=1)
        for i, (dim, _) in enumerate(stages[:-1]):
            # A rank r fits ceil(length / 2^i) from a length of (r - 1) 2^i + 1 on.
            length = np.maximum(length, np.minimum((self.of[dim] - 1) * 2**i + 1, NEVER))
        needed = self._least(length, recall)
        if needed is not None and needed <= self.length:
            yield funnel_stages(dims, self.k, start_dim=prefix, keep=needed)

    def _least(self, lengths: NDArray[np.int64], recall: float) -> int | None:
        """Return the least length that is enough for a share `recall` of `lengths`."""
        ordered = np.sort(lengths, axis=None)
        enough = int(ordered[max(0, int(np.ceil(recall * ordered.size - 1e-9)) - 1)])
        return None if enough >= NEVER else max(enough, self.k)


def _ranks(listed: NDArray[np.int64], exact: NDArray[np.int64]) -> NDArray[np.int64]:
    ranks = np.full(exact.shape, NEVER, np.int64)
    for row, best, rank in zip(listed, exact, ranks, strict=True):
        order = np.argsort(row, kind="stable")
        at = np.minimum(np.searchsorted(row[order], best), row.size - 1)
        found = row[order[at]] == best
        rank[found] = order[at][found] + 1
    return ranks
