"""Training: same seed, same weights, through any number of kills; refusals in words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from edge_sdk import zoo  # noqa: E402
from edge_sdk.checkpoint import load_weights, model_digest, read_metadata  # noqa: E402
from edge_sdk.errors import CheckpointError  # noqa: E402
from edge_sdk.zoo import training  # noqa: E402

COMMAND = [sys.executable, "-m", "edge_sdk.train", "matvit-digits", "--quiet"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits():
    recipe = zoo.recipe("matvit-digits")
    return recipe, recipe.dataset()


@pytest.fixture(scope="module")
def uninterrupted(digits):
    """Return the weights digest of three epochs in one go, seed 0, one thread."""
    torch.set_num_threads(1)
    return model_digest(training.train(*digits, epochs=3))


def command(*arguments):
    """Run the command in this process, where torch is loaded already."""
    from typer.testing import CliRunner

    from edge_sdk.train import app

    return CliRunner().invoke(app, list(arguments))


def run(*arguments, cwd):
    return subprocess.run([*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True,
                          timeout=120, check=False)


@pytest.mark.skipif(os.name != "posix", reason="kills a process the POSIX way")
def test_a_killed_and_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(
        tmp_path, uninterrupted):
    out, checkpoint = tmp_path / "w.safetensors", tmp_path / "w.safetensors.ckpt"
    arguments = ["--epochs", "3", "--out", str(out)]
    process = subprocess.Popen([*COMMAND, *arguments])
    deadline = time.monotonic() + 100
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert not out.exists()
    assert 1 <= torch.load(checkpoint, weights_only=True)["epoch"] < 3

    done = command("matvit-digits", *arguments)
    assert done.exit_code == 0, done.stderr
    assert "/3 epochs" in done.stderr
    assert done.stdout.splitlines()[-1] == f"weights  sha256 {uninterrupted}"
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.safetensors"]


def test_ctrl_c_exits_with_130_and_says_that_the_same_command_resumes(monkeypatch, tmp_path):
    def interrupt(*_, checkpoint, **__):
        checkpoint.write_text("an epoch")
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", interrupt)
    result = command("matvit-digits", "--quiet", "--out", str(tmp_path / "w.safetensors"))
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == (
        "Interrupted\nhint: the same command resumes after the last whole epoch\n")
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.safetensors.ckpt"]


def test_the_command_trains_writes_and_reports_one_width_for_one_epoch(tmp_path):
    done = run("--epochs", "1", "--independent", "S", "--seed", "3", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    out = tmp_path / "runs" / "matvit-digits-S-seed3.safetensors"
    assert list(tmp_path.rglob("*.*")) == [out]
    head, row, wrote, weights = done.stdout.splitlines()
    assert head.startswith("top-1 %  n 360, held out: ")
    assert row.split()[0] == "S"
    assert 5 < float(row.split()[1]) <= 100
    assert wrote.startswith("wrote    runs/matvit-digits-S-seed3.safetensors  ")
    model = training.independent(zoo.recipe("matvit-digits").build(), "S")
    load_weights(model, out)
    metadata = read_metadata(out)
    assert weights == f"weights  sha256 {metadata['weights_sha256']}"
    assert metadata == {
        "recipe": "matvit-digits", "seed": "3", "epochs": "1", "width": "S", "threads": "1",
        "torch": torch.__version__, "weights_sha256": model_digest(model),
    }


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(digits):
    first, again, other = (model_digest(training.train(*digits, epochs=1, seed=seed, width="S"))
                           for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_checkpoint_of_another_training_is_refused(digits, tmp_path):
    checkpoint = tmp_path / "c.ckpt"
    training.train(*digits, epochs=1, width="S", checkpoint=checkpoint)
    for other in ({"seed": 1}, {"width": "M"}, {"epochs": 2}):
        settings = {"epochs": 1, "width": "S", "seed": 0} | other
        with pytest.raises(CheckpointError, match="width=S seed=0 epochs=1"):
            training.train(*digits, checkpoint=checkpoint, **settings)


def test_a_damaged_checkpoint_is_refused_before_training(tmp_path):
    checkpoint = tmp_path / "c.ckpt"
    checkpoint.write_bytes(b"PK\x03\x04" + bytes(50))
    result = command("matvit-digits", "--out", str(tmp_path / "w.safetensors"),
                     "--checkpoint", str(checkpoint))
    assert result.exit_code == 1
    assert result.stderr.startswith("CheckpointError: expected a checkpoint of an unfinished")
    assert "hint: remove it" in result.stderr


def test_an_unknown_name_lists_the_known_ones():
    result = command("matvit-digit")
    assert result.exit_code == 1
    assert result.stderr.startswith("UnsupportedModel: expected a reference model")
    assert all(name in result.stderr for name in zoo.names())


def test_a_missing_output_folder_is_refused_before_training(tmp_path):
    result = command("matvit-digits", "--out", str(tmp_path / "no" / "w.safetensors"))
    assert result.exit_code == 1
    assert result.stderr.startswith("OutputError: ")


@pytest.mark.parametrize("arguments", [
    [], ["matvit-digits", "--epochs", "0"], ["matvit-digits", "--independent", "XXL"],
    ["matvit-digits", "--seed", "-1"],
])
def test_usage_errors_exit_with_2(arguments):
    assert command(*arguments).exit_code == 2


def test_missing_data_is_an_error_in_words(monkeypatch, tmp_path):
    monkeypatch.delenv("EDGE_SDK_DATA", raising=False)
    result = command("matvit-omniglot", "--out", str(tmp_path / "w.safetensors"))
    assert result.exit_code == 1
    assert result.stderr.startswith("DataError: ")


def test_importing_the_command_and_the_zoo_loads_no_torch():
    code = "import sys, edge_sdk.train, edge_sdk.zoo; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
