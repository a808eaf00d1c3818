"""Log-mel features in integer arithmetic: the definition, its tables, and a whole-signal version.

The C core computes the same integers one hop at a time, so a model sees on a
microcontroller without a float unit what it was trained on, bit for bit. The
float64 oracle is `edge_sdk.reference.log_mel`.

A frame of int16 samples is weighted by a Hann window and transformed by a
radix-2 FFT in 32-bit words; powers are summed into triangles that are linear
on the mel scale, mel(f) = 2595 log10(1 + f / 700) (O'Shaughnessy 1987, as in
HTK); a feature is log2(energy + floor) with 9 bits after the point. Nothing
can overflow: a full-scale frame of 16 kHz reaches 2**30.7 in the transform.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import ShapeError

FEATURE_BITS = 9
"""Bits after the point of a feature: one unit is 2**-9 octaves of energy."""

SINE_BITS, WINDOW_BITS, SAMPLE_BITS, POSITION_BITS = 30, 15, 7, 10
"""Bits after the point of sines, window, windowed samples, and positions on the mel scale."""

Samples = NDArray[np.int16]
Features = NDArray[np.int16]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class LogMelConfig:
    """A front end: 25 ms windows every 10 ms.

    Attributes:
        rate_hz: 8000 or 16000.
        n_bands: Triangles, 1 to 62.
        low_hz: Lower foot of the first triangle; the upper foot of the last is rate / 2.
        floor_log2: log2 of the energy added to each band: what counts as silence. White
            noise of one unit of int16 has about 2**7.
    """

    rate_hz: int = 8000
    n_bands: int = 32
    low_hz: float = 60.0
    floor_log2: int = 12

    def __post_init__(self) -> None:
        if self.rate_hz not in (8000, 16000):
            raise ShapeError("8000 or 16000 Hz", str(self.rate_hz), where="`rate_hz`",
                             hint="resample the audio: edge_sdk.audio.read_wav does")
        if not 1 <= self.n_bands <= 62 or not 0 <= self.floor_log2 <= 40:
            raise ShapeError("1 to 62 bands and a floor of 2**0 to 2**40",
                             f"{self.n_bands} and 2**{self.floor_log2}", where="`n_bands`",
                             hint="32 bands are usual")
        if not 0 <= self.low_hz < self.rate_hz / 2 or _has_empty_bands(self):
            raise ShapeError("a point of the spectrum in each band",
                             f"{self.n_bands} bands from {self.low_hz} Hz", where="`n_bands`",
                             hint="take fewer bands, or begin them higher")

    @property
    def window(self) -> int:
        """Samples in a frame."""
        return self.rate_hz // 40

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return self.rate_hz // 100

    @property
    def n_fft(self) -> int:
        """Points of the transform."""
        return 256 if self.rate_hz == 8000 else 512

    def n_frames(self, n_samples: int) -> int:
        """Return how many whole frames are in so many samples."""
        return max(0, 1 + (n_samples - self.window) // self.hop)


@dataclass(frozen=True)
class Tables:
    """The constants of a front end, as the core reads them.

    Attributes:
        window: (window,) int16, Hann, periodic, 15 bits after the point.
        sine: (n_fft / 4 + 1,) int32, sin(2 pi i / n_fft), 30 bits after the point.
        position: (n_fft / 2 + 1,) uint16: where a point of the spectrum lies among the
            triangles, 10 bits after the point. Position b + t gives 1 - t of its power
            to triangle b - 1 and t to triangle b; positions 0 and n_bands + 1 are feet.
    """

    window: NDArray[np.int16]
    sine: NDArray[np.int32]
    position: NDArray[np.uint16]


def mel(hz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return 2595 log10(1 + f / 700)."""
    found: NDArray[np.float64] = 2595.0 * np.log10(1.0 + np.asarray(hz, np.float64) / 700.0)
    return found


@lru_cache(maxsize=8)
def tables(config: LogMelConfig) -> Tables:
    """Return the constants of a front end."""
    n = config.window
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n) / n)
    sine = np.sin(2.0 * np.pi * np.arange(config.n_fft // 4 + 1) / config.n_fft)
    return Tables(
        window=np.minimum(np.rint(hann * 2**WINDOW_BITS), 2**WINDOW_BITS - 1).astype(np.int16),
        sine=np.rint(sine * 2**SINE_BITS).astype(np.int32),
        position=_positions(config).astype(np.uint16),
    )


def _positions(config: LogMelConfig) -> Integers:
    hz = np.arange(config.n_fft // 2 + 1, dtype=np.float64) * (config.rate_hz / config.n_fft)
    low, high = mel(config.low_hz), mel(config.rate_hz / 2)
    exact = (mel(hz) - low) / (high - low) * (config.n_bands + 1)
    rounded = np.rint(np.clip(exact, 0.0, None) * 2**POSITION_BITS)
    # The last point is the last triangle's foot.
    found: Integers = np.minimum(rounded, (config.n_bands + 1) << POSITION_BITS).astype(np.int64)
    return found


def _has_empty_bands(config: LogMelConfig) -> bool:
    matrix = triangles(_positions(config), config.n_bands)
    return bool((matrix.sum(axis=0) == 0).any())


def triangles(position: NDArray[np.integer], n_bands: int) -> Integers:
    """Return what each point of the spectrum gives each band, 10 bits after the point.

    Shape (n_fft / 2 + 1, n_bands).
    """
    one = 1 << POSITION_BITS
    band, part = position.astype(np.int64) >> POSITION_BITS, position.astype(np.int64) % one
    matrix = np.zeros((len(position), n_bands + 3), np.int64)
    points = np.arange(len(position))
    # A point below the first foot has position 0: it counts nowhere.
    matrix[points, band] += np.where(position > 0, one - part, 0)
    matrix[points, band + 1] += part
    return matrix[:, 1 : n_bands + 1]


def log_mel(samples: Samples, config: LogMelConfig) -> Features:
    """Return the features of a whole signal, (n_frames, n_bands) int16, 9 bits after the point.

    Args:
        samples: (n,) int16; fewer than a window give no frame.
        config: The front end.

    Raises:
        ShapeError: Another shape or dtype.
    """
    if not isinstance(samples, np.ndarray) or samples.dtype != np.int16 or samples.ndim != 1:
        got = f"{samples.dtype} {list(samples.shape)}" if isinstance(samples, np.ndarray) else \
            type(samples).__name__
        raise ShapeError("samples (n,), int16", got, where="`samples`",
                         hint="one channel; floats in -1..1: (x * 32767).astype(np.int16)")
    count = config.n_frames(len(samples))
    if count == 0:
        return np.empty((0, config.n_bands), np.int16)
    constants = tables(config)
    starts = np.arange(count)[:, None] * config.hop
    frames = samples[starts + np.arange(config.window)].astype(np.int64)
    shift = WINDOW_BITS - SAMPLE_BITS
    windowed = (frames * constants.window + (1 << (shift - 1))) >> shift
    padded = np.zeros((count, config.n_fft), np.int64)
    padded[:, : config.window] = windowed
    power = _power(padded, constants.sine.astype(np.int64))
    energy = power @ triangles(constants.position, config.n_bands)
    return _log2(energy + (1 << (config.floor_log2 + POSITION_BITS)))


def _power(frames: Integers, sine: Integers) -> Integers:
    """Return |X|**2 of real frames (n, n_fft): (n, n_fft / 2 + 1), in squared units of int16."""
    n = frames.shape[1]
    re, im = _fft(frames[:, 0::2], frames[:, 1::2], n, sine)
    half = n // 2
    k = np.arange(half + 1)
    # Twice the transforms of the even and the odd samples.
    mirrored = (half - k) % half
    a_re, a_im = re[:, k % half] + re[:, mirrored], im[:, k % half] - im[:, mirrored]
    b_re, b_im = im[:, k % half] + im[:, mirrored], re[:, mirrored] - re[:, k % half]
    t_re, t_im = _times(b_re, b_im, k, n, sine)
    x_re, x_im = a_re + t_re, a_im + t_im
    found: Integers = (x_re * x_re + x_im * x_im) >> (2 * SAMPLE_BITS + 2)
    return found


def _fft(re: Integers, im: Integers, n: int, sine: Integers) -> tuple[Integers, Integers]:
    """Return the transform of n / 2 complex points, decimation in time, without scaling."""
    half = n // 2
    bits = half.bit_length() - 1
    order = np.array([int(f"{i:0{bits}b}"[::-1], 2) for i in range(half)])
    re, im = re[:, order].copy(), im[:, order].copy()
    length = 2
    while length <= half:
        j = np.arange(length // 2)
        low = (np.arange(0, half, length)[:, None] + j).ravel()
        high = low + length // 2
        turns = np.tile(j * (n // length), half // length)
        t_re, t_im = _times(re[:, high], im[:, high], turns, n, sine)
        re[:, high], im[:, high] = re[:, low] - t_re, im[:, low] - t_im
        re[:, low], im[:, low] = re[:, low] + t_re, im[:, low] + t_im
        length *= 2
    return re, im


def _times(re: Integers, im: Integers, turn: Integers, n: int,
           sine: Integers) -> tuple[Integers, Integers]:
    """Return (re, im) times exp(-2 pi i turn / n) for turns up to n / 2, rounded half up."""
    quarter = n // 4
    s = sine[np.where(turn <= quarter, turn, 2 * quarter - turn)]
    c = np.where(turn <= quarter, 1, -1) * sine[np.abs(quarter - turn)]
    half = 1 << (SINE_BITS - 1)
    return (re * c + im * s + half) >> SINE_BITS, (im * c - re * s + half) >> SINE_BITS


LOG2_STEPS = 32
LOG2 = np.rint(np.log2(1.0 + np.arange(LOG2_STEPS + 1) / LOG2_STEPS) * 2**15).astype(np.int64)
"""log2(1 + i / 32), 15 bits after the point; between two, a straight line."""


def _log2(energy: Integers) -> Features:
    """Return log2(energy / 2**10), 9 bits after the point; energy at least 1, below 2**62."""
    high = np.zeros_like(energy)
    for bit in (32, 16, 8, 4, 2, 1):
        more = (energy >> (high + bit)) > 0
        high = np.where(more, high + bit, high)
    # The mantissa, 15 bits after the point, without its leading one.
    mantissa = np.where(high >= 15, energy >> np.maximum(high - 15, 0),
                        energy << np.maximum(15 - high, 0)) - (1 << 15)
    step, rest = mantissa >> 10, mantissa & 1023
    fraction = LOG2[step] + (((LOG2[step + 1] - LOG2[step]) * rest + 512) >> 10)
    shift = 15 - FEATURE_BITS
    value = ((high - POSITION_BITS) << FEATURE_BITS) + ((fraction + (1 << (shift - 1))) >> shift)
    features: Features = value.astype(np.int16)
    return features
