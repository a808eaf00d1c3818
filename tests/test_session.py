"""A session: a bundle, a budget, an answer with its reason."""

from __future__ import annotations

import json
import shutil
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from bundles import packed_digits

import edge_sdk
from edge_sdk.bundle import Bundle, Cases
from edge_sdk.cascade import CodeSignal, Head
from edge_sdk.codes import CodeIndex
from edge_sdk.device import DeviceIdentity, DeviceState, FixedDevice
from edge_sdk.errors import (
    BudgetError,
    FormatError,
    GranularityError,
    ShapeError,
)
from edge_sdk.governor import Budget, replay
from edge_sdk.session import ProfileWarning, Session

HERE = DeviceIdentity(model="a phone", machine="aarch64", cpu="a cpu", n_cores=4, ram_mb=4096.0)
P50_MS = {"S": 10.0, "M": 20.0, "L": 30.0, "XL": 40.0, "published": 12.0}
ACCURACY = {"S": 0.90, "M": 0.93, "L": 0.95, "XL": 0.97, "published": 0.96}


def profile_of(identity: DeviceIdentity = HERE, **changes: Any) -> dict[str, Any]:
    """Return a profile that nobody measured: XL is the best, S the fastest."""
    plans = [{"name": name, "threads": 1, "latency_p50_ms": p50, "latency_p95_ms": 1.1 * p50,
              "energy_mj": p50, "accuracy": ACCURACY[name], "accuracy_n": 100,
              "accuracy_from": "packed", "risk": 0.0 if name == "XL" else None, "ram_mb": 20.0,
              "energy_source": "made up", "modelled_mj": None}
             for name, p50 in P50_MS.items()]
    return {"schema_version": 1, "target": "onnx", "repeats": 10, "load_ms": 1.0, "cases": "none",
            "device": {**vars_of(identity), "key": identity.key}, "plans": plans, "levels": [],
            **changes}


def vars_of(identity: DeviceIdentity) -> dict[str, Any]:
    return {"model": identity.model, "machine": identity.machine, "cpu": identity.cpu,
            "n_cores": identity.n_cores, "ram_mb": identity.ram_mb}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits' bundle with a made-up profile of `HERE`."""
    folder = tmp_path_factory.mktemp("session") / "digits.edge"
    shutil.copytree(packed_digits(tmp_path_factory), folder)
    Bundle.open(folder).replace_profile(profile_of())
    return folder


@pytest.fixture(scope="module")
def session(packed: Path) -> Session:
    return Session.open(packed, device=FixedDevice(identity=HERE))


@pytest.fixture(scope="module")
def cases(packed: Path) -> Cases:
    found = Bundle.open(packed).cases()
    assert found is not None
    return found


@pytest.fixture
def images(cases: Cases) -> np.ndarray:
    return cases.inputs["image"]


def test_a_session_answers_as_its_bundle_was_evaluated(session, cases, images):
    right = [session.classify(image, plan="XL").id for image in images] == cases.labels
    assert right.mean() == pytest.approx(
        session.bundle.manifest.notes["evaluated"]["levels"]["XL"]["64"], abs=0.03)


def test_an_answer_says_what_ran_and_why(session, images):
    answer = session.classify(images[0], plan="published", top=3)
    assert answer.plan == "published"
    assert answer.granularity in ("S", "XL")
    assert answer.dim == 64
    assert answer.label == session.metadata.labels[answer.id]
    assert answer.reason.startswith("plan published; answered at")
    assert answer.latency_ms > 0
    assert answer.met
    assert answer.late is None
    assert next(name for name, _ in answer.top) == answer.label
    probabilities = [p for _, p in answer.top]
    assert len(probabilities) == 3
    assert probabilities == sorted(probabilities, reverse=True)
    assert answer.known is None
    assert answer.code_distance is None


def test_without_budget_and_plan_the_full_model_runs(session, images):
    assert session.bundle.manifest.default == ""
    assert session.classify(images[0]).plan == "XL"


@pytest.mark.parametrize(("limit_ms", "plan"), [(200, "XL"), (35, "L"), (25, "published"),
                                            (11.5, "S")])
def test_a_latency_budget_picks_the_most_accurate_plan_that_fits(packed, images, limit_ms, plan):
    fresh = Session.open(packed, device=FixedDevice(identity=HERE))
    if plan == "L":  # of those that fit 35 ms, the cascade is the most accurate
        plan = "published"
    assert fresh.classify(images[0], budget=Budget(latency_ms=limit_ms)).plan == plan


def test_a_budget_nothing_can_meet_runs_the_fastest_plan_and_says_so(packed, images):
    fresh = Session.open(packed, device=FixedDevice(identity=HERE))
    answer = fresh.classify(images[0], budget=Budget(latency_ms=1e-6))
    assert answer.plan == "S"
    assert not answer.met
    assert answer.late
    with pytest.raises(BudgetError, match="a budget that a plan can meet"):
        fresh.classify(images[0], budget=Budget(latency_ms=1e-6), strict=True)


def test_a_risk_budget_takes_no_plan_that_promises_nothing(packed, images):
    fresh = Session.open(packed, device=FixedDevice(identity=HERE))
    assert fresh.classify(images[0], budget=Budget(risk=0.01)).plan == "XL"


def test_an_empty_battery_is_heard(packed, images):
    device = FixedDevice(DeviceState(battery_pct=5.0, charging=False), identity=HERE)
    answer = Session.open(packed, device=device).classify(images[0], budget=Budget(battery=20))
    assert answer.plan == "S"
    assert "battery" in answer.reason


def test_a_battery_that_reports_nonsense_is_no_battery(packed, images):
    device = FixedDevice(DeviceState(), identity=HERE)
    object.__setattr__(device.state, "battery_pct", 250.0)
    object.__setattr__(device.state, "energy_left_mj", -1.0)
    answer = Session.open(packed, device=device).classify(images[0], budget=Budget(battery=20))
    assert answer.plan == "XL"
    assert answer.met


def test_the_device_is_asked_once_a_second_at_most(packed, images):
    class Counting(FixedDevice):
        asked = 0

        def read(self) -> DeviceState:
            self.asked += 1
            return super().read()

    now = [0.0]
    device = Counting(identity=HERE)
    timed = Session.open(packed, device=device, clock=lambda: now[0])
    for now[0] in (0.0, 0.3, 0.9, 1.1, 1.5, 2.2):
        timed.classify(images[0], budget=Budget(latency_ms=500))
    assert device.asked == 3


def test_every_decision_can_be_logged_and_replayed(packed, images, tmp_path):
    log = tmp_path / "decisions.jsonl"
    logged = Session.open(packed, device=FixedDevice(identity=HERE), log=log)
    for image, limit_ms in zip(images[:30], [15, 100, 1e-6] * 10, strict=True):
        logged.classify(image, budget=Budget(latency_ms=limit_ms))
    assert logged.governor is not None
    logged.governor.close()
    pairs = list(replay(log))
    assert len(pairs) == 30
    assert all(was == again for was, again in pairs)
    assert len({was.choice for was, _ in pairs}) > 1


def test_eight_threads_share_a_session(session, images):
    alone = [session.classify(image, plan="published").id for image in images[:40]]
    found: dict[int, list[int]] = {}

    def work(worker: int) -> None:
        found[worker] = [session.classify(image, budget=Budget(latency_ms=1000)).id
                         if worker % 2 else session.classify(image, plan="published").id
                         for image in images[:40]]

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[worker] == alone for worker in range(0, 8, 2))
    assert all(len(found[worker]) == 40 for worker in range(8))


def test_a_batch_is_answered_one_by_one(session, images):
    assert [answer.id for answer in session.classify_batch(images[:5], plan="S")] == \
        [session.classify(image, plan="S").id for image in images[:5]]


def test_an_input_may_come_with_its_axis_of_one_or_by_name(session, images):
    ids = {session.classify(x, plan="S").id
           for x in (images[0], images[:1], {"image": images[:1]})}
    assert len(ids) == 1


def test_an_embedding_is_a_unit_vector_at_every_trained_dim(session, images):
    whole = session.embed(images[0])
    assert whole.shape == (64,)
    assert whole.dtype == np.float32
    assert np.linalg.norm(whole) == pytest.approx(1, abs=1e-6)
    assert not np.array_equal(whole, session.embed(images[0], granularity="S"))
    with pytest.raises(ShapeError, match=r"one of the trained dims \[64\], got 32"):
        session.embed(images[0], dim=32)


@pytest.mark.parametrize("x", [
    np.zeros((1, 8, 9), np.float32), np.zeros((1, 8, 8)), np.zeros((2, 1, 8, 8), np.float32),
    [[0.0] * 8] * 8, None, "image",
], ids=["shape", "dtype", "batch", "list", "none", "text"])
def test_an_input_of_another_shape_or_dtype_is_refused(session, x):
    with pytest.raises(ShapeError, match=r"expected float32 \[1, 8, 8\]"):
        session.classify(x)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_refused_and_no_class_like_any_other(session, images, bad):
    broken = images[0].copy()
    broken[0, 3, 3] = bad
    with pytest.raises(ShapeError, match="finite numbers, got NaN or infinity"):
        session.classify(broken)


def test_inputs_of_other_names_are_refused(session, images):
    with pytest.raises(ShapeError, match="inputs"):
        session.classify({"picture": images[:1]})


def test_a_plan_that_is_not_there_is_refused(session, images):
    with pytest.raises(GranularityError, match="published"):
        session.classify(images[0], plan="XXL")
    with pytest.raises(BudgetError, match="a budget or a plan"):
        session.classify(images[0], plan="S", budget=Budget(latency_ms=1))


def test_a_budget_needs_a_profile(tmp_path_factory, images):
    bare = Session.open(packed_digits(tmp_path_factory), device=FixedDevice(identity=HERE))
    assert bare.governor is None
    assert bare.classify(images[0]).plan == "XL"
    with pytest.raises(BudgetError, match=r"(?s)a profile of this device.*edge_sdk\.profile"):
        bare.classify(images[0], budget=Budget(latency_ms=100))


def test_a_profile_of_another_device_warns_and_is_measured_again_on_request(
        packed, tmp_path, monkeypatch):
    other = DeviceIdentity(model="a board", machine="armv7l", cpu="x", n_cores=1, ram_mb=512.0)
    with pytest.warns(ProfileWarning, match="the profile is of a phone"):
        Session.open(packed, device=FixedDevice(identity=other))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Session.open(packed, device=FixedDevice(identity=HERE))

    copy = tmp_path / "digits.edge"
    shutil.copytree(packed, copy)
    from edge_sdk import profile

    monkeypatch.setattr(profile, "measure", lambda bundle, target: profile_of(other))
    Session.open(copy, device=FixedDevice(identity=other), reprofile=True)
    stored = Bundle.open(copy).profile_content
    assert stored is not None
    assert stored["device"]["model"] == "a board"


@pytest.mark.parametrize("plans", [None, [{}], [{"name": "S"}], "S"])
def test_a_profile_that_is_none_is_refused(packed, tmp_path, plans):
    copy = tmp_path / "digits.edge"
    shutil.copytree(packed, copy)
    bundle = Bundle.open(copy)

    def opened() -> Session:
        bundle.replace_profile(profile_of(plans=plans))
        return Session(bundle, device=FixedDevice(identity=HERE))

    with pytest.raises(FormatError, match="a profile"):
        opened()


def test_codes_tell_an_input_of_no_class(packed, images, monkeypatch):
    coded = Session.open(packed, device=FixedDevice(identity=HERE))
    embedding = coded._runner(1).embed({"image": images[:1]}, "XL")
    project = Head.build([np.eye(64, dtype=np.float32)[:20]], [np.zeros(20, np.float32)])
    own = CodeSignal(CodeIndex.build(np.array([0], np.uint64), bits=20), (project,)).words(
        embedding[None])
    near = CodeIndex.build(own ^ np.uint64(0b11), bits=20)
    monkeypatch.setattr(coded.bundle, "codes", CodeSignal(near, (project,)))
    for limit, known in ((2, False), (3, True)):
        manifest = json.loads(coded.bundle.manifest.to_json())
        del manifest["seal"]
        changed = type(coded.bundle.manifest)(**{**vars(coded.bundle.manifest),
                                                 "unknown_distance": limit})
        monkeypatch.setattr(coded.bundle, "manifest", changed)
        answer = coded.classify(images[0], plan="XL")
        assert answer.code_distance == 2
        assert answer.known is known


def test_the_package_offers_sessions_by_name():
    assert edge_sdk.Session is Session
    assert edge_sdk.Bundle is Bundle


def test_every_engine_gives_the_same_answers_alone_and_to_four_threads(tmp_path, images):
    pytest.importorskip("executorch")
    pytest.importorskip("litert_torch")
    from edge_sdk.bundle.reference import pack_reference

    targets = ("onnx", "litert", "executorch")
    bundle = pack_reference("matvit-digits", tmp_path / "all.edge", targets=targets)
    ids: dict[str, list[int]] = {}
    embeddings = []
    for target in targets:
        session = Session(bundle, target=target, device=FixedDevice(identity=HERE))
        ids[target] = [session.classify(image, plan="published").id for image in images[:50]]
        embeddings.append(session.embed(images[0], granularity="M"))
        found: list[list[int]] = []

        def work(shared: Session = session, to: list[list[int]] = found) -> None:
            to.append([shared.classify(image, plan="published").id for image in images[:50]])

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [ids[target]] * 4
    assert ids["onnx"] == ids["litert"] == ids["executorch"]
    assert np.ptp(embeddings, axis=0).max() < 1e-5
