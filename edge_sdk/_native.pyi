"""The C99 core, bound with nanobind."""

from collections.abc import Sequence
from typing import Annotated

import numpy
from numpy.typing import NDArray


def version() -> str:
    """Return the version that the core was compiled as."""

def isa() -> str:
    """Return the instruction set whose kernels are in use."""

def isas() -> list[str]:
    """Return the instruction sets that can be used here, slowest first."""

def use_isa(isa: str) -> None:
    """Use the kernels of `isa`; for tests and benchmarks."""

class Digest:
    """XXH64 of bytes that come in pieces."""

    def __init__(self) -> None: ...

    def add(self, bytes: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None: ...

    def value(self) -> int: ...

def write_head(kind: int, bits: int, n: int, sections: Sequence[tuple[str, int, int, int]]) -> tuple[bytes, list[int], int]: ...

LOOKUPS_MAX: int = 65536

class Llc:
    """An opened .llc file."""

    def __init__(self, bytes: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)], verify: bool = True) -> None: ...

    @property
    def kind(self) -> int: ...

    @property
    def bits(self) -> int: ...

    def __len__(self) -> int: ...

    @property
    def mhd_plan(self) -> int: ...

    @property
    def auto_lookups(self) -> int: ...

    def section(self, tag: str) -> tuple[int, int, int] | None: ...

    def get(self, word: int) -> int | None:
        """
        Return the id of the class whose code `word` is, or None: ED of one word.
        """

    def ed(self, words: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> Annotated[NDArray[numpy.int64], dict(shape=(None,))]: ...

    def mhd(self, words: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)], plan: int) -> Annotated[NDArray[numpy.int64], dict(shape=(None,))]: ...

    def mhd_margin(self, words: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None,))], Annotated[NDArray[numpy.int32], dict(shape=(None,))], Annotated[NDArray[numpy.int32], dict(shape=(None,))]]: ...

    def ord(self, scores: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], max_lookups: int, fallback: int) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None,))], Annotated[NDArray[numpy.float64], dict(shape=(None,))], Annotated[NDArray[numpy.uint32], dict(shape=(None,))], Annotated[NDArray[numpy.uint8], dict(shape=(None,))]]: ...

    def soft(self, scores: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)]) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None,))], Annotated[NDArray[numpy.float64], dict(shape=(None,))], Annotated[NDArray[numpy.uint32], dict(shape=(None,))], Annotated[NDArray[numpy.uint8], dict(shape=(None,))]]: ...

    def scan(self, queries: Annotated[NDArray[numpy.uint64], dict(shape=(None, None), order='C', device='cpu', writable=False)], k: int, begin: int, end: int) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None, None))], Annotated[NDArray[numpy.int32], dict(shape=(None, None))]]: ...

def build_exact(codes: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)], bits: int, keep_lowest: bool) -> Annotated[NDArray[numpy.uint8], dict(shape=(None,))]: ...

def build_nearest(codes: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)], bits: int) -> Annotated[NDArray[numpy.uint8], dict(shape=(None,))]: ...

def build_filter(codes: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)], bits: int) -> Annotated[NDArray[numpy.uint8], dict(shape=(None,))]: ...

def build_multi(codes: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)], bits: int) -> Annotated[NDArray[numpy.uint8], dict(shape=(None,))]: ...

VECTORS_MAX_KEEP: int = 1048576

class Vec:
    """An opened .vec file."""

    def __init__(self, bytes: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)], verify: bool = True) -> None: ...

    def __len__(self) -> int: ...

    @property
    def dim(self) -> int: ...

    @property
    def prefix_dim(self) -> int: ...

    def trained_dims(self) -> list[int]: ...

    def section(self, tag: str) -> tuple[int, int, int] | None: ...

    def search_stages(self, queries: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], stages: Sequence[tuple[int, int]]) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None, None))], Annotated[NDArray[numpy.float32], dict(shape=(None, None))]]: ...

    def scan(self, queries: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], dim: int, keep: int, exact: bool, begin: int, end: int) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None, None))], Annotated[NDArray[numpy.uint32], dict(shape=(None, None))]]: ...

    def rerank(self, queries: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], stages: Sequence[tuple[int, int]], candidates: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)]) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None, None))], Annotated[NDArray[numpy.float32], dict(shape=(None, None))]]: ...
