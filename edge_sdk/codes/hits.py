"""What a search answers, for classes and instances alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Hits:
    """What a search found, nearest first.

    Attributes:
        ids: (n_queries, k) int64 item numbers, or uint64 own ids if the index has them.
        distances: (n_queries, k) int32 differing bits.
        scores: (n_queries, k) float32 inner products if hits were re-ranked, else None.
    """

    ids: NDArray[Any]
    distances: NDArray[np.int32]
    scores: NDArray[np.float32] | None = None
