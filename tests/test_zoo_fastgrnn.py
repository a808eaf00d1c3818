"""The zoo's spoken digits: splits, augmentation, training, figures and the shipped model."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from edge_sdk.audio.logmel import FEATURE_BITS
from edge_sdk.errors import CheckpointError, DataError, UnsupportedModel
from edge_sdk.fastgrnn import from_module
from edge_sdk.nn.fastgrnn import FastGRNNClassifier, STRFastGRNNCell
from edge_sdk.zoo import CARDS, fastgrnn
from edge_sdk.zoo.fastgrnn_card import render
from edge_sdk.zoo.fastgrnn_evaluate import integer_accuracy, quantized, summary
from edge_sdk.zoo.fastgrnn_features import (
    SPEAKERS,
    Augment,
    Augmenter,
    Spoken,
    padded,
    split,
    spoken_digits,
)
from edge_sdk.zoo.fastgrnn_training import (
    FORMS,
    FRONT_END,
    RUNS,
    Form,
    RankLearner,
    accuracy,
    load_model,
    named,
    save,
    train,
)

FLOOR = float(FRONT_END.floor_log2)


def made_up(n=40, seed=0):
    """Words that differ in where their energy lies."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        features = 14.0 + rng.random((rng.integers(12, 20), 32)).astype(np.float32)
        features[:, 3 * (i % 10) : 3 * (i % 10) + 4] += 10.0
        found.append(Spoken(torch.from_numpy(features), i % 10, SPEAKERS[i % 6], i // 10))
    return found


TINY = {"n_hidden": 12, "rank_w": 3, "rank_u": 4, "epochs": 3}


@pytest.mark.parametrize("held_out", ["official", "validation", *SPEAKERS])
def test_a_split_holds_out_what_it_names_and_nothing_twice(held_out):
    every = [Spoken(torch.zeros(1, 1), d, s, i) for d in range(10) for s in SPEAKERS
             for i in range(50)]
    train_part, test = split(every, held_out)
    keys = [{(s.digit, s.speaker, s.index) for s in part} for part in (train_part, test)]
    assert keys[0].isdisjoint(keys[1])
    if held_out in SPEAKERS:
        assert len(test) == 500
        assert {s.speaker for s in test} == {held_out} not in ({s.speaker for s in train_part},)
    else:
        assert len(test) == 300
        assert not any(s.index < 5 for s in (*train_part, *test)) or held_out == "official"


def test_another_split_is_refused():
    with pytest.raises(DataError, match="yweweler"):
        split([], "nobody")


def test_no_augmentation_leaves_a_recording_alone_but_for_faint_noise():
    still = Augment(stretch=0.0, warp=0.0, equalizer=0.0, gain=0.0, pad=0, noise=(-60.0, -60.0),
                    mask=0.0)
    x, lengths = padded([s.features for s in made_up(6)], FLOOR)
    augment = Augmenter(still, FRONT_END, torch.zeros(32), torch.Generator().manual_seed(0))
    mapped, new = augment(x, lengths)
    assert torch.equal(new, lengths)
    inside = torch.arange(x.shape[1]) < lengths[:, None]
    # The floor adds 2**12 to energies of 2**14 and more: at most log2(1 + 1/4).
    difference = (mapped - x)[inside]
    assert difference.min() >= 0.0
    assert difference.max() <= 0.33


def test_augmented_recordings_are_finite_above_the_floor_and_as_long_as_told():
    x, lengths = padded([s.features for s in made_up(30)], FLOOR)
    augment = Augmenter(Augment(), FRONT_END, torch.full((32,), 20.0),
                        torch.Generator().manual_seed(0))
    mapped, new = augment(x, lengths)
    assert torch.isfinite(mapped).all()
    assert (mapped >= FLOOR - 1e-3).all()
    assert mapped.shape[1] == int(new.max())
    assert (new >= lengths * np.exp(-0.36) - 1).all()
    assert (new <= lengths * np.exp(0.36) + 10).all()
    assert not torch.equal(new, lengths)


@pytest.mark.parametrize("form", [
    Form(**TINY), Form(12, epochs=3), Form(12, kept=0.3, epochs=3), Form(**TINY, int8=True),
    Form(**TINY, learnt=True),
], ids=["ranks", "full", "sparse", "int8", "learnt"])
def test_every_form_trains_to_itself_again_and_comes_back_from_its_file(form, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        spoken = made_up()
        model, again = train(form, spoken, seed=1), train(form, spoken, seed=1)
    finally:
        torch.set_num_threads(threads)
    save(model, tmp_path / "m.safetensors", run="x")
    back = load_model(tmp_path / "m.safetensors")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
        assert torch.equal(tensor, back.state_dict()[name])
    assert accuracy(back, spoken) == accuracy(model, spoken)
    cell = back.cell
    if form.kept is not None:
        assert float((cell.U == 0).float().mean()) == pytest.approx(0.7, abs=0.02)
    if form.learnt:
        assert not isinstance(cell, STRFastGRNNCell)
        spent = cell.rank_w * (32 + 12) + cell.rank_u * 24
        assert spent <= 3 * 44 + 4 * 24
    assert cell.quantized == form.int8


def test_training_tells_made_up_words_apart():
    spoken = made_up(120)
    assert accuracy(train(Form(16, epochs=25), spoken, seed=0), spoken) >= 0.8


def test_learnt_ranks_go_where_the_gates_are_strong_and_fill_the_budget():
    torch.manual_seed(0)
    model = FastGRNNClassifier(STRFastGRNNCell(32, 12), 10)
    learner = RankLearner(model, Form(**TINY, learnt=True))
    with torch.no_grad():
        model.cell.m_W.mul_(100.0)
    assert learner.choose() == (4, 2)  # of 228 bytes one of W takes 44, one of U 24
    with torch.no_grad():
        model.cell.m_U.mul_(1e5)
    assert learner.choose() == (1, 7)


def test_weight_decay_alone_closes_gates():
    torch.manual_seed(0)
    model = FastGRNNClassifier(STRFastGRNNCell(32, 12), 10)
    optimizer = torch.optim.AdamW(RankLearner(model, Form(**TINY, learnt=True)).groups(),
                                  weight_decay=0.0)
    before = model.cell.learnt_ranks()
    for _ in range(300):
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    assert before == (12, 12)
    assert model.cell.learnt_ranks() == (0, 0)


def test_runs_are_found_by_how_their_names_begin():
    assert [run.name for run in named(["full-official-s0"])] == ["full-official-s0"]
    assert len(named(["full-official"])) == 5
    assert named([]) == list(RUNS)
    with pytest.raises(UnsupportedModel, match="full-official-s0"):
        named(["half"])


def test_the_summary_takes_speakers_alike_whatever_their_seeds():
    common = {"form": "full", "integer": 0.5, "float32_bytes": 8, "integer_bytes": 2,
              "ranks": (None, None), "n_hidden": 4}
    runs = [{**common, "held_out": "official", "seed": s, "float32": 0.9 + 0.02 * s}
            for s in (0, 1)]
    runs += [{**common, "held_out": "george", "seed": s, "float32": 0.6} for s in (0, 1, 2)]
    runs += [{**common, "held_out": "theo", "seed": 0, "float32": 0.8}]
    row, = summary(runs)
    assert row["float32"] == pytest.approx(0.91)
    assert row["float32_spread"] == pytest.approx(np.std([0.9, 0.92], ddof=1))
    assert row["unheard"] == pytest.approx(0.7)
    assert row["unheard_seeds"] == 1
    assert row["unheard_spread"] is None  # one seed alone has been tried on both
    runs += [{**common, "held_out": "theo", "seed": 1, "float32": 0.9}]
    row, = summary(runs)
    assert row["unheard_spread"] == pytest.approx(np.std([0.7, 0.75], ddof=1))


# --- what is shipped --------------------------------------------------------------------


def card():
    return json.loads((CARDS / f"{fastgrnn.NAME}.json").read_text(encoding="utf-8"))


def test_the_card_is_rendered_from_its_figures():
    text = (CARDS / f"{fastgrnn.NAME}.md").read_text(encoding="utf-8")
    assert text == render(card())


def test_the_shipped_weights_are_those_of_the_card():
    from edge_sdk.checkpoint import model_digest

    assert model_digest(fastgrnn.load()) == card()["weights"]["sha256"]


def test_the_shipped_model_takes_at_most_six_kilobytes():
    weights = card()["weights"]
    assert weights["integer_bytes"] == sum(weights["by_part"].values()) <= 6 * 1024


def test_every_run_of_the_recipe_is_on_the_card():
    assert card()["not_trained"] == []
    assert {run["name"] for run in card()["runs"]} == {run.name for run in RUNS}


def test_a_file_of_other_weights_is_refused(tmp_path):
    from edge_sdk.checkpoint import save_weights

    save_weights(torch.nn.Linear(2, 2), tmp_path / "other.safetensors", {})
    with pytest.raises(CheckpointError, match="spoken-digits"):
        fastgrnn.load(tmp_path / "other.safetensors")


def test_the_shipped_model_reaches_on_the_held_out_words_what_the_card_says(data_root):
    every = spoken_digits(data_root, FRONT_END)
    train_part, test = split(every, "official")
    model = fastgrnn.load()
    run = next(r for r in card()["runs"] if r["name"] == card()["shipped"])
    assert accuracy(model, test) == pytest.approx(run["float32"], abs=1e-9)
    integers = quantized(model, train_part)
    assert integer_accuracy(integers, test) == pytest.approx(run["integer"], abs=1e-9)
    assert integers.n_bytes == card()["weights"]["integer_bytes"]


def test_the_core_computes_the_shipped_model_as_its_integer_twin_does(data_root):
    from edge_sdk.fastgrnn.model import FastGRNN

    every = spoken_digits(data_root, FRONT_END)
    train_part, test = split(every, "official")
    integers = quantized(fastgrnn.load(), train_part)
    core = FastGRNN.load(fastgrnn.runtime_file())
    for spoken in test[::30]:
        frames = np.rint(spoken.features.numpy() * 2**FEATURE_BITS).astype(np.int16)
        logits = core.run(spoken.features.numpy())
        np.testing.assert_array_equal(np.asarray(logits) * 2.0**integers.logit_bits
                                      if logits.dtype == np.float32 else logits,
                                      integers.run(frames))
    assert core.labels == fastgrnn.load().labels
    assert core.early == card()["early"]


def test_the_shipped_weights_are_int8_already():
    from edge_sdk.nn.fastgrnn import fake_quantize

    weights = from_module(fastgrnn.load())
    for factor in (*weights.w, *weights.u):
        np.testing.assert_array_equal(fake_quantize(torch.from_numpy(factor)).numpy(), factor)


def test_forms_are_of_the_sizes_that_their_names_say():
    assert {"6kb", "3kb", "1.5kb"} <= set(FORMS)
    sizes = {run["form"]: run["integer_bytes"] for run in card()["runs"]}
    assert sizes["6kb"] <= 6144
    assert sizes["3kb"] <= 3072
    assert sizes["1.5kb"] <= 1536


def test_the_cards_figures_reach_what_the_model_is_for():
    rows = {row["form"]: row for row in card()["summary"]}
    full, preset = rows["full"], rows["preset"]
    assert all(row["seeds"] == 5 for row in rows.values())
    assert full["float32"] >= 0.97
    assert full["unheard"] >= 0.80
    assert len(full["speakers"]) == 6
    assert preset["float32_bytes"] <= 0.5 * full["float32_bytes"]
    assert preset["float32"] >= full["float32"] - 0.015
    assert all(abs(row["integer"] - row["float32"]) <= 0.005 for row in rows.values())
    assert rows["6kb"]["integer"] >= 0.945
    assert rows["3kb"]["integer"] >= 0.89
