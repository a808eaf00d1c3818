"""`Cascade`: the first level that is sure answers, by every way of asking, as the oracle says."""

from __future__ import annotations

import importlib.util
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_sdk import _native
from edge_sdk.cascade import Answer, Cascade, CodeSignal, Head, Level, signals
from edge_sdk.cascade.outcomes import Outcomes
from edge_sdk.codes import CodeIndex
from edge_sdk.errors import CalibrationError, CodeError, FormatError, ShapeError

FOLDER = Path(__file__).resolve().parent / "vectors"
DIMS = (2, 4, 8, 16)
N, N_CLASSES = 120, 21
CORE_SIGNALS = ("max_softmax", "margin", "entropy")
LEVELS = [("S", 2), ("S", 4), ("M", 4), ("M", 8), ("M", 16), ("XL", 16)]
SOME = settings(max_examples=40, deadline=None,
                suppress_health_check=[HealthCheck.function_scoped_fixture])


def load_generator():
    spec = importlib.util.spec_from_file_location("make_mrl", FOLDER / "make_mrl.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=_native.isas())
def isa(request):
    before = _native.isa()
    _native.use_isa(request.param)
    yield request.param
    _native.use_isa(before)


def head_of(*, tied=True, n_classes=N_CLASSES, normalized=False, seed=0):
    rng = np.random.default_rng(seed)
    depths = DIMS[-1:] if tied else DIMS
    return Head.build([rng.normal(size=(n_classes, depth)) for depth in depths],
                      [rng.normal(size=n_classes) for _ in depths], tied=tied, dims=DIMS,
                      normalized=normalized, scale=8.0 if normalized else 1.0)


def embeddings_of(levels=LEVELS, n=N, seed=1):
    """Embeddings by granularity that mostly agree, so that answers do."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, DIMS[-1]))
    names = dict.fromkeys(granularity for granularity, _ in levels)
    return {name: (common + 0.3 * rng.normal(size=common.shape)).astype(np.float32)
            for name in names}


LABELS = np.arange(N) % N_CLASSES


def cascade_of(thresholds=None, *, levels=LEVELS, head=None, **options):
    given_ = np.full(len(levels) - 1, np.inf) if thresholds is None else thresholds
    return Cascade(head or head_of(), levels, given_, **options)


def embed_of(x, case):
    return lambda granularity: x[granularity][case]


def same_as_outcomes(cascade, x, n=N):
    """Whether `run` and `classify` are what `Outcomes.leave` says of every level's answers."""
    every = cascade.outcomes(x, LABELS[:n])
    wanted = every.leave(cascade.thresholds)
    cases = np.arange(n)
    ids, sure = every.predictions[cases, wanted], every.confidences[cases, wanted]
    found = cascade.run(x)
    assert np.array_equal(found.levels, wanted)
    assert np.array_equal(found.ids, ids)
    assert found.confidences.tobytes() == sure.tobytes()
    for case in cases:
        one = cascade.classify(embed_of(x, case))
        assert (one.id, one.place, one.level) == \
            (ids[case], wanted[case], cascade.levels[wanted[case]])
        assert np.float32(one.confidence) == sure[case]
    return found


# ---- what every level answers -------------------------------------------------------------


@pytest.mark.parametrize("signal", CORE_SIGNALS)
@pytest.mark.parametrize("tied", [False, True])
def test_outcomes_are_the_logits_and_the_signals_of_every_level(isa, tied, signal):
    head, x = head_of(tied=tied, normalized=not tied), embeddings_of()
    every = cascade_of(head=head, signal=signal).outcomes(x, LABELS)
    for place, (granularity, dim) in enumerate(LEVELS):
        logits = head.at(x[granularity], dim)
        assert np.array_equal(every.predictions[:, place], logits.argmax(axis=1))
        wanted = signals.SIGNALS[signal](logits)
        np.testing.assert_allclose(every.confidences[:, place], wanted, atol=1e-5)
        assert np.abs(every.confidences[:, place] - wanted).max() < 1e-6


@pytest.mark.parametrize("signal", CORE_SIGNALS)
def test_agreement_is_that_with_the_level_before_also_across_granularities(signal):
    x = embeddings_of()
    plain = cascade_of(signal=signal).outcomes(x, LABELS)
    agreed = cascade_of(signal=signal, agree=True).outcomes(x, LABELS)
    assert np.array_equal(agreed.predictions, plain.predictions)
    wanted = signals.agreement(plain.predictions, plain.confidences).astype(np.float32)
    assert agreed.confidences.tobytes() == wanted.tobytes()
    border = plain.predictions[:, 1] != plain.predictions[:, 2]  # from S/4 to M/4
    assert 0 < border.sum() < N


@pytest.mark.parametrize("signal", [1, 2, 3])
@pytest.mark.parametrize("n_classes", [1, 16, 63, 65, 200])
def test_what_a_step_adds_to_the_steps_before_is_as_if_from_scratch(isa, n_classes, signal):
    head, x = head_of(n_classes=n_classes, normalized=True), embeddings_of()["S"]
    ids, sure = _native.Steps(head, DIMS, [0.0] * 4, signal).every(x)
    cuts = [3, 4, 9, 13]
    between = _native.Steps(head, cuts, [0.0] * 4, signal, interpolate=True).every(x)
    for place in range(4):
        alone = _native.Steps(head, DIMS[place : place + 1], [0.0], signal).every(x)
        assert np.array_equal(ids[:, place], alone[0][:, 0])
        assert sure[:, place].tobytes() == alone[1][:, 0].tobytes()
        alone = _native.Steps(head, cuts[place : place + 1], [0.0], signal,
                              interpolate=True).every(x)
        assert between[1][:, place].tobytes() == alone[1][:, 0].tobytes()


def test_costs_are_dims_of_one_granularity_and_places_of_several():
    x = embeddings_of()
    assert cascade_of().outcomes(x, LABELS).costs.tolist() == [1, 2, 3, 4, 5, 6]
    one = [("S", dim) for dim in DIMS]
    assert cascade_of(levels=one).outcomes(x["S"], LABELS).costs.tolist() == list(DIMS)
    given_ = [1.0, 1.5, 9.0, 9.0]
    assert cascade_of(levels=one).outcomes(x["S"], LABELS, costs=given_).costs.tolist() == given_


# ---- who answers ---------------------------------------------------------------------------


@pytest.mark.parametrize("agree", [False, True])
@pytest.mark.parametrize("signal", CORE_SIGNALS)
@pytest.mark.parametrize("tied", [False, True])
def test_run_and_classify_leave_where_the_oracle_does(tied, signal, agree):
    thresholds = {"max_softmax": [0.9, 0.9, 0.8, 0.9, 0.9], "margin": [0.9, 0.8, 0.7, 0.8, 0.8],
                  "entropy": [0.9, 0.8, 0.7, 0.8, 0.8]}[signal]
    cascade = cascade_of(thresholds, head=head_of(tied=tied), signal=signal, agree=agree)
    found = same_as_outcomes(cascade, embeddings_of())
    assert len(np.unique(found.levels)) >= 4


@given(st.data())
@SOME
def test_whatever_the_thresholds_run_and_classify_leave_where_the_oracle_does(data):
    start = data.draw(st.integers(0, len(LEVELS) - 1))
    levels = LEVELS[start : data.draw(st.integers(start + 1, len(LEVELS)))]
    options = {"signal": data.draw(st.sampled_from(CORE_SIGNALS)),
               "agree": data.draw(st.booleans())}
    x = {name: vectors[:12] for name, vectors in embeddings_of().items()}
    observed = cascade_of(levels=levels, **options).outcomes(x, LABELS[:12]).confidences
    # A confidence that occurs, so that thresholds are met exactly.
    limit = st.one_of(st.sampled_from([-np.inf, np.inf, 0.0, 1.0]), st.floats(0, 1, width=32),
                      st.sampled_from(observed.reshape(-1).tolist()))
    thresholds = [data.draw(limit) for _ in levels[1:]]
    same_as_outcomes(cascade_of(thresholds, levels=levels, **options), x, n=12)


def test_at_exactly_the_threshold_a_case_stays():
    x = embeddings_of(n=1)
    sure = cascade_of().outcomes(x, LABELS[:1]).confidences[0]
    below = np.nextafter(sure[:-1], np.float32(-1))
    assert cascade_of(sure[:-1]).run(x).levels.tolist() == [5]
    for place in range(5):
        thresholds = sure[:-1].copy()
        thresholds[place] = below[place]
        assert cascade_of(thresholds).run(x).levels.tolist() == [place]
        assert cascade_of(thresholds).classify(embed_of(x, 0)).place == place


def test_infinite_thresholds_mean_all_and_none():
    x = embeddings_of()
    assert set(cascade_of([-np.inf] * 5).run(x).levels) == {0}
    assert set(cascade_of([np.inf] * 5).run(x).levels) == {5}
    assert set(cascade_of([np.inf, np.inf, -np.inf, 0, 0]).run(x).levels) == {2}


def test_one_level_alone_always_answers():
    x = embeddings_of()
    found = Cascade(head_of(), [("S", 8)]).run(x["S"])
    assert np.array_equal(found.ids, head_of().at(x["S"], 8).argmax(axis=1))
    assert set(found.levels) == {0}


def test_a_model_runs_only_for_the_granularities_that_are_needed_and_once_for_each():
    x = embeddings_of()
    cascade = cascade_of([0.7, 0.7, 0.8, 0.9, 0.9])
    needed = {0: ["S"], 1: ["S"], 2: ["S", "M"], 3: ["S", "M"], 4: ["S", "M"],
              5: ["S", "M", "XL"]}
    places = set()
    for case in range(N):
        asked = []

        def embed(granularity, asked=asked, case=case):
            asked.append(granularity)
            return x[granularity][case]

        place = cascade.classify(embed).place
        places.add(place)
        assert asked == needed[place]
    assert {0, 1, 2, 5} <= places


def test_an_answer_says_which_level_gave_it():
    x = embeddings_of(n=1)
    one = cascade_of([np.inf, np.inf, -np.inf, 0, 0]).classify(embed_of(x, 0))
    assert isinstance(one, Answer)
    assert one.level == Level("M", 4) == ("M", 4)
    assert str(one.level) == "M/4"
    assert one.id == head_of().at(x["M"][0], 4).argmax()


def test_the_same_bytes_come_from_every_processor():
    x, made = embeddings_of(), {}
    best = _native.isa()
    for isa in _native.isas():
        _native.use_isa(isa)
        found = [cascade_of([0.6] * 5, signal=signal, head=head_of(n_classes=150)).run(x)
                 for signal in CORE_SIGNALS]
        _native.use_isa(best)
        made[isa] = b"".join(part.tobytes() for one in found
                             for part in (one.ids, one.levels, one.confidences))
    assert len(set(made.values())) == 1


def test_vectors_are_answered_to_the_bit(isa):
    make_mrl = load_generator()
    names = dict(zip(make_mrl.SIGNALS, (1, 2, 3), strict=True))
    for case in (*make_mrl.by_hand(), *make_mrl.by_recipe()):
        one, x = case.head(), case.embeddings()
        head = Head.build(one.weights, one.biases, tied=one.tied, dims=one.dims,
                          normalized=one.normalized, scale=one.scale)
        dims, limits = zip(*case.thresholds(one, x[0]), strict=True)
        steps = _native.Steps(head, dims, [float(limit) for limit in limits], names[case.signal],
                              "a" in case.flags, "i" in case.flags)
        previous = np.array(case.previous or [_native.NONE] * case.n, np.uint32)
        ids, sure = steps.every(x, previous)
        for row in range(case.n):
            wanted = one.verdicts(x[row], list(zip(dims, limits, strict=True)), case.signal,
                                  agree="a" in case.flags, previous=int(previous[row]))
            assert ids[row].tolist() == [verdict[0] for verdict in wanted], case.name
            bits = np.array([verdict[2] for verdict in wanted], np.float32)
            assert sure[row].tobytes() == bits.tobytes(), case.name
            leaves = next((v for v in wanted if v[3]), wanted[-1])
            assert steps.one(x[row], int(previous[row])) == leaves, case.name


def test_confidences_of_the_vectors_are_the_signals_in_float64():
    make_mrl = load_generator()
    names = {"softmax": "max_softmax"}
    for case in (*make_mrl.by_hand(), *make_mrl.by_recipe()):
        one, x = case.head(), case.embeddings()
        for row in x:
            for dim, _ in case.steps:
                logits = one.logits(row, dim)
                wanted = signals.SIGNALS[names.get(case.signal, case.signal)](logits[None])[0]
                assert abs(make_mrl.confidence(logits, case.signal) - wanted) < 1e-5, case.name


def test_threads_share_a_cascade():
    x, cascade = embeddings_of(), cascade_of([0.6] * 5, agree=True)
    wanted = cascade.run(x)

    def all_of_it(_):
        answers = [cascade.classify(embed_of(x, case)) for case in range(N)]
        return cascade.run(x), answers

    with ThreadPoolExecutor(4) as pool:
        for found, answers in pool.map(all_of_it, range(8)):
            assert np.array_equal(found.ids, wanted.ids)
            assert np.array_equal(found.levels, wanted.levels)
            assert found.confidences.tobytes() == wanted.confidences.tobytes()
            assert [one.id for one in answers] == wanted.ids.tolist()
            assert [one.place for one in answers] == wanted.levels.tolist()


# ---- codes ---------------------------------------------------------------------------------


def code_signal(bits=8):
    rng = np.random.default_rng(5)
    codes = rng.permutation(1 << bits)[:N_CLASSES].astype(np.uint64)
    project = Head.build([rng.normal(size=(bits, DIMS[-1]))], [np.zeros(bits)])
    return CodeSignal(CodeIndex.build(codes, bits=bits), (project,))


def test_the_signal_of_codes_is_the_margin_of_the_embedding_s_word():
    levels, x, codes = [("S", 4), ("M", 8), ("XL", 16)], embeddings_of(), code_signal()
    cascade = cascade_of([0.2, 0.1], levels=levels, signal="llc_margin", codes=codes)
    found = same_as_outcomes(cascade, x)
    assert set(found.levels) == {0, 1, 2}
    every = cascade.outcomes(x, LABELS)
    for place, (granularity, dim) in enumerate(levels):
        assert np.array_equal(every.predictions[:, place],
                              head_of().at(x[granularity], dim).argmax(axis=1))
        for case in range(N):
            scores = codes.scores(x[granularity][case])[0]
            word = sum(1 << j for j, score in enumerate(scores) if score >= 0)
            near = sorted(bin(int(code) ^ word).count("1") for code in codes.codes.codes)
            assert every.confidences[case, place] == np.float32((near[1] - near[0]) / 8)


@pytest.mark.parametrize(("levels", "options"), [
    ([("S", 4), ("S", 8)], {"signal": "llc_margin", "codes": True}),
    ([("S", 4), ("M", 8)], {"signal": "llc_margin", "codes": False}),
    ([("S", 4), ("M", 8)], {"signal": "max_softmax", "codes": True}),
    ([("S", 4), ("M", 8)], {"signal": "llc_margin", "codes": True, "agree": True}),
], ids=["two dims", "no codes", "codes for nothing", "agree"])
def test_codes_go_with_their_signal_and_one_dim_each(levels, options):
    codes = code_signal() if options["codes"] else None
    with pytest.raises(ShapeError):
        cascade_of([0.5], levels=levels, **options | {"codes": codes})


# ---- learning --------------------------------------------------------------------------------


def test_thresholds_are_learnt_as_published_and_say_where_they_come_from():
    x = embeddings_of()
    cascade = Cascade.learn(head_of(), LEVELS, x, LABELS, data="random")
    assert cascade.provenance["method"] == "published"
    assert cascade.provenance["data"] == "random"
    assert cascade.provenance["n"] == N
    applied = cascade.outcomes(x, LABELS).apply(cascade.thresholds)
    assert cascade.provenance["accuracy"] == applied.accuracy
    assert cascade.provenance["full_accuracy"] == applied.full_accuracy
    assert cascade.provenance["mean_cost"] == applied.mean_cost
    json.dumps(cascade.to_dict(), allow_nan=False)


def test_thresholds_are_learnt_with_a_promise():
    levels = [("S", 4), ("S", 16)]
    x = embeddings_of(levels, n=3000)["S"]
    labels = head_of().at(x).argmax(axis=1)
    cascade = Cascade.learn(head_of(), levels, x, labels, epsilon=0.05, delta=0.1, seed=3)
    origin = cascade.provenance
    assert (origin["epsilon"], origin["delta"], origin["seed"], origin["n"]) == (0.05, 0.1, 3, 3000)
    assert origin["full_accuracy"] == 1
    assert origin["mean_cost"] < 16
    assert origin["full_accuracy"] - origin["accuracy"] < 0.05
    json.dumps(cascade.to_dict(), allow_nan=False)
    with pytest.raises(CalibrationError):
        Cascade.learn(head_of(), levels, x[:10], labels[:10], epsilon=0.01)


def test_the_digest_of_the_data_changes_with_any_number():
    x, cascade = embeddings_of(), cascade_of()
    first = cascade.digest(x, LABELS)
    assert cascade.digest(embeddings_of(), LABELS.copy()) == first
    for granularity in x:
        changed = embeddings_of()
        changed[granularity][7, 3] = np.nextafter(changed[granularity][7, 3], np.float32(9))
        assert cascade.digest(changed, LABELS) != first
    labels = LABELS.copy()
    labels[0] += 1
    assert cascade.digest(x, labels) != first
    assert Cascade.learn(head_of(), LEVELS, x, LABELS).provenance["data_sha256"] == first


# ---- there and back --------------------------------------------------------------------------


@pytest.mark.parametrize("options", [
    {}, {"signal": "margin", "agree": True}, {"signal": "entropy", "interpolate": True},
    {"provenance": {"method": "by hand", "n": 3}},
])
def test_a_stored_cascade_comes_back_as_it_was(options):
    thresholds = [np.inf, -np.inf, 0.1, np.float32(1) / 3, 0.9]
    made = cascade_of(thresholds, **options)
    text = json.dumps(made.to_dict(), allow_nan=False)
    again = Cascade.from_dict(json.loads(text), made.head)
    assert again.levels == made.levels
    assert again.thresholds.tobytes() == made.thresholds.tobytes()
    assert again.to_dict() == made.to_dict()
    x = embeddings_of()
    assert np.array_equal(again.run(x).levels, made.run(x).levels)


def test_a_stored_cascade_of_codes_comes_back_with_its_codes():
    levels, codes = [("S", 4), ("M", 8)], code_signal()
    made = cascade_of([0.2], levels=levels, signal="llc_margin", codes=codes)
    again = Cascade.from_dict(made.to_dict(), made.head, codes=codes)
    x = embeddings_of()
    assert np.array_equal(again.run(x).levels, made.run(x).levels)
    plain = cascade_of([0.2], levels=levels).to_dict()
    assert Cascade.from_dict(plain, made.head, codes=codes).signal == "max_softmax"


GOOD = cascade_of([0.5] * 5).to_dict()


@pytest.mark.parametrize("stored", [
    None, [], "cascade", 7, {},
    *({key: value for key, value in GOOD.items() if key != missing} for missing in GOOD),
    GOOD | {"levels": None}, GOOD | {"levels": 3}, GOOD | {"levels": [["S"]]},
    GOOD | {"levels": [["S", "wide"]]}, GOOD | {"levels": [["S", 1e999]]},
    GOOD | {"thresholds": ["sure"] * 5}, GOOD | {"thresholds": None},
    GOOD | {"thresholds": [[0.5]] * 5}, GOOD | {"provenance": "x"}, GOOD | {"provenance": 3},
])
def test_what_is_no_stored_cascade_is_refused(stored):
    with pytest.raises(FormatError) as caught:
        Cascade.from_dict(stored, head_of(), where="manifest.json")
    assert caught.value.where == "manifest.json"


@pytest.mark.parametrize("stored", [
    GOOD | {"levels": []}, GOOD | {"levels": [["S", 3]] * 6}, GOOD | {"thresholds": [0.5]},
    GOOD | {"thresholds": ["nan"] * 5}, GOOD | {"signal": "mood"}, GOOD | {"signal": ["margin"]},
    GOOD | {"signal": "llc_margin"},
])
def test_a_stored_cascade_that_does_not_fit_the_head_is_refused(stored):
    with pytest.raises(ShapeError):
        Cascade.from_dict(stored, head_of())


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(("levels", "thresholds", "options"), [
    ([], [], {}),
    ([("S", 4), ("S", 4)], [0.5], {}),
    ([("S", 8), ("S", 4)], [0.5], {}),
    ([("S", 4), ("M", 4), ("S", 8)], [0.5, 0.5], {}),
    ([("S", 3)], [], {}),
    ([("S", 17)], [], {"interpolate": True}),
    ([("S", 0)], [], {"interpolate": True}),
    ([("S", 4), ("S", 8)], [], {}),
    ([("S", 4), ("S", 8)], [0.5, 0.5], {}),
    ([("S", 4), ("S", 8)], [np.nan], {}),
    ([("S", 4)], [], {"signal": "mood"}),
])
def test_levels_that_can_not_be_tried_are_refused(levels, thresholds, options):
    with pytest.raises(ShapeError):
        Cascade(head_of(), levels, thresholds, **options)


def test_a_head_of_several_matrices_is_not_cut_between_them():
    Cascade(head_of(tied=True), [("S", 3)], interpolate=True)
    with pytest.raises(ShapeError, match="one of the trained dims"):
        Cascade(head_of(tied=False), [("S", 3)], interpolate=True)


@pytest.mark.parametrize("vector", [
    np.zeros(15, np.float32), np.zeros(16), np.zeros((2, 16), np.float32),
    np.zeros((0, 16), np.float32), [0.0] * 16, None,
], ids=["short", "float64", "two", "none of them", "a list", "None"])
def test_one_input_has_one_embedding(vector):
    with pytest.raises(ShapeError):
        cascade_of([0.5] * 5).classify(lambda _: vector)


def test_an_embedding_may_be_a_row_of_one_scattered_or_longer():
    cascade, x = cascade_of([0.6] * 5), embeddings_of()["S"]
    wanted = cascade.classify(lambda _: x[0])
    wide = np.repeat(x, 2, axis=1)
    for same in (x[:1], wide[0, ::2], np.concatenate([x[0], x[1]]), np.asfortranarray(x)[0]):
        assert cascade.classify(lambda _, same=same: same) == wanted


def test_errors_of_the_model_itself_are_passed_on():
    def broken(granularity):
        raise TypeError(granularity)

    with pytest.raises(TypeError, match=r"^S$"):
        cascade_of().classify(broken)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e16])
def test_embeddings_that_are_not_finite_are_refused(bad):
    x, cascade = embeddings_of(), cascade_of()
    x["M"][3, 9] = bad
    with pytest.raises(CodeError):
        cascade.run(x)
    with pytest.raises(CodeError):
        cascade.classify(embed_of(x, 3))
    assert cascade.classify(embed_of(x, 2)).place == 5


def test_embeddings_of_every_granularity_are_asked_for_and_of_the_same_inputs():
    x, cascade = embeddings_of(), cascade_of()
    with pytest.raises(ShapeError, match="embeddings of S, M, XL, got S, XL"):
        cascade.run({"S": x["S"], "XL": x["XL"]})
    with pytest.raises(ShapeError, match="embeddings of S, M, XL"):
        cascade.run(x["S"])
    with pytest.raises(ShapeError, match="as many embeddings"):
        cascade.run(x | {"M": x["M"][:-1]})
    assert len(cascade.run({name: rows[:0] for name, rows in x.items()}).ids) == 0


def test_labels_must_fit_the_embeddings():
    x, cascade = embeddings_of(), cascade_of()
    assert isinstance(cascade.outcomes(x, LABELS), Outcomes)
    with pytest.raises(ShapeError):
        cascade.outcomes(x, LABELS[:-1])


def test_of_one_granularity_the_embedding_itself_is_enough():
    x = embeddings_of()[LEVELS[0][0]]
    cascade = Cascade(head_of(), [(LEVELS[0][0], dim) for dim in DIMS], [0.5] * (len(DIMS) - 1))
    for row in x[:5]:
        assert cascade.classify(row) == cascade.classify(lambda _, row=row: row)


def test_of_several_granularities_one_embedding_is_refused():
    with pytest.raises(ShapeError, match="a function that embeds at"):
        cascade_of().classify(embeddings_of()[LEVELS[0][0]][0])
