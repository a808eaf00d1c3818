"""The firmware of runtime/examples/microcontroller, on three cores under QEMU."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.errors import (
    BudgetError,
    ComparisonError,
    EngineError,
    MissingDependency,
    UnsupportedModel,
)
from edge_sdk.fastgrnn.integer import quantize
from edge_sdk.fastgrnn.weights import Weights

FOLDER = Path(__file__).resolve().parent.parent / "runtime/examples/microcontroller"


def load_command():
    spec = importlib.util.spec_from_file_location("microcontroller_run", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their module up
    spec.loader.exec_module(module)
    return module


board = load_command()
missing = board.missing_tools()
pytestmark = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")
each_core = pytest.mark.parametrize("core", board.CORES, ids=lambda core: core.name)
each_source = pytest.mark.parametrize("source", board.SOURCES)
M0PLUS, M3 = board.CORES[:2]


@pytest.fixture(scope="module")
def model():
    return board.model()


@pytest.fixture(scope="module")
def generated(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    board.generate(model, folder)
    return folder


@pytest.fixture(scope="module")
def firmware(generated, tmp_path_factory):
    """Return firmware(core, source): each built once."""
    folder = tmp_path_factory.mktemp("firmware")

    @cache
    def built(core, source="features"):
        return board.build(core, generated, folder / core.name / source, source=source)

    return built


@pytest.fixture(scope="module")
def sounds():
    return board.synthetic()


@pytest.fixture(scope="module")
def frames(sounds):
    return board.features(sounds)


def compare(firmware, model, sounds):
    frames = board.features(sounds)
    ran = board.run(firmware, frames if firmware.source == "features" else sounds)
    board.demand_equal(firmware, ran, board.twin(model, frames))
    return ran


@each_core
@each_source
def test_every_feature_state_logit_and_class_of_recorded_words_is_numpys(
    core, source, firmware, model, data_root
):
    if not (data_root / "fsdd").is_dir():
        pytest.skip(f"no FSDD in {data_root}")
    words = board.recorded(data_root)[::7]  # 43 words of all speakers and digits
    assert len(compare(firmware(core, source), model, words).states) > 1000


@each_core
@each_source
def test_every_feature_state_logit_and_class_of_made_up_words_is_numpys(
    core, source, firmware, model, sounds
):
    ran = compare(firmware(core, source), model, sounds)
    assert len(np.unique(ran.class_ids)) > 1  # else the class would prove little


@each_core
@each_source
def test_silence_noise_and_the_loudest_square_waves_are_heard_as_numpy_hears_them(
    core, source, firmware, model
):
    random, n = np.random.default_rng(0), 800
    square = np.where(np.arange(n) // 37 % 2, 32767, -32768).astype(np.int16)
    noise = random.integers(-32768, 32768, n).astype(np.int16)
    compare(firmware(core, source), model, [square, noise, np.zeros(n, np.int16)])


@each_core
def test_the_largest_features_saturate_as_the_twins_do(core, firmware, model):
    random = np.random.default_rng(0)
    extremes = random.choice(np.array([-32768, 32767], np.int16), (40, model.n_inputs))
    anything = random.integers(-32768, 32768, (40, model.n_inputs)).astype(np.int16)
    sequences = [extremes, anything]
    ran = board.run(firmware(core), sequences)
    board.demand_equal(firmware(core), ran, board.twin(model, sequences))


@each_core
@each_source
def test_a_sequence_begins_anew_whatever_came_before_it(core, source, firmware, sounds, frames):
    word = {"features": frames, "samples": sounds}[source][0]
    ran = board.run(firmware(core, source), [word, word])
    for told in (ran.features, ran.states):
        first, second = np.split(told, 2)
        assert first.any()
        assert np.array_equal(first, second)


@pytest.mark.parametrize(("n_samples", "n_frames"), [(200, 1), (279, 1), (280, 2), (321, 2)])
def test_samples_give_as_many_frames_as_are_whole_in_them(
    n_samples, n_frames, firmware, model, sounds
):
    ran = compare(firmware(M3, "samples"), model, [sounds[0][:n_samples]])
    assert len(ran.features) == n_frames


def test_a_sound_shorter_than_a_window_gives_no_frame_and_spoils_none(firmware, sounds):
    made = firmware(M3, "samples")
    alone, after = (board.run(made, [*before, sounds[0][:1000]])
                    for before in ([], [sounds[1][:199]]))
    assert np.array_equal(alone.states, after.states)


def test_a_model_trained_on_another_front_end_is_refused(model, tmp_path):
    other = replace(model, preprocessing={"log_mel": {"rate_hz": 16000}})
    with pytest.raises(UnsupportedModel, match="16000"):
        board.generate(other, tmp_path)


@pytest.mark.parametrize(("gate", "update"), [
    ("sigmoid", "tanh"), ("quant_sigmoid4", "quant_tanh"), ("tanh", "sigmoid")])
def test_whole_and_sparse_matrices_and_other_nonlinearities_run_too(gate, update, frames, tmp_path):
    random, n, h = np.random.default_rng(2), 32, 24
    w, u, head = ((random.standard_normal(shape) / 6).astype(np.float32)
                  for shape in ((n, h), (h, h), (h, 3)))
    u[random.random(u.shape) < 0.8] = 0.0
    every = np.concatenate(frames) / 2.0**9
    other = quantize(Weights(
        w=(w,), u=(u,), bias_gate=w[0].copy(), bias_update=w[1].copy(), zeta=0.7, nu=0.1,
        gate=gate, update=update, head=head, head_bias=head[0].copy(),
        mean=every.mean(0).astype(np.float32), scale=(1 / every.std(0)).astype(np.float32),
        preprocessing={"log_mel": {}}), features=every)
    assert other.u[0].is_sparse
    board.generate(other, tmp_path)
    made = board.build(M0PLUS, tmp_path, tmp_path / "firmware")
    board.demand_equal(made, board.run(made, frames), board.twin(other, frames))


def test_one_wrong_bit_is_noticed(firmware, model, frames):
    made, right = firmware(M3), board.twin(model, frames)
    ran = board.run(made, frames)
    for name in right._fields:
        wrong = getattr(right, name).copy()
        wrong.flat[-1] ^= 1
        with pytest.raises(ComparisonError, match=name):
            board.demand_equal(made, ran, right._replace(**{name: wrong}))


@each_core
@each_source
def test_flash_and_ram_are_16_and_4_kilobytes_and_the_stack_stays_in_its_part(
    core, source, firmware, sounds, frames
):
    assert board.LIMITS == {"FLASH_BYTES": 16384, "RAM_BYTES": 4096, "STACK_BYTES": 1024}
    made = firmware(core, source)
    assert made.flash_bytes <= 16384
    assert made.ram_bytes <= 4096
    ran = board.run(made, [{"features": frames, "samples": sounds}[source][0]])
    assert ran.stack_bytes == 1024
    assert 100 < ran.stack_used_bytes < ran.stack_bytes - 256


@each_core
@each_source
@pytest.mark.parametrize("memory", ["FLASH_BYTES", "RAM_BYTES"])
def test_a_kilobyte_less_than_needed_does_not_link(
    core, source, memory, firmware, generated, tmp_path
):
    made = firmware(core, source)
    needed = made.flash_bytes if memory == "FLASH_BYTES" else made.ram_bytes
    with pytest.raises(BudgetError, match="overflowed by 1024 bytes"):
        board.build(core, generated, tmp_path, source=source, **{memory: needed - 1024})
    assert not (tmp_path / "firmware.elf").exists()


def test_the_last_byte_needed_decides_whether_it_links(firmware, generated, tmp_path):
    made = firmware(M0PLUS)
    needed = {"FLASH_BYTES": made.flash_bytes, "RAM_BYTES": made.ram_bytes}
    board.build(M0PLUS, generated, tmp_path / "fits", **needed)
    for memory, size in needed.items():
        with pytest.raises(BudgetError):
            board.build(M0PLUS, generated, tmp_path / memory, **{memory: size - 1})


@each_core
def test_a_stack_too_small_faults_before_it_reaches_the_state(core, generated, frames, tmp_path):
    made = board.build(core, generated, tmp_path, STACK_BYTES=128)
    with pytest.raises(EngineError, match="stack"):
        board.run(made, frames[:1])


def test_every_firmware_has_a_recorded_budget(firmware):
    names = {firmware(core, source).name for core in board.CORES for source in board.SOURCES}
    assert json.loads(board.BUDGET.read_text()).keys() == names


@each_core
@each_source
def test_flash_ram_and_instructions_are_within_2_percent_of_the_recorded(
    core, source, firmware, sounds, frames
):
    made = firmware(core, source)
    ran = board.run(made, frames if source == "features" else sounds)
    found, recorded = board.measured(made, ran), json.loads(board.BUDGET.read_text())[made.name]
    assert recorded.keys() == found.keys()
    assert board.beyond(found, recorded) == []


@each_core
@each_source
def test_two_runs_count_the_same_instructions(core, source, firmware, sounds, frames):
    given = frames if source == "features" else sounds
    first, second = (board.run(firmware(core, source), given[:3]) for _ in range(2))
    for part in ("source_instructions", "step_instructions", "result_instructions"):
        assert np.array_equal(getattr(first, part), getattr(second, part))
    assert first.step_instructions.min() > 3976  # at least one for each weight of the cell
    assert (first.source_instructions > 0).all() == (source == "samples")


@each_core
def test_one_step_more_counts_as_one_step(core, firmware, frames):
    shorter, longer = (board.run(firmware(core), [frames[0][:n]]).step_instructions
                       for n in (9, 10))
    assert longer.sum() - shorter.sum() == longer[-1] > 0


def test_a_larger_model_is_beyond_the_budget(frames, tmp_path):
    board.generate(board.random_model(n_hidden=100), tmp_path)
    made = board.build(M3, tmp_path, tmp_path / "firmware")
    found = board.measured(made, board.run(made, frames[:1]))
    words = board.beyond(found, json.loads(board.BUDGET.read_text())[M3.name])
    assert any(word.startswith("instructions_per_step") for word in words)


def test_a_figure_may_be_2_percent_more_or_less():
    recorded = {"instructions_per_step": 1000, "compiler": "a"}
    for figure, beyond in ((980, 0), (1020, 0), (979, 1), (1021, 1)):
        found = {"instructions_per_step": figure, "compiler": "b"}
        assert len(board.beyond(found, recorded)) == beyond
    assert board.beyond({"instructions_per_step": 1021}, recorded) == [
        "instructions_per_step 1021, recorded 1000 (+2.1 %)"]


def test_a_counter_of_another_clock_is_refused(firmware, frames):
    made = replace(firmware(M3), core=M3._replace(tick_ns=50.0))
    with pytest.raises(EngineError, match="a loop of 2000 instructions"):
        board.run(made, frames[:1])


def test_a_compiler_that_is_not_installed_is_named(generated, tmp_path, monkeypatch):
    monkeypatch.setattr(board, "MAKE", "no-such-make")
    with pytest.raises(MissingDependency, match="no-such-make"):
        board.build(M3, generated, tmp_path)


def test_c_that_does_not_compile_is_no_matter_of_budgets(generated, tmp_path):
    shutil.copytree(generated, tmp_path / "model")
    source = tmp_path / "model/model.c"
    source.write_text(source.read_text() + "\nint unfinished(void) { return later; }\n")
    with pytest.raises(EngineError, match="later"):
        board.build(M3, tmp_path / "model", tmp_path / "firmware")


def test_the_command_records_a_budget_and_holds_the_firmware_to_it(
    tmp_path, monkeypatch, run_command, sounds
):
    monkeypatch.setattr(board, "CORES", board.CORES[2:])
    monkeypatch.setattr(board, "recorded", lambda data: sounds[:2])
    monkeypatch.setattr(board, "BUDGET", tmp_path / "budget.json")
    status, out, _ = run_command(board.app, "--record")
    assert status == 0
    assert out.splitlines()[-1] == "wrote   budget.json"
    status, out, _ = run_command(board.app)
    assert status == 0
    assert out.splitlines()[-1] == "budget  within 2% of budget.json"
    figures = json.loads((tmp_path / "budget.json").read_text())
    figures["cortex-m4 samples"]["flash_bytes"] -= 1000
    (tmp_path / "budget.json").write_text(json.dumps(figures))
    status, _, err = run_command(board.app)
    assert status == 1
    assert "cortex-m4 samples: flash_bytes" in err
