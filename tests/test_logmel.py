"""The log-mel front end: the integers against float64, and the core against the integers."""

from __future__ import annotations

import importlib.util
import io
import tarfile
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_sdk import _native, reference
from edge_sdk.audio import LogMel, LogMelConfig, log_mel
from edge_sdk.audio.logmel import LOG2, mel, tables, triangles
from edge_sdk.errors import ShapeError

FOLDER = Path(__file__).resolve().parent / "vectors"
UNIT = 512
"""Units of a feature in an octave."""

CONFIGS = [
    LogMelConfig(), LogMelConfig(16000), LogMelConfig(n_bands=1), LogMelConfig(n_bands=62),
    LogMelConfig(16000, n_bands=62), LogMelConfig(n_bands=13, low_hz=0.0, floor_log2=0),
    LogMelConfig(16000, n_bands=20, low_hz=300.0, floor_log2=24),
]


def signals(rate_hz):
    """Half a second of each: silence, noise of every loudness, and the worst at full scale."""
    n = rate_hz // 2
    t = np.arange(n)
    rng = np.random.default_rng(rate_hz)
    yield "silence", np.zeros(n)
    for bits in range(16):
        yield f"noise_{bits}", rng.integers(-(2**bits), 2**bits, n)
    for period in (2, 3, 7, 40, 101):
        yield f"square_{period}", np.where(t % period < period / 2, 32767, -32768)
    for level in (-32768, -1, 100, 32767):
        yield f"constant_{level}", np.full(n, level)
    for hz in (1, 60, 333.3, 1000, 2500, rate_hz / 2 - 1):
        yield f"sine_{hz}", np.rint(32767 * np.sin(2 * np.pi * hz * t / rate_hz + 0.3))
    for height in (1, 100, 32767):
        yield f"clicks_{height}", np.where(t % 1000 == 500, height, 0)


def oracle(samples, config, window, matrix):
    """Features in float64, in units."""
    return UNIT * reference.log_mel(samples, window, matrix, hop=config.hop, n_fft=config.n_fft,
                                    floor=2.0**config.floor_log2)


def cut(matrix, features):
    """What cutting each point's power to an integer may take from a feature, in units."""
    with np.errstate(divide="ignore"):
        return -UNIT * np.log2(np.maximum(1 - matrix.sum(axis=0) / 2 ** (features / UNIT), 0))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_integers_are_those_of_float64_with_the_same_tables(config):
    constants = tables(config)
    window, matrix = constants.window / 2**15, triangles(constants.position, config.n_bands) / 2**10
    for name, signal in signals(config.rate_hz):
        samples = signal.astype(np.int16)
        exact = oracle(samples, config, window, matrix)
        above = log_mel(samples, config) - exact
        assert above.max() < 2 + 0.01 * cut(matrix, exact).max(), name
        assert (above > -2 - 1.1 * cut(matrix, exact)).all(), name


@pytest.mark.parametrize("config", CONFIGS[:2], ids=str)
def test_at_the_usual_floor_they_differ_by_less_than_an_eightieth_of_an_octave(config):
    constants = tables(config)
    window, matrix = constants.window / 2**15, triangles(constants.position, config.n_bands) / 2**10
    for name, signal in signals(config.rate_hz):
        samples = signal.astype(np.int16)
        error = log_mel(samples, config) - oracle(samples, config, window, matrix)
        assert np.abs(error).max() < UNIT / 80, name


def exact_tables(config):
    """Window and triangles in float64, from their definitions."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.window) / config.window)
    hz = np.arange(config.n_fft // 2 + 1) * config.rate_hz / config.n_fft
    low, high = mel(config.low_hz), mel(config.rate_hz / 2)
    feet = np.linspace(low, high, config.n_bands + 2)
    rising = (mel(hz)[:, None] - feet[:-2]) / np.diff(feet)[:-1]
    falling = (feet[2:] - mel(hz)[:, None]) / np.diff(feet)[1:]
    return window, np.clip(np.minimum(rising, falling), 0, None)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_rounding_the_tables_hardly_changes_noise(config):
    window, matrix = exact_tables(config)
    constants = tables(config)
    assert np.abs(constants.window / 2**15 - window).max() <= 2.0**-15
    assert np.abs(triangles(constants.position, config.n_bands) / 2**10 - matrix).max() < 2e-3
    noise = np.random.default_rng(1).integers(-3000, 3000, config.rate_hz).astype(np.int16)
    assert np.abs(log_mel(noise, config) - oracle(noise, config, window, matrix)).max() < 12


def recordings(data_root, speaker):
    """A few recordings of a speaker of the Free Spoken Digit Dataset."""
    path = data_root / "fsdd" / "fsdd-recordings.tar"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with tarfile.open(path) as tar:
        for member in tar:
            if member.name.endswith(f"_{speaker}_0.wav"):
                with wave.open(io.BytesIO(tar.extractfile(member).read())) as file:
                    yield np.frombuffer(file.readframes(file.getnframes()), "<i2")


def test_speech_comes_out_as_exact_arithmetic_has_it_and_alike_from_core_and_numpy(data_root):
    config, n = LogMelConfig(), 0
    window, matrix = exact_tables(config)
    for samples in recordings(data_root, "theo"):
        features = log_mel(samples, config)
        assert np.abs(features - oracle(samples, config, window, matrix)).max() < UNIT / 40
        assert np.array_equal(LogMel(config).push(samples), features)
        n += 1
    assert n == 10


# ---- the core -----------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [8000, 16000])
@pytest.mark.parametrize("n_bands", range(1, 63))
def test_the_core_computes_the_same_integers(rate_hz, n_bands):
    config = LogMelConfig(rate_hz, n_bands, low_hz=20.0 * (n_bands % 5),
                          floor_log2=n_bands * 13 % 41)
    rng = np.random.default_rng(n_bands)
    noise = rng.integers(-32768, 32768, 3 * config.window) >> np.arange(3 * config.window) // 60
    square = np.where(np.arange(2 * config.window) // (1 + n_bands) % 2, 32767, -32768)
    samples = np.concatenate([noise, square]).astype(np.int16)
    assert np.array_equal(LogMel(config).push(samples), log_mel(samples, config))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_core_computes_the_same_integers_of_every_signal(config):
    stream = LogMel(config)
    for name, signal in signals(config.rate_hz):
        samples = signal.astype(np.int16)
        assert np.array_equal(stream.push(samples), log_mel(samples, config)), name
        stream.reset()


SAMPLES = arrays.arrays(np.int16, st.integers(0, 1200))


@settings(max_examples=100, deadline=None)
@given(samples=SAMPLES, cuts=st.lists(st.integers(0, 1200)), rate_hz=st.sampled_from([8000, 16000]))
def test_however_a_stream_is_cut_its_frames_are_the_same(samples, cuts, rate_hz):
    config = LogMelConfig(rate_hz, 20)
    stream = LogMel(config)
    pieces = np.split(samples, sorted(min(cut, len(samples)) for cut in cuts))
    frames = [stream.push(piece) for piece in pieces]
    assert all(part.dtype == np.int16 and part.shape[1] == 20 for part in frames)
    assert np.array_equal(np.concatenate(frames), log_mel(samples, config))


def test_sample_by_sample_a_frame_comes_when_its_last_sample_does():
    config, stream = LogMelConfig(), LogMel()
    samples = np.random.default_rng(0).integers(-9000, 9000, 500).astype(np.int16)
    counts = [len(stream.push(samples[i : i + 1])) for i in range(500)]
    assert [i for i, count in enumerate(counts) if count] == [199, 279, 359, 439]
    assert sum(counts) == config.n_frames(500) == 4


def test_after_a_reset_a_stream_begins_anew():
    stream = LogMel()
    samples = np.random.default_rng(0).integers(-9000, 9000, 700).astype(np.int16)
    first = stream.push(samples)
    stream.push(samples[:33])
    stream.reset()
    assert np.array_equal(stream.push(samples), first)


def test_streams_do_not_disturb_each_other():
    a, b = LogMel(), LogMel()
    samples = np.random.default_rng(5).integers(-9000, 9000, 2000).astype(np.int16)
    apart = LogMel().push(samples)
    both = [np.concatenate(parts) for parts in zip(
        *((a.push(piece), b.push(-piece)) for piece in np.split(samples, 20)), strict=True)]
    assert np.array_equal(both[0], apart)
    assert np.array_equal(both[1], LogMel().push(-samples))


def test_samples_may_lie_apart_in_memory():
    samples = np.random.default_rng(0).integers(-9000, 9000, (700, 2)).astype(np.int16)
    assert np.array_equal(LogMel().push(samples[:, 1]), log_mel(samples[:, 1].copy(),
                                                                LogMelConfig()))


@pytest.mark.parametrize(("rate_hz", "workspace"), [(8000, 1424), (16000, 2848)])
def test_a_stream_takes_the_bytes_that_the_header_says(rate_hz, workspace):
    stream = LogMel(LogMelConfig(rate_hz))
    assert workspace < stream.size <= workspace + 80


# ---- what features mean -------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.int16, 400, elements=st.integers(-16384, 16383)))
def test_twice_as_loud_is_two_octaves_of_energy_far_above_the_floor(samples):
    config = LogMelConfig(n_bands=13)
    once, twice = log_mel(samples, config), log_mel((2 * samples).astype(np.int16), config)
    far = once > (config.floor_log2 + 10) * UNIT
    assert (np.abs(twice.astype(int) - once - 2 * UNIT)[far] <= 3).all()
    assert (twice >= once - 1).all()


def test_silence_is_the_floor_and_nothing_is_below():
    for floor_log2 in (0, 12, 40):
        config = LogMelConfig(floor_log2=floor_log2)
        assert (log_mel(np.zeros(1000, np.int16), config) == floor_log2 * UNIT).all()
        quiet = np.random.default_rng(0).integers(-2, 3, 1000).astype(np.int16)
        assert (log_mel(quiet, config) >= floor_log2 * UNIT).all()


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_a_tone_is_loudest_in_the_band_at_its_pitch(rate_hz):
    config = LogMelConfig(rate_hz)
    feet = np.linspace(mel(config.low_hz), mel(rate_hz / 2), config.n_bands + 2)
    for hz in (200, 440, 1000, 2000, 3500):
        tone = 8000 * np.sin(2 * np.pi * hz * np.arange(rate_hz // 4) / rate_hz)
        loudest = log_mel(tone.astype(np.int16), config).argmax(axis=1)
        nearest = np.abs(feet[1:-1] - mel(hz)).argmin()
        assert np.abs(loudest - nearest).max() <= 1, hz


def test_a_full_scale_square_wave_does_not_overflow_at_16_khz():
    config = LogMelConfig(16000, n_bands=62)
    t = np.arange(4000)
    for period in (2, 4, 8, 16, 64):
        wave_ = np.where(t % period < period // 2, 32767, -32768).astype(np.int16)
        quarter = (wave_ // 4).astype(np.int16)
        loud, soft = (log_mel(x, config).max(axis=1).astype(int) for x in (wave_, quarter))
        assert np.abs(loud - soft - 4 * UNIT).max() <= 3


def test_the_table_of_logarithms_rises_from_0_to_1():
    assert LOG2[0] == 0
    assert LOG2[-1] == 2**15
    assert (np.diff(LOG2) > 0).all()


# ---- what is refused ----------------------------------------------------------------------


@pytest.mark.parametrize("options", [
    {"rate_hz": 44100}, {"rate_hz": 0}, {"n_bands": 0}, {"n_bands": 63}, {"floor_log2": -1},
    {"floor_log2": 41}, {"low_hz": -1.0}, {"low_hz": 4000.0}, {"n_bands": 62, "low_hz": 3900.0},
])
def test_a_front_end_out_of_range_is_refused(options):
    with pytest.raises(ShapeError) as raised:
        LogMelConfig(**options)
    assert raised.value.hint


@pytest.mark.parametrize("samples", [
    np.zeros(400), np.zeros(400, np.int32), np.zeros((400, 1), np.int16), [0] * 400, None,
    np.zeros(400, ">i2"), np.int16(3),
], ids=lambda samples: str(getattr(samples, "dtype", type(samples))))
def test_other_samples_are_refused_and_the_stream_goes_on(samples):
    stream = LogMel()
    good = np.arange(400, dtype=np.int16)
    stream.push(good[:100])
    for take in (stream.push, lambda samples: log_mel(samples, LogMelConfig())):
        with pytest.raises(ShapeError, match="samples"):
            take(samples)
    assert np.array_equal(stream.push(good[100:]), log_mel(good, LogMelConfig()))


@pytest.mark.parametrize("damage", [
    {"weights": np.full(200, -1, np.int16)}, {"sine": np.zeros(65, np.int32)},
    {"sine": np.zeros(64, np.int32)}, {"position": np.zeros(0, np.uint16)},
    {"position": np.arange(129, 0, -1).astype(np.uint16)}, {"hop": 0}, {"n_bands": 0},
    {"weights": np.ones(257, np.int16)}, {"position": np.zeros(130, np.uint16)},
], ids=str)
def test_the_core_refuses_tables_that_are_none(damage):
    constants = tables(LogMelConfig())
    good = {"weights": constants.window, "sine": constants.sine, "position": constants.position,
            "hop": 80, "n_bands": 32, "floor_log2": 12}
    assert _native.LogMel(**good).push(np.zeros(200, np.int16)).shape == (1, 32)
    with pytest.raises(ShapeError):
        _native.LogMel(**{**good, **damage})


# ---- the vectors --------------------------------------------------------------------------


def test_the_vectors_are_those_that_their_generator_writes():
    spec = importlib.util.spec_from_file_location("make_logmel", FOLDER / "make_logmel.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, text in module.files().items():
        assert (FOLDER / name).read_text(encoding="ascii") == text, "run make_logmel.py"
