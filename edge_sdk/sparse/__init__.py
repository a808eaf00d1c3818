"""Sparse weights on the device: packed, and multiplied by the core's kernels. No torch."""

from edge_sdk.sparse.matrix import SparseMatrix as SparseMatrix
