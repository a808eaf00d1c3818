"""`LogMel`: the features of a stream of samples, in the core, hop by hop."""

from __future__ import annotations

import numpy as np

from edge_sdk import _native
from edge_sdk.audio.logmel import Features, LogMelConfig, Samples, tables
from edge_sdk.errors import ShapeError


class LogMel:
    """A front end at work on one stream, in memory that does not grow.

    However the stream is cut into pieces, the frames are those of `log_mel` on the
    whole of it, bit for bit, on every processor. Not for several threads at once.
    """

    def __init__(self, config: LogMelConfig | None = None) -> None:
        """Begin a stream; without `config`, one of 8 kHz and 32 bands."""
        self.config = config or LogMelConfig()
        constants = tables(self.config)
        self._core = _native.LogMel(constants.window, constants.sine, constants.position,
                                    self.config.hop, self.config.n_bands, self.config.floor_log2)

    def push(self, samples: Samples) -> Features:
        """Take samples; return the frames that they complete.

        Args:
            samples: (n,) int16, any number of them.

        Returns:
            (n_frames, n_bands) int16, 9 bits after the point; often no frame.

        Raises:
            ShapeError: Another shape or dtype.
        """
        if not isinstance(samples, np.ndarray) or samples.dtype != np.int16 or samples.ndim != 1:
            got = f"{samples.dtype} {list(samples.shape)}" if isinstance(samples, np.ndarray) \
                else type(samples).__name__
            raise ShapeError("samples (n,), int16", got, where="`samples`",
                             hint="one channel; floats in -1..1: (x * 32767).astype(np.int16)")
        features: Features = self._core.push(np.ascontiguousarray(samples, np.int16))
        return features

    def reset(self) -> None:
        """Forget all samples: the next one begins another stream."""
        self._core.reset()

    @property
    def size(self) -> int:
        """Bytes that the core holds for the stream; its constants, shared, are not among them."""
        return self._core.size
