"""The microphone as blocks of int16 samples."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from edge_sdk.audio.logmel import Samples
from edge_sdk.errors import DataError, MissingDependency, ShapeError


def microphone(rate_hz: int = 8000, block_ms: int = 20) -> Iterator[Samples]:
    """Return an endless iterator of blocks from the default microphone, one channel.

    Recording begins with the first block and ends when the iterator is closed. Blocks
    that nobody fetched in time are lost; a RuntimeWarning then says so.

    Args:
        rate_hz: Samples a second, 1000 to 768000.
        block_ms: Length of a block, 1 to 1000.

    Yields:
        (rate_hz * block_ms // 1000,) int16.

    Raises:
        MissingDependency: sounddevice, or PortAudio that it needs, is not installed.
        DataError: No microphone, or none that records so.
        ShapeError: `rate_hz` or `block_ms` is out of range.
    """
    if not 1000 <= rate_hz <= 768_000 or not 1 <= block_ms <= 1000:
        raise ShapeError("1000 to 768000 Hz and 1 to 1000 ms", f"{rate_hz} Hz, {block_ms} ms",
                         where="`rate_hz`, `block_ms`", hint="8000 Hz and 20 ms are usual")
    device = _sounddevice()
    settings = {"samplerate": rate_hz, "channels": 1, "dtype": "int16"}
    try:
        device.check_input_settings(**settings)
    except (device.PortAudioError, ValueError) as error:
        raise _no_microphone(rate_hz, error) from error
    return _blocks(device, settings, rate_hz * block_ms // 1000)


def _blocks(device: Any, settings: dict[str, Any], n: int) -> Iterator[Samples]:
    try:
        with device.InputStream(blocksize=n, **settings) as stream:
            while True:
                block, is_late = stream.read(n)
                if is_late:
                    warnings.warn("the microphone lost samples: they were fetched too late",
                                  RuntimeWarning, stacklevel=2)
                yield np.ascontiguousarray(block[:, 0], np.int16)
    except device.PortAudioError as error:
        raise _no_microphone(settings["samplerate"], error) from error


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise MissingDependency("sounddevice, which reads the microphone",
                                "no module named sounddevice", where="microphone()",
                                hint="pip install 'edge-inference-sdk[audio]'") from error
    except OSError as error:  # it found no shared library
        raise MissingDependency("PortAudio, which sounddevice calls", str(error),
                                where="microphone()",
                                hint="apt install libportaudio2, or read a file") from error
    return sounddevice


def _no_microphone(rate_hz: int, error: Exception) -> DataError:
    return DataError(f"a microphone that records int16 at {rate_hz} Hz", str(error),
                     where="microphone()",
                     hint="connect one and let this program use it, or read a file")
