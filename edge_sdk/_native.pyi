# ruff: noqa
# Written by: python -m nanobind.stubgen -m edge_sdk._native -o edge_sdk/_native.pyi
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

NONE: int = 4294967295

MRL_PANEL: int = 64

MRL_NEVER: float = 3.0000000054977558e+38

class Mrl:
    """An opened .mrl file."""

    def __init__(self, bytes: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)], verify: bool = True) -> None: ...

    @property
    def n_classes(self) -> int: ...

    @property
    def dim(self) -> int: ...

    @property
    def dims(self) -> list[int]: ...

    @property
    def tied(self) -> bool: ...

    @property
    def normalized(self) -> bool: ...

    @property
    def scale(self) -> float: ...

    def logits(self, x: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], dim: int, interpolate: bool = False) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None))]: ...

class Steps:
    """The steps of a cascade on one head."""

    def __init__(self, head: Mrl, dims: Sequence[int], thresholds: Sequence[float], signal: int, agree: bool = False, interpolate: bool = False) -> None: ...

    def one(self, x: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], previous: int = 4294967295) -> tuple[int, int, float, bool]: ...

    def many(self, x: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], previous: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None = None) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None,))], Annotated[NDArray[numpy.int32], dict(shape=(None,))], Annotated[NDArray[numpy.float32], dict(shape=(None,))], Annotated[NDArray[numpy.bool_], dict(shape=(None,))]]: ...

    def every(self, x: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], previous: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None = None) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None, None))], Annotated[NDArray[numpy.float32], dict(shape=(None, None))]]: ...

MAX_CHOICES: int = 32

NO_CHOICE: int = 4294967295

class Decision:
    """What edge_governor_decide answers."""

    @property
    def choice(self) -> int: ...

    @property
    def met(self) -> bool: ...

    @property
    def missed(self) -> int: ...

    @property
    def why(self) -> int: ...

    @property
    def better(self) -> int: ...

    @property
    def better_missed(self) -> int: ...

    @property
    def unpaced(self) -> bool: ...

    @property
    def switched(self) -> bool: ...

    @property
    def predicted_p95_ms(self) -> float: ...

    @property
    def better_p95_ms(self) -> float: ...

    @property
    def wait_s(self) -> float: ...

    @property
    def slowdown(self) -> float: ...

    @property
    def allowed_mj(self) -> float: ...

    @property
    def rate_hz(self) -> float: ...

class Governor:
    """The state of a governor, and the budget it keeps."""

    def __init__(self, choices: Sequence[Sequence[float]]) -> None: ...

    def allow(self, latency_ms: float, energy_mj: float, memory_mb: float, risk: float, min_accuracy: float, battery_floor_pct: float, last_until_s: float) -> None: ...

    def decide(self, state: object | None, now_s: object | None, rate_hz: object | None) -> Decision: ...

    def observe(self, choice: int, latency_ms: float, energy_mj: object | None, now_s: object | None) -> None: ...

    def state(self) -> bytes:
        """Return the state's bytes; equal ones decide alike."""

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

class LogMel:
    """A front end at work on a stream."""

    def __init__(self, weights: Annotated[NDArray[numpy.int16], dict(shape=(None,), order='C', device='cpu', writable=False)], sine: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], position: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], hop: int, n_bands: int, floor_log2: int) -> None: ...

    def push(self, samples: Annotated[NDArray[numpy.int16], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> Annotated[NDArray[numpy.int16], dict(shape=(None, None))]: ...

    def reset(self) -> None: ...

    @property
    def size(self) -> int:
        """Bytes of state and workspace."""

class FastGRNNCell:
    """An opened .grnn file."""

    def __init__(self, bytes: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)], verify: bool = True) -> None: ...

    @property
    def n_inputs(self) -> int: ...

    @property
    def n_hidden(self) -> int: ...

    @property
    def n_classes(self) -> int: ...

    @property
    def is_integer(self) -> bool: ...

    @property
    def rank_w(self) -> int: ...

    @property
    def rank_u(self) -> int: ...

    def run(self, x: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
        """
        Return the logits (C,) after the last frame of x (T, D), all float32.

        Raises:
            ShapeError: Another shape or dtype, or T is 0.
            CodeError: NaN or infinity in x, a sum beyond float32, or no head.
        """

    def states(self, x: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
        """
        Return the state after each frame of x (T, D), shape (T, H) float32; as `run`.
        """

    def integers(self, x: NDArray[numpy.int16]) -> tuple[NDArray[numpy.int16], NDArray[numpy.int32]]:
        """
        Return (states (T, H) int16, logits (C,) int32) of a model in integers.
        """

    def step(self, x: NDArray[numpy.float32], h: NDArray[numpy.float32] | None = None, out: tuple[NDArray[numpy.float32], NDArray[numpy.float32]] | None = None) -> tuple[NDArray[numpy.float32], NDArray[numpy.float32]]:
        """
        Return (h' (H,), logits (C,)) of one frame x (D,) and a state h (H,), all float32.

        Args:
            x: Features, before normalization.
            h: The state before it; None: zeros.
            out: Arrays for h' and logits, which are then returned; h' may be h.

        Raises:
            ShapeError: Another shape or dtype.
            CodeError: NaN or infinity in x or h, or a sum beyond float32.
        """

class FastGRNNStream:
    """A state, and what has been heard so far."""

    def __init__(self, cell: FastGRNNCell) -> None: ...

    def push(self, x: NDArray[numpy.float32], out: NDArray[numpy.float32] | None = None) -> NDArray[numpy.float32]:
        """
        Take a frame (D,) or frames (T, D) float32; return the logits (C,) after them.

        Args:
            x: Features, before normalization.
            out: An array for the logits, which is then returned.

        Raises:
            ShapeError: Another shape or dtype.
            CodeError: NaN or infinity; the state is then as it was.
        """

    def reset(self) -> None:
        """Start again with a state of zeros."""

    @property
    def h(self) -> NDArray[numpy.float32]:
        """The state (H,) float32: a copy of it, and to be set."""

    @h.setter
    def h(self, value: NDArray[numpy.float32], /) -> None: ...

SPARSE_MAX: int = 2147483647

def sparse_pack_size(w: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], values: int, delta_bits: int) -> int:
    """Return the bytes that a matrix packs into."""

def sparse_pack(w: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], values: int, delta_bits: int) -> Annotated[NDArray[numpy.uint8], dict(shape=(None,))]:
    """Return a matrix packed; values: 0 float32, 1 int8."""

class Sparse:
    """An opened weight; its bytes are a copy."""

    def __init__(self, bytes: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None: ...

    @property
    def info(self) -> tuple[int, int, int, int, int, int]:
        """(rows, cols, n_kept, n_stored, values, delta_bits)."""

    @property
    def size(self) -> int:
        """Bytes packed into."""

    def bytes(self) -> bytes:
        """Return the packed bytes."""

    def unpack(self) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None))]:
        """Return the matrix with its zeros."""

    def linear(self, x: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None = None, low: float = float('-inf'), high: float = float('inf'), isa: str | None = None) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None))]:
        """
        Return clamp(x W^T + bias), (n, rows); with `isa`, by its kernels and holding the GIL.
        """

    def conv2d(self, x: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None = None, low: float = float('-inf'), high: float = float('inf'), isa: str | None = None) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None))]:
        """
        Return clamp(conv2d(x, W) + bias), (b, rows, out_height, out_width); `isa` as above.
        """
