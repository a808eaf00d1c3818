"""Made-up sounds for tests: a tone for a word, and what lies between."""

from __future__ import annotations

import wave

import numpy as np

RATE = 8000


def tone(hz: float, seconds: float, loudness: float = 6000.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    shape = np.minimum(1, 40 * np.minimum(t, t[::-1]))
    # A vibrato over many bands, as a voice has.
    wave_ = np.sin(2 * np.pi * hz * t + 8 * np.sin(2 * np.pi * 90 * t)) * shape * loudness
    return wave_.astype(np.int16)


def silence(seconds: float, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.rint(rng.normal(0, noise or 1e-9, round(seconds * RATE))).astype(np.int16)


def write_wav(path, samples, rate=RATE, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(samples, channels).astype("<i2").tobytes())
    return path
