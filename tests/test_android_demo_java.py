"""The Android demo's classes that need no Android: JUnit in a JVM, beside Python's answers."""

from __future__ import annotations

import json
import os
import re
import struct
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from android_app import DEMO, JNI, JUNIT, MAIN, ROOT, need, run
from sounds import silence, tone, write_wav

ASSETS = MAIN / "assets"
TESTS = DEMO / "app/src/test/java"
N_PICTURES, N_PHOTOGRAPHS = 40, 400
TEST_CLASSES = sorted(f"org.edgesdk.demo.core.{path.stem}" for path in TESTS.rglob("*Test.java"))


def hexadecimal(values: np.ndarray) -> str:
    return " ".join(f"{word:08x}" for word in np.asarray(values, "<f4").view("<u4").ravel())


def pictures() -> np.ndarray:
    """Noise, blank and full pictures, and blots: (N_PICTURES, 784) in 0..1."""
    rng = np.random.default_rng(7)
    drawn = rng.random((N_PICTURES, 28, 28), np.float32)
    drawn[0], drawn[1] = 0, 1
    for picture in drawn[2:30]:
        picture[:] = 0
        for _ in range(rng.integers(2, 8)):
            y, x = rng.integers(4, 20, 2)
            picture[y : y + rng.integers(1, 8), x : x + rng.integers(1, 8)] = rng.random()
    return drawn.reshape(N_PICTURES, -1)


def write_answers(made: Path) -> None:
    """Write what Python answers to the pictures, at every granularity and by every plan."""
    from edge_sdk.bundle import Bundle
    from edge_sdk.cascade import Cascade, CoreFFN

    inputs = pictures()
    (made / "pictures.txt").write_text("\n".join(map(hexadecimal, inputs)) + "\n")
    ffn, bundle = CoreFFN.open(ASSETS / "digits-core"), Bundle.open(ASSETS / "digits.edge")
    known = {name: ffn.embed(inputs, name) for name in ffn.granularities}
    (made / "embeddings.txt").write_text("".join(
        f"{i} {name} {hexadecimal(rows[i])}\n" for name, rows in known.items()
        for i in range(N_PICTURES)))
    plans = {name: Cascade(bundle.head, [(name, bundle.head.dim)]) for name in known}
    lines = []
    for name, plan in (plans | bundle.cascades).items():
        for i in range(N_PICTURES):
            answer = plan.classify(lambda granularity, i=i: known[granularity][i])
            code = bundle.codes.words(known[answer.level.granularity][i : i + 1])
            distance = int(bundle.codes.codes.nearest(code).distances[0])
            near = "true" if distance < bundle.manifest.unknown_distance else "false"
            lines.append(f"{i} {name} {answer.id} {answer.level} {answer.confidence!r} {near} "
                         f"{distance}\n")
    (made / "answers.txt").write_text("".join(lines))


def write_words(made: Path) -> None:
    """Write a sound with words, and what Python's listener hears in it."""
    from edge_sdk.fastgrnn.early import EarlyDecision
    from edge_sdk.fastgrnn.model import FastGRNN
    from edge_sdk.listen import Listener

    sound = np.concatenate([silence(0.6, 3), tone(400, 0.5), silence(0.5, 3), tone(700, 0.4),
                            silence(0.6, 3), tone(250, 0.7), silence(0.4, 3), tone(900, 0.3)])
    write_wav(made / "sound.wav", sound)
    model = FastGRNN.load(ASSETS / "speech/digits.grnn")
    listener = Listener(model, early=EarlyDecision.from_dict(model.early, where="test"))
    heard = [*listener.push(sound), *listener.finish()]
    assert len(heard) >= 3
    words = map(asdict, heard)
    (made / "words.txt").write_text("".join(
        f"{word['label']} {word['start_s']!r} {word['confidence']!r}\n" for word in words))


def write_photographs(made: Path) -> None:
    """Write digits of MNIST as a camera might see them, where the data set is."""
    root = Path(os.environ.get("EDGE_SDK_DATA") or ROOT.parent / "shared" / "data")
    if not (root / "mnist").is_dir():
        return
    from edge_sdk.data import mnist

    data, rng = mnist(root), np.random.default_rng(8)
    with (made / "photographs.bin").open("wb") as out:
        out.write(struct.pack(">i", N_PHOTOGRAPHS))
        for i in range(N_PHOTOGRAPHS):
            digit = data.test_images[i, 0].astype(np.float64) / data.pixel_max
            large = np.kron(digit, np.ones((6, 6)))
            for _ in range(2):  # softened: a camera has no steps
                large = (large + np.roll(large, 3, 0) + np.roll(large, 3, 1)) / 3
            paper = np.full((230, 300), rng.uniform(0.6, 0.95))
            y, x = rng.integers(5, 50), rng.integers(5, 120)
            paper[y : y + 168, x : x + 168] -= large * rng.uniform(0.4, 0.55)
            paper += rng.normal(0, 0.015, paper.shape)
            grey = np.clip(np.rint(paper * 255), 0, 255).astype(np.uint8)
            out.write(struct.pack(">iii", int(data.test_labels[i]), 300, 230) + grey.tobytes())


@pytest.fixture(scope="session")
def junit(tmp_path_factory):
    """Everything compiled for this machine's JVM, and run: (output, folder of what was made)."""
    need("javac", "java", files=JUNIT)
    work = tmp_path_factory.mktemp("junit")
    made, classes = work / "made", work / "classes"
    made.mkdir()
    write_answers(made)
    write_words(made)
    write_photographs(made)
    run("python3", JNI / "build.py", "host")
    sources = [*(JNI / "java").rglob("*.java"), *TESTS.rglob("*.java"),
               *(MAIN / "java/org/edgesdk/demo/core").rglob("*.java")]
    run("javac", "--release", "8", "-Xlint:-options", "-encoding", "UTF-8", "-cp",
        ":".join(JUNIT), "-d", classes, *sources)
    said = run("java", "-Xcheck:jni", f"-Dedge.assets={ASSETS}", f"-Dedge.made={made}",
               f"-Dorg.edgesdk.library={ROOT / 'build/jni/host/libedge_runtime_jni.so'}",
               "-cp", ":".join([str(classes), *JUNIT]), "org.junit.runner.JUnitCore",
               *TEST_CLASSES)
    return said, made


def test_junit_passes_in_the_jvm_without_a_warning_of_the_checked_jni(junit):
    said, _ = junit
    assert "OK (" in said, said
    assert "WARNING" not in said, said
    assert "ReleasePrimitiveArray" not in said, said


def test_every_class_of_tests_is_run():
    assert len(TEST_CLASSES) >= 6


def test_digits_as_a_camera_sees_them_are_recognised(junit, data_root):
    said, _ = junit
    right, n = re.search(r"photographs (\d+) of (\d+)", said).groups()
    assert int(n) == N_PHOTOGRAPHS
    assert int(right) >= 0.95 * N_PHOTOGRAPHS


def test_the_shared_json_has_unknown_as_null_and_units_in_names(junit):
    content = json.loads((junit[1] / "bench.json").read_text())
    bundle, codes, speech, broken = content["files"]
    assert content["machine"]["python"] is None
    assert len(content["machine"]["key"]) == 16
    assert {row["kind"] for row in bundle["rows"]} == {"granularity", "cascade", "level", "method"}
    assert {"S", "M", "L", "XL", "risk-0.01", "governor decision"} <= \
        {row["name"] for row in bundle["rows"]}
    used = [path for folder in ("digits.edge", "digits-core")
            for path in (ASSETS / folder).iterdir() if path.suffix != ".pte"]
    assert bundle["n_bytes"] == sum(path.stat().st_size for path in used)
    assert bundle["engine"] == "core"
    assert [row["name"].split()[0] for row in codes["rows"]] == ["nearest", "exact", "ordered"]
    assert all(row["energy_mj"] is None for row in speech["rows"])
    assert all(row["quantiles_ms"]["99"] is None for row in speech["rows"]), "10 samples"
    for row in bundle["rows"]:
        assert (row["answered"] is None) == (row["kind"] != "cascade")
        assert row["answered"] is None or sum(row["answered"].values()) == pytest.approx(1)
    assert broken["error"]["kind"] == "FormatException"
    assert content["state"]["during"]["throttled"] is None


def test_the_shared_json_is_what_the_bench_command_reads(junit):
    result = pytest.importorskip("edge_sdk.bench.result")
    text = (junit[1] / "bench.json").read_text()
    read = result.Result.from_json(text, where="the app")
    assert read.files[0].row("XL", None).typical.value > 0
    assert read.files[2].ram.peak_mb > 0
