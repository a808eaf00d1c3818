"""Wav files and the microphone: the samples that were meant, or an error that says what to do."""

from __future__ import annotations

import struct
import sys
import types
import wave

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_sdk.audio import LogMel, microphone, read_wav
from edge_sdk.errors import DataError, MissingDependency, ShapeError

QUIET = settings(max_examples=200, deadline=None,
                 suppress_health_check=[HealthCheck.function_scoped_fixture])


def packed(values, width):
    """Samples in units of their own width as the bytes of a file."""
    if width == 1:
        return bytes(value + 128 for value in values)
    return b"".join(int(value).to_bytes(width, "little", signed=True) for value in values)


def write(path, values, *, width=2, rate_hz=8000, channels=1):
    """Write interleaved samples."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(packed(values, width))
    return path


def riff(*, code=1, channels=1, rate_hz=8000, bits=16, data=b"\0\0" * 9, data_size=None, more=b""):
    """A file byte by byte, for heads that no library writes."""
    width = channels * ((bits + 7) // 8)
    head = struct.pack("<HHIIHH", code, channels, rate_hz, rate_hz * width % 2**32, width,
                       bits) + more
    body = (b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data"
            + struct.pack("<I", len(data) if data_size is None else data_size) + data)
    return b"RIFF" + struct.pack("<I", len(body)) + body


# ---- what is read -------------------------------------------------------------------------


def test_16_bits_at_the_right_rate_come_as_they_are(tmp_path):
    values = np.array([0, 1, -1, 32767, -32768, 1234], np.int16)
    recording = read_wav(write(tmp_path / "a.wav", values))
    assert recording.samples.dtype == np.int16
    assert np.array_equal(recording.samples, values)
    assert recording.rate_hz == 8000
    assert recording.notice is None


@pytest.mark.parametrize(("width", "values", "expected"), [
    (1, [-128, 0, 1, 127], [-32768, 0, 256, 32512]),
    (3, [-(2**23), -129, -128, 128, 129, 256, 2**23 - 1], [-32768, -1, 0, 0, 1, 1, 32767]),
    (4, [-(2**31), 65536, 98304, -65537, 2**31 - 1], [-32768, 1, 2, -1, 32767]),
])
def test_other_widths_are_brought_to_16_bits(tmp_path, width, values, expected):
    recording = read_wav(write(tmp_path / "a.wav", values, width=width))
    assert recording.samples.tolist() == expected
    assert recording.notice is None


def test_channels_are_averaged_and_the_notice_says_so(tmp_path):
    left, right = [100, -32768, 32767, 3], [300, -32768, 32767, 4]
    interleaved = np.stack([left, right], axis=1).reshape(-1)
    recording = read_wav(write(tmp_path / "a.wav", interleaved, channels=2))
    assert recording.samples.tolist() == [200, -32768, 32767, 4]  # 3.5 to even
    assert recording.notice == "averaged 2 channels"


@pytest.mark.parametrize("rate_hz", [11025, 16000, 22050, 44100, 48000])
def test_another_rate_is_resampled_and_the_notice_says_so(tmp_path, rate_hz):
    pytest.importorskip("soxr")
    t = np.arange(rate_hz) / rate_hz
    tone = np.rint(10000 * np.sin(2 * np.pi * 440 * t))
    recording = read_wav(write(tmp_path / "a.wav", tone, rate_hz=rate_hz))
    assert recording.notice == f"resampled from {rate_hz} to 8000 Hz"
    assert recording.rate_hz == 8000
    assert abs(len(recording.samples) - 8000) <= 1
    n = np.arange(1000, 7000)  # apart from the ends
    exact = 10000 * np.sin(2 * np.pi * 440 * n / 8000)
    assert np.abs(recording.samples[n] - exact).max() < 10


def test_resampling_at_full_scale_saturates_and_does_not_wrap(tmp_path):
    pytest.importorskip("soxr")
    values = np.where(np.arange(16000) // 20 % 2, 32767, -32768)
    loud = read_wav(write(tmp_path / "a.wav", values, rate_hz=16000)).samples
    assert loud.max() == 32767  # it overshoots at the edges
    assert loud.min() == -32768
    middle = loud[500:-500].reshape(-1, 20)[:, 3:7]
    assert (np.abs(np.diff(middle.astype(int))) < 12000).all()


def test_two_channels_of_another_rate_say_both(tmp_path):
    pytest.importorskip("soxr")
    recording = read_wav(write(tmp_path / "a.wav", [5, 7] * 1600, rate_hz=16000, channels=2))
    assert recording.notice == "averaged 2 channels, resampled from 16000 to 8000 Hz"
    assert np.abs(recording.samples[100:-100] - 6).max() <= 1
    own = read_wav(tmp_path / "a.wav", rate_hz=16000)
    assert own.notice == "averaged 2 channels"
    assert len(own.samples) == 1600


def test_chunks_between_head_and_samples_are_passed_over(tmp_path):
    note = b"LIST\4\0\0\0INFO"
    plain = riff(data=b"\1\0\2\0")[8:]
    at = plain.index(b"data")
    body = plain[:at] + note + plain[at:] + note
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert read_wav(tmp_path / "a.wav").samples.tolist() == [1, 2]


@QUIET
@given(values=st.lists(st.integers(-(2**23), 2**23 - 1), min_size=1, max_size=50))
def test_24_bits_are_rounded_to_the_nearest(tmp_path, values):
    samples = read_wav(write(tmp_path / "a.wav", values, width=3)).samples
    exact = np.array(values) / 256
    assert (np.abs(samples - np.minimum(exact, 32767)) <= 0.5).all()


# ---- what is refused ----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "content", "got"), [
    ("empty", b"", "too early"),
    ("text", b"this is no sound at all, but text", "RIFF"),
    ("another_riff", b"RIFF\x04\0\0\0AVI ", "WAVE"),
    ("no_chunks", b"RIFF\x04\0\0\0WAVE", "missing"),
    ("floats", riff(code=3, bits=32, data=b"\0" * 36), "unknown format"),
    ("a_law", riff(code=6, bits=8, data=b"\0" * 36), "unknown format"),
    ("adpcm", riff(code=2, bits=4, data=b"\0" * 36), "unknown format"),
    ("no_channels", riff(channels=0), "channels"),
    ("no_width", riff(bits=0), "width"),
    ("too_wide", riff(bits=64, data=b"\0" * 64), "8 bytes"),
    ("rate_zero", riff(rate_hz=0), "0 Hz"),
    ("rate_4_billion", riff(rate_hz=2**32 - 1), "4294967295 Hz"),
    ("no_samples", riff(data=b""), "no samples"),
    ("promises_gigabytes", riff(data_size=2**32 - 2), "at most"),
    ("one_sample_short", riff(data=b"\0" * 40, data_size=42), "at most"),
])
def test_what_is_no_recording_is_refused_with_a_hint(tmp_path, name, content, got):
    path = tmp_path / f"{name}.wav"
    path.write_bytes(content)
    with pytest.raises(DataError, match=got) as raised:
        read_wav(path)
    assert raised.value.where == str(path)
    assert raised.value.hint


def test_every_truncation_of_a_file_is_refused(tmp_path):
    whole = riff(data=struct.pack("<20h", *range(20)))
    path = tmp_path / "a.wav"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError):
            read_wav(path)
    path.write_bytes(whole)
    assert read_wav(path).samples.tolist() == list(range(20))


@QUIET
@given(at=st.integers(0, 43), byte=st.integers(0, 255), tail=st.binary(max_size=60))
def test_a_damaged_head_gives_samples_or_an_error_of_ours(tmp_path, at, byte, tail):
    damaged = bytearray(riff(data=b"\1\2" * 30) + tail)
    damaged[at] = byte
    (tmp_path / "a.wav").write_bytes(damaged)
    try:
        samples = read_wav(tmp_path / "a.wav").samples
    except (DataError, MissingDependency):
        return
    assert samples.dtype == np.int16
    assert samples.ndim == 1


@QUIET
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(DataError):
        read_wav(tmp_path / "a.wav")
    (tmp_path / "a.wav").write_bytes(riff(data=b"")[:12] + content)
    with pytest.raises(DataError):
        read_wav(tmp_path / "a.wav")


def test_no_such_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_wav(tmp_path / "none.wav")
    with pytest.raises(DataError, match="directory"):
        read_wav(tmp_path)


@pytest.mark.parametrize("rate_hz", [0, -8000, 999, 10**7])
def test_a_rate_out_of_range_is_refused(tmp_path, rate_hz):
    with pytest.raises(ShapeError, match="Hz"):
        read_wav(write(tmp_path / "a.wav", [1, 2]), rate_hz=rate_hz)


def test_without_soxr_only_other_rates_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soxr", None)
    assert read_wav(write(tmp_path / "a.wav", [1, 2])).samples.tolist() == [1, 2]
    with pytest.raises(MissingDependency, match=r"edge-inference-sdk\[audio\]"):
        read_wav(write(tmp_path / "b.wav", [1, 2], rate_hz=44100))


# ---- the microphone -----------------------------------------------------------------------


class PortAudioError(Exception):
    """As sounddevice has it."""


class FakeStream:
    """Counts up, sample by sample; late from the third block on, and gone after the fourth."""

    def __init__(self, log, blocksize, samplerate, channels, dtype):
        assert (samplerate, channels, dtype) == (16000, 1, "int16")
        self.log, self.n, self.blocks = log, blocksize, 0

    def __enter__(self):
        self.log.append("open")
        return self

    def __exit__(self, *error):
        self.log.append("closed")

    def read(self, n):
        assert n == self.n
        self.blocks += 1
        if self.blocks > 4:
            raise PortAudioError("Device unavailable")
        first = (self.blocks - 1) * n
        return np.arange(first, first + n, dtype=np.int16)[:, None], self.blocks > 2


@pytest.fixture
def device(monkeypatch):
    """A sounddevice without any sound; its log says what was opened and closed."""
    fake = types.ModuleType("sounddevice")
    fake.log = []
    fake.PortAudioError = PortAudioError
    fake.check_input_settings = lambda **settings: None
    fake.InputStream = lambda **settings: FakeStream(fake.log, **settings)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


def test_the_microphone_gives_blocks_that_a_front_end_takes(device):
    blocks = microphone(16000, 10)
    assert device.log == []  # not before somebody listens
    first, second = next(blocks), next(blocks)
    assert first.dtype == np.int16
    assert first.tolist() == list(range(160))
    assert second[0] == 160
    assert LogMel().push(first).shape == (0, 32)
    blocks.close()
    assert device.log == ["open", "closed"]


def test_lost_samples_are_told_of(device):
    blocks = microphone(16000, 10)
    next(blocks), next(blocks)
    with pytest.warns(RuntimeWarning, match="lost samples"):
        next(blocks)


@pytest.mark.filterwarnings("ignore:the microphone lost")
def test_a_microphone_that_goes_away_is_an_error_of_ours_and_is_closed(device):
    with pytest.raises(DataError, match="Device unavailable"):
        list(microphone(16000, 10))
    assert device.log == ["open", "closed"]


@pytest.mark.parametrize("error", [PortAudioError("Error querying device -1"),
                                   ValueError("No input device matching")])
def test_no_microphone_is_said_at_once(device, error):
    def refuse(**settings):
        raise error

    device.check_input_settings = refuse
    with pytest.raises(DataError, match="microphone that records int16 at 8000 Hz"):
        microphone()


def test_without_sounddevice_the_hint_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingDependency, match=r"edge-inference-sdk\[audio\]"):
        microphone()


def test_without_portaudio_the_hint_names_the_library(monkeypatch, tmp_path):
    (tmp_path / "sounddevice.py").write_text('raise OSError("PortAudio library not found")\n')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(MissingDependency, match="libportaudio2"):
        microphone()


@pytest.mark.parametrize(("rate_hz", "block_ms"), [(0, 20), (8000, 0), (8000, 1001), (10**6, 20)])
def test_blocks_out_of_range_are_refused(rate_hz, block_ms):
    with pytest.raises(ShapeError, match="Hz"):
        microphone(rate_hz, block_ms)
