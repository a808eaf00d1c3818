"""Adaptive retrieval on Matryoshka embeddings: `VectorIndex`."""

from edge_sdk.vectors.index import Hits, VectorIndex
from edge_sdk.vectors.plan import Plan, cost, funnel_stages

__all__ = ["Hits", "Plan", "VectorIndex", "cost", "funnel_stages"]
