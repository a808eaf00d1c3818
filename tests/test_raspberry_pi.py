"""The service and the speech demo of runtime/examples/raspberry_pi, on this machine."""

from __future__ import annotations

import configparser
import gc
import importlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import wave
from math import lcm
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

for library in ("torch", "onnx", "onnxruntime", "PIL"):
    pytest.importorskip(library)

import bundles  # noqa: E402
from PIL import Image  # noqa: E402
from test_session import profile_of  # noqa: E402

from edge_sdk.artifact import TensorSpec  # noqa: E402
from edge_sdk.bundle import Bundle  # noqa: E402
from edge_sdk.device import Device, FixedDevice  # noqa: E402
from edge_sdk.errors import (  # noqa: E402
    DataError,
    MissingDependency,
    ShapeError,
    UnsupportedModel,
)
from edge_sdk.session import Session  # noqa: E402

FOLDER = Path(__file__).resolve().parent.parent / "runtime/examples/raspberry_pi"
N_FRAMES = 20


def example(name):
    """Import a module of the examples' folder, as its programs do."""
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))


frames, supervision, classify, speech = map(
    example, ("frames", "supervision", "classify", "speech"))


@pytest.fixture(autouse=True)
def signals_as_before():
    """The programs take SIGTERM and SIGINT for themselves; here they are pytest's."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The digits' bundle with a made-up profile of this machine."""
    folder = tmp_path_factory.mktemp("pi") / "digits.edge"
    shutil.copytree(bundles.packed_digits(tmp_path_factory), folder)
    Bundle.open(folder).replace_profile(profile_of(Device().identity()))
    return folder


@pytest.fixture(scope="module")
def cases(bundle):
    return Bundle.open(bundle).cases()


@pytest.fixture(scope="module")
def metadata(bundle):
    return Bundle.open(bundle).metadata()


@pytest.fixture(scope="module")
def pictures(cases, metadata, tmp_path_factory):
    """A folder with 20 of scikit-learn's digits as PNG, 40x40, named by their order and class."""
    folder = tmp_path_factory.mktemp("pictures")
    mean, std = (metadata.preprocessing[name] for name in ("mean", "std"))
    for i in range(N_FRAMES):
        light = cases.inputs["image"][i, 0] * std + mean
        pixels = np.kron(np.rint(light * 255).astype(np.uint8), np.ones((5, 5), np.uint8))
        Image.fromarray(pixels).save(folder / f"{i:02}-{cases.labels[i]}.png")
    return folder


@pytest.fixture
def run(run_command):
    """Return run(*arguments): the service's (exit status, lines, stderr)."""

    def called(*arguments):
        status, out, err = run_command(classify.app, *arguments)
        return status, [json.loads(line) for line in out.splitlines()], err

    return called


def start(*arguments, **environment):
    """Start the service as a process of its own."""
    return subprocess.Popen(
        [sys.executable, FOLDER / "classify.py", *map(str, arguments)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment})


def end(process):
    """Return a process's (exit status, rest of stdout, stderr); it must end by itself."""
    # Not communicate(): it would leave out what readline() has read ahead.
    out, err = process.stdout.read(), process.stderr.read()
    return process.wait(timeout=120), out, err


# ---- classifying ----------------------------------------------------------------------


def test_real_pictures_are_classified_as_the_session_classifies_them(
        run, bundle, pictures, cases):
    status, lines, err = run(bundle, "--frames", pictures, "--plan", "XL")
    assert status == 0
    assert err.splitlines()[-1] == f"done    {N_FRAMES} frames, 0 bad"
    assert [Path(line["frame"]).name for line in lines] == sorted(os.listdir(pictures))
    session = Session.open(bundle, device=FixedDevice(identity=Device().identity()))
    for i, line in enumerate(lines):
        want = session.classify(cases.one(i), plan="XL")
        assert (line["id"], line["label"], line["granularity"], line["dim"], line["plan"]) == (
            want.id, want.label, want.granularity, want.dim, "XL")
        # A pixel of the picture is rounded to one of 256.
        assert line["confidence"] == pytest.approx(want.confidence, abs=0.02)
    right = [line["id"] for line in lines] == cases.labels[:N_FRAMES]
    assert right.mean() >= 0.9


def test_a_line_says_what_ran_why_and_what_it_cost(run, bundle, pictures):
    _, lines, _ = run(bundle, "--frames", pictures, "--latency-ms", "60000")
    keys = {"frame", "time_s", "read_ms", "ram_mb", "peak_ram_mb", *classify.TOLD,
            *classify.STATE}
    for line in lines:
        assert line.keys() == keys
        assert line["plan"] == line["granularity"] == "XL"  # the most accurate, and it fits
        assert line["met"] is True
        assert line["late"] is False
        assert "XL" in line["reason"]
        assert line["latency_ms"] > 0
        assert 10 < line["ram_mb"] <= line["peak_ram_mb"]
        assert line["throttled"] in (None, False, True)


def test_a_budget_nothing_can_meet_runs_the_fastest_plan_and_says_so(run, bundle, pictures):
    status, lines, _ = run(bundle, "--frames", pictures, "--latency-ms", "0.001")
    assert status == 0
    assert {line["plan"] for line in lines} == {"S"}
    assert all(line["met"] is False and line["late"] is True for line in lines)


def test_a_strict_budget_nothing_can_meet_ends_the_service(run, bundle, pictures):
    status, lines, err = run(bundle, "--frames", pictures, "--latency-ms", "0.001", "--strict")
    assert (status, lines) == (1, [])
    assert err.startswith("BudgetError: ")
    assert "hint: " in err


def test_a_budget_needs_a_profile(run, pictures, tmp_path_factory):
    unprofiled = bundles.packed_digits(tmp_path_factory)
    status, lines, err = run(unprofiled, "--frames", pictures, "--battery", "20 %")
    assert (status, lines) == (1, [])
    assert f"hint: python -m edge_sdk.profile {unprofiled}" in err


def test_a_bundle_that_is_not_there_or_damaged_ends_it_with_its_path(
        run, bundle, pictures, tmp_path):
    status, _, err = run(tmp_path / "no.edge", "--frames", pictures)
    assert status == 1
    assert "FormatError" in err
    assert "no.edge" in err
    damaged = tmp_path / "damaged.edge"
    shutil.copytree(bundle, damaged)
    model = bytearray((damaged / "model.onnx").read_bytes())
    model[len(model) // 2] ^= 1
    (damaged / "model.onnx").write_bytes(model)
    status, _, err = run(damaged, "--frames", pictures)
    assert status == 1
    assert "model.onnx" in err


@pytest.mark.parametrize("wrong", [
    (), ("--camera", "--frames", "x"), ("--frames", "x", "--plan", "XL", "--latency-ms", "5"),
    ("--frames", "x", "--rate-hz", "0"), ("--frames", "x", "--rate-hz", "nan"),
    ("--frames", "x", "--most-bad", "0")])
def test_wrong_usage_is_exit_status_2(run_command, bundle, wrong):
    assert run_command(classify.app, bundle, *wrong)[0] == 2


def test_frames_that_are_not_there_end_it_before_the_model_is_loaded(run, tmp_path):
    status, _, err = run(tmp_path / "no.edge", "--frames", tmp_path / "nothing")
    assert status == 1
    assert err.startswith("DataError: ")
    status, _, err = run(tmp_path / "no.edge", "--frames", tmp_path)
    assert "expected frames: .npy" in err


# ---- bad frames -----------------------------------------------------------------------


@pytest.fixture
def mixed(pictures, tmp_path):
    """Good pictures 0 and 9, and between them one of each kind of bad frame."""
    good = sorted(pictures.iterdir())
    shutil.copy(good[0], tmp_path / "0.png")
    shutil.copy(good[1], tmp_path / "9.png")
    (tmp_path / "1.png").write_bytes(good[2].read_bytes()[:60])
    (tmp_path / "2.jpg").write_bytes(b"no picture")
    np.save(tmp_path / "3.npy", np.zeros((8, 8, 4), np.uint8))
    np.save(tmp_path / "4.npy", np.full((1, 8, 8), np.nan, np.float32))
    np.save(tmp_path / "5.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "6.npy").write_bytes(b"")
    np.save(tmp_path / "7.npy", np.zeros((0, 8), np.uint8))
    return tmp_path


def test_bad_frames_are_named_and_counted_and_the_next_ones_answered(run, bundle, mixed):
    status, lines, err = run(bundle, "--frames", mixed, "--plan", "S")
    assert status == 0
    assert err.splitlines()[-1] == "done    9 frames, 7 bad"
    assert [line.get("n_bad") for line in lines] == [None, 1, 2, 3, 4, 5, 6, 7, None]
    for line in lines[1:-1]:
        assert re.match(r"(DataError|ShapeError): expected ", line["error"])
        assert "label" not in line
    assert lines[0]["label"] != ""
    assert lines[-1]["label"] != ""


def test_nothing_but_bad_frames_in_a_row_ends_it_with_the_last_error(run, bundle, mixed):
    status, lines, err = run(bundle, "--frames", mixed, "--plan", "S", "--most-bad", "7")
    assert status == 1
    assert len(lines) == 7  # the first, and six bad ones
    assert "7 bad ones in a row" in err
    assert "7.npy" not in err  # an array has no path; its error says which frame it was
    status, lines, _ = run(bundle, "--frames", mixed, "--plan", "S", "--most-bad", "8")
    assert status == 0


def test_a_file_too_large_to_be_a_frame_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "MOST_BYTES", 99)
    (tmp_path / "x.png").write_bytes(bytes(100))
    with pytest.raises(DataError, match="at most 99 bytes, got 100"):
        frames.read_file(tmp_path / "x.png")


def test_pictures_without_pillow_are_a_missing_dependency(pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependency, match="pip install pillow"):
        frames.read_file(next(pictures.iterdir()))


# ---- lines, signals, the supervisor ---------------------------------------------------


def test_lines_are_added_to_a_file(run, bundle, pictures, tmp_path):
    out = tmp_path / "lines.jsonl"
    for n in (1, 2):
        status, lines, _ = run(bundle, "--frames", pictures, "--plan", "S", "--out", out)
        assert (status, lines) == (0, [])
        assert len([json.loads(line) for line in out.read_text().splitlines()]) == n * N_FRAMES
    status, _, err = run(bundle, "--frames", pictures, "--plan", "S", "--out", tmp_path)
    assert status == 1
    assert err.splitlines()[-2].startswith("OutputError: ")


def test_sigterm_ends_it_after_whole_lines_with_status_0(bundle, pictures):
    process = start(bundle, "--frames", pictures, "--plan", "S", "--forever")
    first = [json.loads(process.stdout.readline()) for _ in range(N_FRAMES + 5)]
    assert first[0]["frame"] == first[N_FRAMES]["frame"]  # it begins again
    process.send_signal(signal.SIGTERM)
    status, rest, err = end(process)
    assert status == 0
    assert rest == "" or rest.endswith("\n")
    n_frames = len(first) + len([json.loads(line) for line in rest.splitlines()])
    assert err.splitlines()[-1] == f"stopped    {n_frames} frames, 0 bad"


def test_sigterm_ends_it_while_it_waits_for_the_next_frame(bundle, pictures):
    process = start(bundle, "--frames", pictures, "--plan", "S", "--rate-hz", "0.001")
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert end(process)[0] == 0  # and not after 1000 s


def test_a_reader_that_leaves_ends_it_without_a_traceback(bundle, pictures):
    process = start(bundle, "--frames", pictures, "--plan", "S", "--forever")
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_the_supervisor_hears_that_it_is_ready_alive_and_stopping(
        bundle, pictures, tmp_path, abstract):
    name = f"edge-sdk-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}" if abstract else name)
        manager.settimeout(60)
        process = start(bundle, "--frames", pictures, "--plan", "S",
                        NOTIFY_SOCKET=f"@{name}" if abstract else name, WATCHDOG_USEC="20000000")
        told = []
        while not told or told[-1] != "STOPPING=1":
            told += manager.recv(4096).decode().splitlines()
    assert end(process)[0] == 0
    assert told[0] == "READY=1"
    assert told[1].startswith("STATUS=")
    assert told.count("WATCHDOG=1") >= N_FRAMES


def test_without_a_supervisor_or_watchdog_nothing_is_sent(tmp_path, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", "no number")
    told = supervision.Supervisor()
    told.tell("READY=1")
    told.alive()
    assert told.interval_s is None
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    supervision.Supervisor().tell("READY=1")  # a manager that does not listen is no error


def test_a_long_wait_tells_the_watchdog_in_between(monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "2000")
    told = SimpleNamespace(n=0, interval_s=0.001)
    told.alive = lambda: setattr(told, "n", told.n + 1)
    assert supervision.Stop().wait(0.05, told) is False
    assert told.n >= 2


def test_memory_does_not_grow_with_the_frames(bundle, pictures):
    device = classify.SteadyDevice()
    service = classify.Service(Session.open(bundle, device=device), device, budget=None, plan="S",
                               strict=False, invert=False, most_bad=10)
    source = frames.file_frames([pictures], forever=True)

    def grown(keep):
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(100):
            line = service.line(next(source))
            if keep is not None:
                keep.append(line)
        del line
        gc.collect()
        return sys.getallocatedblocks() - before

    grown(None)
    assert grown(None) < 500  # a few, in free lists that fill up
    assert grown([]) > 1000  # a line kept would be seen


# ---- cameras --------------------------------------------------------------------------


class FakePiCamera:
    """What picamera2 has of use here."""

    def __init__(self):
        self.calls = []

    def create_video_configuration(self, main):
        return main

    def configure(self, main):
        self.calls.append(main)

    def start(self):
        self.calls.append("start")

    def capture_array(self):
        return np.zeros((480, 640, 3), np.uint8)

    def stop(self):
        self.calls.append("stop")

    def close(self):
        self.calls.append("close")


@pytest.fixture
def no_camera(monkeypatch):
    for name in frames.CAMERAS:
        monkeypatch.setitem(sys.modules, name, None)
    return monkeypatch


def test_without_a_camera_library_the_hint_says_what_to_install(no_camera, run, bundle):
    with pytest.raises(MissingDependency, match="python3-picamera2"):
        frames.open_camera()
    status, lines, err = run(bundle, "--camera", "--plan", "S")
    assert (status, lines) == (1, [])
    assert "MissingDependency: " in err


def test_the_camera_of_a_raspberry_pi_is_taken_first_and_closed_at_the_end(no_camera):
    made = FakePiCamera()
    no_camera.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=lambda: made))
    no_camera.setitem(sys.modules, "cv2", SimpleNamespace())
    source = frames.camera_frames(frames.open_camera())
    first, second = next(source), next(source)
    assert (first.name, second.name) == ("camera-0", "camera-1")
    assert first.fetch().shape == (480, 640, 3)
    source.close()
    assert made.calls[0]["size"] == (640, 480)
    assert made.calls[1:] == ["start", "stop", "close"]


def fake_opencv(pixels, *, opened=True):
    capture = SimpleNamespace(isOpened=lambda: opened, release=lambda: None,
                              read=lambda: (pixels is not None, pixels))
    return SimpleNamespace(VideoCapture=lambda number: capture)


def test_opencvs_blue_green_red_becomes_red_green_blue(no_camera):
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    no_camera.setitem(sys.modules, "cv2", fake_opencv(pixels))
    assert frames.open_camera().read().tolist() == pixels[..., [2, 1, 0]].tolist()


def test_a_camera_that_is_not_connected_or_gives_nothing_is_a_data_error(no_camera):
    no_camera.setitem(sys.modules, "cv2", fake_opencv(None, opened=False))
    with pytest.raises(DataError, match="no camera 0"):
        frames.open_camera()
    no_camera.setitem(sys.modules, "cv2", fake_opencv(None))
    with pytest.raises(DataError, match="a picture"):
        frames.open_camera().read()


# ---- from pixels to inputs ------------------------------------------------------------


@given(n_out=st.integers(1, 12), n_in=st.integers(1, 40), seed=st.integers(0, 99))
def test_averaging_is_the_mean_over_shared_area(n_out, n_in, seed):
    pixels = np.random.default_rng(seed).random(n_in)
    fine = lcm(n_out, n_in)  # so many parts that each pixel of both sides has whole ones
    want = np.repeat(pixels, fine // n_in).reshape(n_out, -1).mean(1)
    np.testing.assert_allclose(frames.averaging(n_out, n_in) @ pixels, want, rtol=0, atol=1e-12)


def test_a_picture_is_cut_to_its_middle_square_and_normalized(metadata):
    mean, std = (metadata.preprocessing[name] for name in ("mean", "std"))
    wide = np.full((8, 20), 255, np.uint8)
    wide[:, 6:14] = 51
    x = frames.input_of(wide, metadata)
    assert x.shape == (1, 1, 8, 8)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, (0.2 - mean) / std, atol=1e-6)
    np.testing.assert_allclose(frames.input_of(wide.T, metadata), x, atol=1e-6)
    np.testing.assert_allclose(frames.input_of(wide, metadata, invert=True), (0.8 - mean) / std,
                               atol=1e-6)


def test_colours_become_their_brightness_and_gray_three_equal_channels(metadata):
    mean, std = (metadata.preprocessing[name] for name in ("mean", "std"))
    red = np.zeros((10, 10, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_allclose(frames.input_of(red, metadata), (0.299 - mean) / std, atol=1e-6)
    colour = SimpleNamespace(inputs=(TensorSpec("x", (1, 3, 4, 4), "float32"),), model="m",
                             preprocessing={"mean": 0.5, "std": 2})
    x = frames.input_of(red, colour)
    np.testing.assert_allclose(x[0, :, 0, 0], [0.25, -0.25, -0.25])
    gray = frames.input_of(red[..., 0], colour)
    np.testing.assert_allclose(gray[0, :, 3, 3], [0.25] * 3)


def test_an_array_that_is_the_input_already_is_left_alone(cases, metadata):
    one = cases.one(3)["image"]
    for given_array in (one, one[0]):
        np.testing.assert_array_equal(frames.input_of(given_array, metadata), one)


@pytest.mark.parametrize("wrong", [
    np.zeros((8, 8), np.float64), np.zeros((2, 8, 8), np.float32), np.zeros(8, np.uint8),
    np.zeros((8, 8, 4), np.uint8), np.zeros((8, 0), np.uint8), np.zeros((1, 8, 8, 3), np.uint8)],
    ids=lambda x: f"{x.dtype}{list(x.shape)}")
def test_any_other_array_is_a_shape_error(metadata, wrong):
    with pytest.raises(ShapeError, match="the frame"):
        frames.input_of(wrong, metadata)


@pytest.mark.parametrize(("shape", "preprocessing"), [
    ((1, 7), {"mean": 0, "std": 1}), ((1, 2, 8, 8), {"mean": 0, "std": 1}),
    ((1, 1, 8, 8), {}), ((1, 1, 8, 8), {"mean": None, "std": 1})])
def test_a_model_that_takes_no_pictures_or_does_not_say_how_is_refused(shape, preprocessing):
    other = SimpleNamespace(inputs=(TensorSpec("x", shape, "float32"),), model="m",
                            preprocessing=preprocessing)
    with pytest.raises(UnsupportedModel, match=r"\.npy"):
        frames.input_of(np.zeros((8, 8), np.uint8), other)


# ---- speech ---------------------------------------------------------------------------


def test_recorded_words_are_heard_as_listen_hears_them(run_command, data_root, tmp_path):
    from edge_sdk import listen
    from edge_sdk.data import fsdd

    if not (data_root / "fsdd").is_dir():
        pytest.skip(f"no FSDD in {data_root}")
    path, silence = tmp_path / "words.wav", np.zeros(4000, np.int16)
    words = [r.samples for r in fsdd(data_root) if r.index == 0][:50:10]
    with wave.open(str(path), "wb") as wav:
        wav.setparams((1, 2, 8000, 0, "NONE", ""))
        wav.writeframes(np.concatenate([part for word in words for part in (silence, word)]
                                       + [silence]).tobytes())
    status, out, err = run_command(speech.app, path)
    assert status == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) >= 3
    assert err.splitlines()[-1] == f"done    {len(lines)} words"
    status, out, _ = run_command(listen.app, path, "--json")
    want = [json.loads(line) for line in out.splitlines()]
    assert [{key: line[key] for key in want[0]} for line in lines] == want
    assert all(line["load"] > 0 and line["ram_mb"] > 0 for line in lines)


def test_speech_without_a_file_or_a_microphone_is_wrong_usage(run_command, tmp_path):
    assert run_command(speech.app)[0] == 2
    assert run_command(speech.app, tmp_path / "x.wav", "--mic")[0] == 2
    status, _, err = run_command(speech.app, tmp_path / "x.wav")
    assert status == 1
    assert err.startswith("DataError: ")


# ---- the unit -------------------------------------------------------------------------


def unit():
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(FOLDER / "edge-classify.service")
    return parser


def test_the_unit_is_hardened_and_restarts_on_failure():
    service = unit()["Service"]
    for name, value in {"Type": "notify", "Restart": "on-failure", "DynamicUser": "yes",
                        "ProtectSystem": "strict", "NoNewPrivileges": "yes",
                        "CapabilityBoundingSet": "", "MemoryMax": "512M"}.items():
        assert service[name] == value


def test_the_units_configuration_is_a_command_line_that_the_service_takes(run_command):
    text = (FOLDER / "edge-classify.conf").read_text()
    told = dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))
    status, _, err = run_command(classify.app, told["EDGE_BUNDLE"], *told["EDGE_OPTIONS"].split())
    assert status == 1  # and not 2: only the bundle is missing
    assert told["EDGE_BUNDLE"] in err


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    text = (FOLDER / "edge-classify.service").read_text()
    here = tmp_path / "edge-classify.service"
    # Verified is also that the program exists, which it does on the device.
    here.write_text(text.replace("/opt/edge/venv/bin/python", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", here], capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
