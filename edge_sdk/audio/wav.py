"""Wav files as int16 samples of one channel at the rate that is asked for."""

from __future__ import annotations

import os
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.audio.logmel import Samples
from edge_sdk.errors import DataError, MissingDependency, ShapeError

LEAST_HZ, MOST_HZ = 1000, 768_000
"""Rates outside are no sound: a damaged file, from which resampling would fill the memory."""

CONVERT = "convert it: ffmpeg -i FILE -c:a pcm_s16le -ac 1 OUT.wav"


@dataclass(frozen=True, eq=False)
class Recording:
    """Sound from a file.

    Attributes:
        samples: (n,) int16, one channel, n at least 1.
        rate_hz: Samples a second.
        notice: What was done to make them of the file's; None if they are the file's own.
    """

    samples: Samples
    rate_hz: int
    notice: str | None


def read_wav(path: str | os.PathLike[str], rate_hz: int = 8000) -> Recording:
    """Read a wav file: PCM of 8, 16, 24 or 32 bits, any number of channels, any rate.

    Channels are averaged, and another rate is resampled (soxr, high quality); the
    recording's `notice` then says so. Wider samples are rounded to 16 bits.

    Args:
        path: The file.
        rate_hz: The rate that the samples shall have, 1000 to 768000.

    Raises:
        DataError: No such file, not a wav, a compressed one, a truncated one, or no samples.
        MissingDependency: The file has another rate, and soxr is not installed.
        ShapeError: `rate_hz` is out of range.
    """
    if not LEAST_HZ <= rate_hz <= MOST_HZ:
        raise ShapeError(f"{LEAST_HZ} to {MOST_HZ} Hz", str(rate_hz), where="`rate_hz`",
                         hint="the front end takes 8000 or 16000")
    where = str(path)
    frames, found_hz = _read_frames(Path(path), where)
    notices = []
    mixed = frames[:, 0]
    if frames.shape[1] > 1:
        mixed = frames.mean(axis=1)
        notices.append(f"averaged {frames.shape[1]} channels")
    if found_hz != rate_hz:
        mixed = _soxr(where, found_hz, rate_hz).resample(mixed, found_hz, rate_hz)
        notices.append(f"resampled from {found_hz} to {rate_hz} Hz")
    samples = np.clip(np.rint(mixed), -32768, 32767).astype(np.int16)
    if not len(samples):
        raise _no_samples(where)
    return Recording(samples, rate_hz, ", ".join(notices) or None)


def _read_frames(path: Path, where: str) -> tuple[NDArray[np.float64], int]:
    """Return the file's samples in units of int16, (n, n_channels), and its rate."""
    try:
        with path.open("rb") as file, wave.open(file) as wav:
            n, width, channels = wav.getnframes(), wav.getsampwidth(), wav.getnchannels()
            size = n * width * channels
            if n == 0:
                raise _no_samples(where)
            if not 1 <= width <= 4 or not LEAST_HZ <= wav.getframerate() <= MOST_HZ:
                raise DataError(f"1 to 4 bytes a sample, {LEAST_HZ} to {MOST_HZ} Hz",
                                f"{width} bytes, {wav.getframerate()} Hz", where=where,
                                hint=CONVERT)
            # Before memory is asked for: a damaged head may promise gigabytes.
            raw = wav.readframes(n) if size <= path.stat().st_size else b""
            if len(raw) < size:
                raise DataError(f"{size} bytes of samples, as its head says",
                                f"at most {len(raw) or path.stat().st_size}", where=where,
                                hint="the file is truncated: copy or record it again")
            return _as_int16_units(raw, width).reshape(n, channels), wav.getframerate()
    except OSError as error:
        raise DataError("a wav file that can be read", error.strerror or str(error), where=where,
                        hint="check the path") from error
    except (wave.Error, EOFError, RuntimeError) as error:  # the last, of chunks beyond the end
        raise DataError("a wav file of plain PCM", str(error) or "a file that ends too early",
                        where=where, hint=CONVERT) from error


def _no_samples(where: str) -> DataError:
    return DataError("sound", "no samples", where=where, hint="record it again")


def _as_int16_units(raw: bytes, width: int) -> NDArray[np.float64]:
    if width == 1:  # alone without a sign
        return (np.frombuffer(raw, np.uint8).astype(np.float64) - 128.0) * 256.0
    if width == 3:
        filled = np.zeros((len(raw) // 3, 4), np.uint8)
        filled[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        return filled.view("<i4")[:, 0] / 65536.0
    whole = np.frombuffer(raw, "<i2" if width == 2 else "<i4").astype(np.float64)
    return whole if width == 2 else whole / 65536.0


def _soxr(where: str, found_hz: int, rate_hz: int) -> Any:
    try:
        import soxr
    except ImportError as error:
        raise MissingDependency(
            f"sound of {rate_hz} Hz, or soxr to resample it", f"{found_hz} Hz and no soxr",
            where=where, hint="pip install 'edge-inference-sdk[audio]'") from error
    return soxr
