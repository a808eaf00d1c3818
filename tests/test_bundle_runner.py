"""`Runner`: every plan answers what the cascade answers on the engine's own embeddings."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import bundles
import numpy as np
import pytest

from edge_sdk.bundle import Bundle, pack, runner
from edge_sdk.bundle.cases import embed
from edge_sdk.bundle.runner import Runner
from edge_sdk.cascade import Cascade
from edge_sdk.errors import EngineError, FormatError, GranularityError, ShapeError

N = 60


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    for library in ("torch", "onnx", "onnxscript", "onnxruntime", "sklearn"):
        pytest.importorskip(library)
    return Runner(Bundle.open(bundles.packed_digits(tmp_path_factory)))


@pytest.fixture(scope="module")
def cases(digits):
    return digits.bundle.cases().take(np.arange(N), "some")


class Fake:
    """An engine that takes one thread at a time, and fails if a second one enters."""

    concurrent = False
    granularities = ("S", "XL")

    def __init__(self):
        self.metadata = bundles.metadata()
        self.inside = threading.Lock()
        self.calls = []

    def run(self, inputs, granularity):
        if not self.inside.acquire(blocking=False):
            raise EngineError("one thread at a time", "two", hint="lock the engine")
        try:
            self.calls.append(granularity)
            time.sleep(0.001)  # long enough for another thread to come
            if inputs["x"][0, 0] == 99:
                raise EngineError("an input", "99", hint="pass another")
            width = {"S": 1.0, "XL": 2.0}[granularity]
            vector = np.resize(inputs["x"] * width, (1, 8)).astype(np.float32)
            return {"embedding": vector}
        finally:
            self.inside.release()


@pytest.fixture
def fake(tmp_path, monkeypatch):
    engine = Fake()
    monkeypatch.setattr(runner, "load", lambda path, threads: engine)
    return Runner(pack(tmp_path / "b.edge", **bundles.parts(tmp_path)))


def test_plans_are_the_granularities_and_the_cascades(digits, fake):
    assert list(digits.plans) == ["S", "M", "L", "XL", "published"]
    assert list(fake.plans) == ["S", "XL", "dims", "never", "coded"]
    assert digits.plans["published"] is digits.bundle.cascades["published"]


def test_every_plan_answers_as_its_cascade_on_the_engines_embeddings(digits, cases):
    known = embed(digits.engine, cases.inputs, digits.engine.granularities)
    head = digits.bundle.head
    forced = Cascade(head, [("S", 64), ("L", 64)], [0.9999])  # stops at both levels
    digits.plans["forced"] = forced
    try:
        for name, plan in digits.plans.items():
            answers = plan.run(known)
            for i in range(N):
                run = digits.run(name, cases.one(i))
                level = plan.levels[answers.levels[i]]
                assert (run.answer.id, run.answer.place, run.answer.level) == (
                    answers.ids[i], answers.levels[i], level)
                assert run.answer.confidence == answers.confidences[i]
                assert run.embedding.tolist() == known[level.granularity][i].tolist()
        assert set(forced.run(known).levels) == {0, 1}
    finally:
        del digits.plans["forced"]


def test_a_granularity_answers_with_the_largest_score_at_the_largest_dim(digits, cases):
    vectors = embed(digits.engine, cases.inputs, ["M"])["M"]
    slowly = digits.bundle.head.at(vectors).argmax(axis=1)
    assert [digits.run("M", cases.one(i)).answer.id for i in range(N)] == slowly.tolist()


def test_only_the_granularities_that_are_needed_are_run(fake):
    x = {"x": np.ones((1, 3), np.float32)}
    for plan, calls in (("S", ["S"]), ("never", ["S", "XL"]), ("dims", ["XL"])):
        fake.engine.calls.clear()
        fake.run(plan, x)
        assert fake.engine.calls == calls


def test_a_plan_that_is_not_there_is_refused(digits, fake):
    for plan in ("XXL", "", "risk-0.01"):
        with pytest.raises(GranularityError, match="expected one of S, M, L, XL, published"):
            digits.run(plan, {})
    with pytest.raises(FormatError, match="got litert"):
        Runner(digits.bundle, target="litert")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_before_it_reaches_the_engine(bad, digits, cases, fake):
    x = cases.one(0)["image"].copy()
    x[0, 0, 7, 7] = bad
    with pytest.raises(ShapeError, match="finite numbers, got NaN or infinity - at input 'image'"):
        digits.run("S", {"image": x})
    with pytest.raises(ShapeError):
        fake.run("S", {"x": np.array([[1, bad, 2]], np.float32)})
    assert fake.engine.calls == []


@pytest.mark.parametrize("inputs", [
    {}, {"picture": np.zeros((1, 1, 8, 8), np.float32)}, {"image": [[1.0]]},
    {"image": np.zeros((1, 1, 8, 8))}, {"image": np.zeros((2, 1, 8, 8), np.float32)}])
def test_inputs_of_another_form_are_refused(inputs, digits):
    with pytest.raises(ShapeError):
        digits.run("S", inputs)


def test_eight_threads_that_share_a_runner_get_the_answers_of_one(digits, cases):
    work = [(name, i) for i in range(N) for name in digits.plans]

    def answer(item):
        run = digits.run(item[0], cases.one(item[1]))
        return run.answer, run.embedding.tobytes()

    assert digits.engine.concurrent
    alone = [answer(item) for item in work]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(answer, work)) == alone


def test_an_engine_for_one_thread_is_never_entered_by_two(fake):
    rng = np.random.default_rng(0)
    work = [(name, {"x": rng.normal(size=(1, 3)).astype(np.float32)})
            for _ in range(20) for name in fake.plans]
    alone = [fake.run(*item).answer for item in work]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda item: fake.run(*item).answer, work)) == alone
    with ThreadPoolExecutor(8) as pool, pytest.raises(EngineError, match="one thread at a time"):
        list(pool.map(lambda item: fake.engine.run(item[1], "S"), work))  # the engine does mind


def test_an_engine_that_fails_is_free_for_the_next_caller(fake):
    with pytest.raises(EngineError, match="got 99"):
        fake.run("S", {"x": np.full((1, 3), 99, np.float32)})
    assert fake.run("S", {"x": np.ones((1, 3), np.float32)}).embedding.tolist() == [1.0] * 8
