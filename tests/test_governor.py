"""The governor: as its plain version decides, with a reason in words, and again from its log."""

from __future__ import annotations

import importlib.util
import json
import math
from datetime import datetime, timedelta
from math import inf, isnan, nan
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from governor_oracle import Oracle, Told
from hypothesis import given, settings
from hypothesis import strategies as st

import edge_sdk
from edge_sdk import _native
from edge_sdk.errors import BudgetError, FormatError, OutputError, ShapeError, VersionError
from edge_sdk.governor import Budget, Choice, Governor, replay
from edge_sdk.governor.__main__ import app
from edge_sdk.governor.log import FLAGS, LIMITS, NUMBERS

FOLDER = Path(__file__).resolve().parent / "vectors"
SIZES = (
    Choice("S", 5, 6, energy_mj=4, accuracy=0.8, risk=0, ram_mb=40),
    Choice("M", 9, 10.8, energy_mj=8, accuracy=0.85, risk=0, ram_mb=80),
    Choice("L", 15, 18, energy_mj=14, accuracy=0.9, risk=0, ram_mb=150),
    Choice("XL", 22, 26.4, energy_mj=22, accuracy=0.92, risk=0, ram_mb=280),
)


def state(**known):
    """A device that knows only what is named."""
    return SimpleNamespace(**{**dict.fromkeys((*NUMBERS, *FLAGS)), **known})


def names(governor, budget, n, **told):
    """The granularities of n decisions, 1 s apart, each run as the profile says."""
    chosen = []
    for i in range(n):
        decision = governor.decide(budget, now_s=float(i), **told)
        governor.observe(decision, decision.choice.latency_p50_ms, now_s=float(i))
        chosen.append(decision.choice.name)
    return chosen


def wordy(caught):
    """Whether an error says what was expected, where, and what to do."""
    text = str(caught.value)
    return text.startswith("expected ") and " - at " in text and "\nhint: " in text


# ---- the same decisions as the plain version's ----------------------------------------------


def none(value):
    return None if isnan(value) else value


def told_native(governor, told):
    governor.allow(*(getattr(told, name) for name in LIMITS))
    flags = {name: {0: False, 1: True}.get(int(getattr(told, name))) for name in FLAGS}
    signals = state(**{name: none(getattr(told, name)) for name in NUMBERS}, **flags)
    return governor.decide(signals, none(told.now_s), none(told.rate_hz))


def equal(oracle, native):
    """Whether two decisions are the same to the last bit."""
    better = _native.NO_CHOICE if oracle.better is None else oracle.better
    fields = ("choice", "met", "missed", "why", "better_missed", "unpaced", "switched",
              "predicted_p95_ms", "better_p95_ms", "wait_s", "slowdown", "allowed_mj", "rate_hz")
    pairs = [(getattr(oracle, name), getattr(native, name)) for name in fields]
    return native.better == better and all(a == b or (a != a and b != b) for a, b in pairs)


def maybe(values):
    return st.one_of(st.just(nan), st.sampled_from(values))


PROFILES = st.lists(st.builds(
    lambda p50, shape, *rest: [p50, p50 * shape, *rest],
    st.floats(0.1, 100), st.floats(1, 2), maybe([0.0, 5.0, 9.0, 20.0]), maybe([0.5, 0.9, 0.95]),
    maybe([0.0, 0.02]), maybe([10.0, 100.0, 400.0])), min_size=1, max_size=6)
CHANGES = {
    "latency_ms": [1.0, 20.0, 60.0, -1.0, inf], "energy_mj": [4.0, 9.0], "memory_mb": [100.0],
    "risk": [0.0, 0.01], "min_accuracy": [0.6, 0.93], "battery_floor_pct": [20.0],
    "last_until_s": [50.0, 5000.0, -5.0, inf], "battery_pct": [19.0, 21.0, 60.0, 250.0, -1.0],
    "energy_left_mj": [0.0, 1e5, -4.0, inf], "battery_power_mw": [800.0, -20.0],
    "thermal_headroom": [0.5, 1.0, 1.3, 40.0], "free_ram_mb": [20.0, 300.0, -1.0],
    "rate_hz": [0.1, 10.0, 0.0, -1.0, inf],
}
EVENT = st.one_of(
    st.tuples(st.just("run"), st.sampled_from([0.5, 1.0, 1.2, 2.0, 4.0]), st.integers(1, 40)),
    st.tuples(st.just("set"), st.sampled_from([(name, value) for name in CHANGES
                                               for value in [*CHANGES[name], nan]])),
    st.tuples(st.just("flag"), st.sampled_from(FLAGS), st.sampled_from([-1, 0, 1])),
    st.tuples(st.just("wait"), st.sampled_from([0.03, 1.0, 15.0, 61.0, 1e7, -50.0])),
    st.tuples(st.just("clock"), st.sampled_from([nan, inf, -inf])),
    st.tuples(st.just("observe"), st.sampled_from([0.0, -1.0, nan, inf, 1e-30, 1e30]),
              st.sampled_from([nan, 3.0, -3.0, inf])),
)


@settings(max_examples=150, deadline=None)
@given(choices=PROFILES, events=st.lists(EVENT, max_size=40), data=st.data())
def test_every_decision_is_the_plain_versions_to_the_last_bit(choices, events, data):
    oracle, native, told = Oracle(choices), _native.Governor(choices), Told(now_s=0.0)
    dt = data.draw(st.sampled_from([0.02, 0.5, 5.0]))
    drawn = np.random.default_rng(data.draw(st.integers(0, 99)))

    def one_decision():
        answer, got = oracle.decide(told), told_native(native, told)
        assert equal(answer, got), (answer, got)
        return answer.choice

    one_decision()
    for kind, *event in events:
        if kind == "run":
            for _ in range(event[1]):
                choice = one_decision()
                latency = choices[choice][0] * event[0] * float(np.exp(drawn.normal() / 9))
                oracle.observe(choice, latency, nan, told.now_s)
                native.observe(choice, latency, None, told.now_s)
                told.now_s += dt
        elif kind == "observe":
            oracle.observe(0, *event, told.now_s)
            native.observe(0, *event, told.now_s)
        elif kind == "set":
            setattr(told, *event[0])
        elif kind == "flag":
            setattr(told, *event)
        else:
            told.now_s = event[0] if kind == "clock" or not math.isfinite(told.now_s) \
                else told.now_s + event[0]
        one_decision()


def generator():
    spec = importlib.util.spec_from_file_location("make_governor", FOLDER / "make_governor.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_vectors_are_those_that_the_plain_version_makes():
    assert (FOLDER / "governor_events.txt").read_text(encoding="ascii") == generator().file(), \
        "run tests/vectors/make_governor.py"


def test_the_vectors_are_met_and_tell_of_every_reason_and_every_limit():
    governor, rows, reasons, limits = None, [], set(), 0
    for line in (FOLDER / "governor_events.txt").read_text(encoding="ascii").splitlines():
        kind, *columns = line.split()
        if kind == "start":
            governor, rows = None, []
        elif kind == "choice":
            rows.append([float(column) for column in columns])
        elif kind in ("observe", "decide"):
            governor = governor or _native.Governor(rows)
            if kind == "observe":
                governor.observe(int(columns[0]), *map(float, columns[1:]))
                continue
            told = Told(*map(float, columns[:17]))
            answer = told_native(governor, told)
            wanted = columns[18:]
            assert [answer.choice, answer.missed, answer.why] == [int(c) for c in wanted[:3]], line
            assert answer.better == (_native.NO_CHOICE if wanted[3] == "-" else int(wanted[3]))
            numbers = (answer.predicted_p95_ms, answer.slowdown, answer.allowed_mj, answer.wait_s)
            np.testing.assert_array_equal(numbers, [float(c) for c in wanted[7:]])
            reasons.add(answer.why)
            limits |= answer.missed | answer.better_missed
    assert reasons == set(range(6))
    assert limits == 127


def test_equal_inputs_leave_equal_states():
    rows = [choice.row() for choice in SIZES]
    twins = [_native.Governor(rows), _native.Governor(rows)]
    for i in range(200):
        for twin in twins:
            twin.allow(25.0, *[nan] * 6)
            twin.observe(twin.decide(None, i * 0.1, None).choice, 9 + i % 7, None, i * 0.1)
    assert twins[0].state() == twins[1].state()
    twins[0].observe(0, 5.0, None, None)
    assert twins[0].state() != twins[1].state()


# ---- the choice ------------------------------------------------------------------------------


def test_the_most_accurate_that_fits_runs_and_the_reason_says_why_not_a_better_one():
    decision = Governor(SIZES).decide(Budget(latency_ms=20), now_s=0)
    assert (decision.choice.name, decision.met, decision.why) == ("L", True, "best")
    assert decision.reason == ("L: the most accurate that keeps p95 18.0 ms within 20 ms; "
                               "XL would miss latency: p95 26.4 ms of 20 ms")


@pytest.mark.parametrize(("budget", "known", "name", "words"), [
    (Budget(), {}, "XL", "XL: the most accurate that fits the budget"),
    (Budget(energy_mj=14), {}, "L", "XL would miss energy: 22 mJ of 14 mJ"),
    (Budget(memory_mb=100), {}, "M", "L would miss memory: 150 MB of 100 MB"),
    (Budget(), {"free_ram_mb": 50}, "S", "M would miss free RAM: it takes 80 MB"),
    (Budget(battery=20), {"battery_pct": 20}, "S",
     "S: the thriftiest, as the battery is at its floor of 20 %"),
    (Budget(battery="20 %"), {"battery_pct": 15, "charging": True}, "XL", "the most accurate"),
    (Budget(battery=20), {"battery_pct": 21}, "XL", "the most accurate"),
    (Budget(battery=20), {"battery_pct": 250}, "XL", "the most accurate"),
    (Budget(latency_ms=20, min_accuracy=0.84), {"power_saver": True}, "M",
     "M: the thriftiest that keeps p95 10.8 ms within 20 ms, as the power saver is on"),
    (Budget(latency_ms=1), {}, "S",
     "S: the fastest, but it misses latency: p95 6.0 ms of 1 ms"),
    (Budget(min_accuracy=0.99), {}, "S", "misses accuracy: 0.8 of 0.99"),
    (Budget(battery="last 6 h"), {}, "XL", "the battery is not paced"),
])
def test_each_limit_picks_its_choice_and_says_so(budget, known, name, words):
    decision = Governor(SIZES).decide(budget, state(**known), now_s=0)
    assert decision.choice.name == name
    assert words in decision.reason
    assert decision.met == (not decision.missed)


def test_a_risk_is_kept_and_an_unknown_cost_misses_a_limit_on_it():
    sizes = [Choice("S", 5, 6, accuracy=0.9, risk=0.05, plan="fast"),
             Choice("M", 9, 10, accuracy=0.85, risk=0.01), Choice("L", 15, 16, accuracy=0.95)]
    assert Governor(sizes).decide(Budget(), now_s=0).choice.name == "L"
    decision = Governor(sizes).decide(Budget(risk=0.02), now_s=0)
    assert decision.choice.name == "M"
    assert decision.reason.endswith("S fast would miss risk: 0.05 of 0.02")
    only = Governor(sizes[2:]).decide(Budget(energy_mj=5, memory_mb=5, risk=0.1), now_s=0)
    assert only.missed == ("energy", "memory", "risk")
    assert "energy: unknown of 5 mJ" in only.reason


def test_equal_accuracies_are_told_apart_by_energy_then_latency_then_order():
    def first(*choices):
        return Governor(choices).decide(Budget(), now_s=0).index

    assert first(Choice("A", 5, 6, energy_mj=4, accuracy=1),
                 Choice("B", 5, 7, energy_mj=3, accuracy=1)) == 1
    assert first(Choice("A", 5, 6, accuracy=1),
                 Choice("B", 5, 7, energy_mj=3, accuracy=1)) == 1  # a known energy comes first
    assert first(Choice("A", 5, 6, accuracy=1), Choice("B", 4, 5, accuracy=1)) == 1
    assert first(Choice("A", 5, 6, accuracy=1), Choice("B", 5, 6, accuracy=1)) == 0
    assert first(Choice("A", 5, 6), Choice("B", 9, 9), Choice("C", 7, 7)) == 2  # ascending order
    assert first(Choice("A", 5, 6, accuracy=0.1), Choice("B", 9, 9)) == 0


def test_what_the_running_choice_holds_counts_as_free_ram():
    governor, budget = Governor(SIZES), Budget()
    assert names(governor, budget, 3, state=state(free_ram_mb=300)) == ["XL"] * 3
    assert names(governor, budget, 3, state=state(free_ram_mb=10)) == ["XL"] * 3


def test_a_budget_nothing_can_meet_runs_the_fastest_and_with_strict_raises():
    governor, budget = Governor(SIZES), Budget(latency_ms=0.5)
    decision = governor.decide(budget, now_s=0)
    assert (decision.choice.name, decision.met, decision.missed) == ("S", False, ("latency",))
    with pytest.raises(BudgetError, match=r"p95 6\.0 ms of 0\.5 ms") as caught:
        governor.decide(budget, now_s=1, strict=True)
    assert wordy(caught)
    assert governor.decide(Budget(latency_ms=7), now_s=2, strict=True).met


def test_a_new_budget_is_followed_at_once_and_an_equal_one_is_no_new_one():
    governor = Governor(SIZES)
    assert names(governor, Budget(latency_ms=7), 2) == ["S", "S"]
    assert names(governor, Budget(latency_ms=50), 2) == ["XL", "XL"]
    for i in range(9):
        governor.observe(SIZES[3], 200.0, now_s=2.0 + i / 9)
    assert governor.decide(Budget(latency_ms=50), now_s=3.0).choice.name != "XL"
    assert governor.decide(Budget(latency_ms=50), now_s=3.1).switched is False


def test_a_throttled_device_never_steps_up_and_says_so():
    governor, budget = Governor(SIZES), Budget(latency_ms=33)
    names(governor, budget, 3)
    for _ in range(9):
        governor.observe(SIZES[3], 44.0, now_s=3.0)
    assert governor.decide(budget, now_s=4.0).choice.name != "XL"
    hot = [state(throttled=True), state(thermal_headroom=1.1)]
    for i in range(400):
        decision = governor.decide(budget, hot[i % 2], now_s=5.0 + i)
        governor.observe(decision, decision.choice.latency_p50_ms, now_s=5.0 + i)
    assert decision.choice.name != "XL"
    assert decision.reason.endswith("XL fits too, but the device throttles")
    assert governor.decide(budget, state(throttled=False), now_s=500.0).choice.name == "XL"


def test_a_choice_that_waits_says_for_how_long():
    governor, budget = Governor(SIZES), Budget(latency_ms=40)
    names(governor, budget, 3)
    for _ in range(9):
        governor.observe(SIZES[3], 44.0, now_s=3.0)
    governor.decide(budget, now_s=3.0)
    for i in range(33):
        governor.observe(SIZES[2], 30.0 if i < 13 else 15.0, now_s=4.0)
    decision = governor.decide(budget, now_s=4.0)
    assert decision.why == "waits"
    assert "XL fits too, and is taken in 9 s" in decision.reason


# ---- the battery -----------------------------------------------------------------------------


def test_the_battery_is_spent_evenly_and_lasts():
    """20 000 s at 1 Hz on 200 J, where XL takes 22 mJ: only 10 mJ an inference are there."""
    governor, budget = Governor(SIZES), Budget(battery="last 20000 s")
    left, spent = 200_000.0, []
    for i in range(20_000):
        decision = governor.decide(budget, state(energy_left_mj=left, charging=False),
                                   now_s=float(i))
        spent.append(decision.choice.energy_mj)
        left -= spent[-1]
    assert 0 <= left < 0.1 * 200_000
    assert np.mean(spent[:2000]) < 1.5 * np.mean(spent)  # even: not all at first
    assert decision.rate_hz == pytest.approx(1.0, rel=0.05)


def test_what_others_drain_is_not_there_to_spend():
    told = {"energy_left_mj": 36e5, "charging": False}  # 10 mJ an inference, 100 mW at 10 Hz

    def allowed(**more):
        return Governor(SIZES).decide(Budget(battery="last 10 h"), state(**told, **more), now_s=0,
                                      rate_hz=10).allowed_mj

    assert allowed() == pytest.approx(10)
    governor = Governor(SIZES)
    governor.observe(SIZES[1], 9, 8, now_s=0)  # 8 mJ at 10 Hz: 80 of the 120 mW are our own
    decision = governor.decide(Budget(battery="last 10 h"), state(**told, battery_power_mw=120),
                               now_s=0, rate_hz=10)
    assert decision.allowed_mj == pytest.approx(6)
    assert decision.choice.name == "S"


def test_charging_lifts_the_pace_and_unknown_energy_is_said():
    budget = Budget(battery="last 6 h")
    poor = {"energy_left_mj": 10.0, "battery_pct": 1.0}
    assert Governor(SIZES).decide(budget, state(**poor), now_s=0, rate_hz=1).choice.name == "S"
    charging = Governor(SIZES).decide(budget, state(**poor, charging=True), now_s=0, rate_hz=1)
    assert (charging.choice.name, charging.allowed_mj) == ("XL", None)
    assert "not paced" not in charging.reason
    blind = [Choice("S", 5, 6), Choice("L", 9, 10)]
    for governor, known in ((Governor(SIZES), {}), (Governor(blind), poor)):
        decision = governor.decide(budget, state(**known), now_s=0, rate_hz=1)
        assert decision.met
        assert "the battery is not paced" in decision.reason


def test_the_floor_is_left_only_a_little_above_it():
    governor, budget = Governor(SIZES), Budget(battery=20)
    chosen = [governor.decide(budget, state(battery_pct=pct), now_s=i).choice.name
              for i, pct in enumerate([21, 20, 21, 20, 22, 23, 21])]
    assert chosen == ["XL", "S", "S", "S", "S", "XL", "XL"]


@pytest.mark.parametrize(("text", "seconds"), [
    ("last until 18:00", 6 * 3600), ("last until 11:59", 24 * 3600 - 60),
    ("last until 12:00", 24 * 3600), ("Last  until 0:30", 12.5 * 3600), ("last 90 min", 5400),
    ("last 1.5h", 5400), (" last 30 s ", 30),
])
def test_a_time_to_last_is_read_and_one_of_the_day_on_the_local_clock(text, seconds):
    noon = datetime(2024, 3, 5, 12, 0)
    governor = Governor(SIZES, clock=lambda: noon)
    decision = governor.decide(Budget(battery=text), state(energy_left_mj=10.0 * seconds),
                               now_s=1e5, rate_hz=1)
    assert decision.allowed_mj == pytest.approx(10)


def test_a_time_of_day_is_looked_up_again_when_the_clocks_part():
    now = [datetime(2024, 3, 5, 12, 0)]
    governor = Governor(SIZES, clock=lambda: now[0])
    budget, device = Budget(battery="last until 18:00"), state(energy_left_mj=6 * 36e3)
    assert governor.decide(budget, device, now_s=0, rate_hz=1).allowed_mj == pytest.approx(10)
    now[0] += timedelta(hours=5)  # asleep: the other clock stood still
    for i in range(100):
        last = governor.decide(budget, device, now_s=61 + i / 100, rate_hz=1)
    assert last.allowed_mj == pytest.approx(60, rel=0.01)


@pytest.mark.parametrize("battery", ["last 6 h", "last until 18:00"])
def test_a_time_to_last_counts_from_the_first_time_that_is_known(battery):
    governor = Governor(SIZES, clock=lambda: datetime(2024, 3, 5, 12, 0))
    budget, device = Budget(battery=battery), state(energy_left_mj=6 * 36e3)
    for now_s in (nan, inf):
        assert governor.decide(budget, device, now_s=now_s, rate_hz=1).allowed_mj is None
    assert governor.decide(budget, device, now_s=7, rate_hz=1).allowed_mj == pytest.approx(10)


# ---- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(("field", "value"), [
    ("latency_ms", 0), ("latency_ms", -1), ("latency_ms", nan), ("latency_ms", inf),
    ("latency_ms", "20"), ("latency_ms", True), ("energy_mj", -1), ("memory_mb", 0),
    ("risk", 1.5), ("risk", -0.1), ("min_accuracy", 92), ("min_accuracy", [1]),
    ("battery", "last until 25:00"), ("battery", "last until 18:60"), ("battery", "until 18:00"),
    ("battery", "last 0 h"), ("battery", "last 6 days"), ("battery", ""), ("battery", 101),
    ("battery", "101 %"), ("battery", -1), ("battery", True), ("battery", nan),
    ("battery", "last 1e9 h"), ("battery", "last 99999999 h"),
])
def test_a_budget_that_is_none_is_refused_in_words(field, value):
    with pytest.raises(BudgetError) as caught:
        Budget(**{field: value})
    assert wordy(caught)
    assert f"`{field}`" in str(caught.value)


@pytest.mark.parametrize("latencies", [(0, 1), (-1, 1), (2, 1), (nan, 1), (1, nan), (1, inf)])
def test_latencies_that_are_no_profile_are_refused(latencies):
    with pytest.raises(ShapeError) as caught:
        Choice("S", *latencies)
    assert wordy(caught)
    with pytest.raises(ShapeError):
        _native.Governor([[*latencies, nan, nan, nan, nan]])


def test_choices_out_of_number_are_refused():
    for choices in ([], SIZES[:1] * 33):
        with pytest.raises(ShapeError) as caught:
            Governor(choices)
        assert wordy(caught)
        with pytest.raises(ShapeError):
            _native.Governor([choice.row() for choice in choices])
    with pytest.raises(ShapeError):
        _native.Governor([[1.0, 2.0]])
    with pytest.raises(ShapeError):
        Choice("S", 1, 2, threads=0)
    assert Governor(SIZES[:1] * 32).decide(Budget(), now_s=0).index == 0


def test_signals_that_are_no_numbers_are_refused_and_change_nothing():
    governor, budget = Governor(SIZES), Budget()
    for device, told in ((state(battery_pct="full"), {}), (None, {"rate_hz": "often"}),
                         (state(free_ram_mb=10**400), {})):
        with pytest.raises(ShapeError) as caught:
            governor.decide(budget, device, now_s=0, **told)
        assert wordy(caught)
    with pytest.raises(ShapeError):
        governor.observe(SIZES[0], "5")
    with pytest.raises(ShapeError) as caught:
        governor.observe(Choice("XXL", 1, 2), 5.0)
    assert wordy(caught)
    assert governor.decide(budget, now_s=0).choice.name == "XL"


@given(st.lists(st.tuples(*[st.one_of(st.none(), st.floats())] * 6,
                          *[st.sampled_from([None, True, False])] * 3), max_size=20))
@settings(max_examples=100, deadline=None)
def test_whatever_the_device_says_the_decision_is_one_of_the_choices(readings):
    governor, budget = Governor(SIZES), Budget(latency_ms=20, battery="last 6 h")
    for *numbers, now_s, charging, throttled, saver in readings:
        device = state(**dict(zip(NUMBERS, numbers, strict=True)),
                       **dict(zip(FLAGS, (charging, throttled, saver), strict=True)))
        decision = governor.decide(budget, device, now_s=nan if now_s is None else now_s)
        governor.observe(decision, numbers[0] or 5.0, numbers[1], now_s=numbers[2] or 0.0)
        assert decision.predicted_p95_ms > 0
        assert math.isfinite(decision.predicted_p95_ms)
        assert decision.reason.startswith(decision.choice.name)


# ---- the log ---------------------------------------------------------------------------------


def logged(out):
    with Governor(SIZES, log=out, clock=lambda: datetime(2024, 3, 5, 12, 0)) as governor:
        for i in range(120):
            budget = Budget(latency_ms=25, battery="last until 18:00") if i % 40 else Budget()
            device = state(energy_left_mj=4e5 - i, battery_pct=50.5, throttled=i > 100) \
                if i % 3 else None
            decision = governor.decide(budget, device, now_s=i * 0.7)
            governor.observe(decision, decision.choice.latency_p50_ms * (2 if i > 60 else 1.1),
                             5.0 if i % 2 else None, now_s=i * 0.7 + 0.1)


def test_a_log_is_decided_again_to_the_same_decisions(tmp_path):
    lines: list[str] = []
    logged(lines)
    logged(tmp_path / "a.log")
    assert (tmp_path / "a.log").read_text(encoding="utf-8").splitlines() == lines
    pairs = list(replay(lines))
    assert len(pairs) == 120
    assert all(written == again for written, again in pairs)
    assert len({written.choice for written, _ in pairs}) > 2
    assert list(replay(tmp_path / "a.log")) == pairs


def test_the_command_counts_equal_decisions_and_fails_on_another(tmp_path, run_command):
    path = tmp_path / "a.log"
    logged(path)
    status, out, _ = run_command(app, "replay", path)
    assert (status, out.splitlines()[-1]) == (0, "check   120/120 the same  ok")
    lines = path.read_text(encoding="utf-8").splitlines()
    other = json.loads(lines[5])
    other["decision"]["choice"] = (other["decision"]["choice"] + 1) % 4
    lines[5] = json.dumps(other)
    path.write_text("\n".join(lines), encoding="utf-8")
    status, out, err = run_command(app, "replay", path)
    assert status == 1
    assert "119/120 the same" in out
    assert "expected the same decisions, got 1 others" in err
    status, out, _ = run_command(app, "replay", path, "--json")
    assert (status, json.loads(out)["first_different"]) == (1, 2)
    assert run_command(app, "replay")[0] == 2


@pytest.mark.parametrize(("number", "line"), [
    (0, "{"), (0, "[]"), (0, "{}"), (0, '{"edge_governor": 1, "choices": [{"granularity": 1}]}'),
    (0, '{"edge_governor": 1, "choices": []}'), (0, '{"edge_governor": 1, "choices": 3}'),
    (1, "nothing"), (1, "{}"), (1, "[]"), (1, '{"decide": {}, "decision": {}}'), (1, "7"),
    (2, '{"observe": {"choice": 9, "latency_ms": 1, "energy_mj": null, "now_s": 0}}'),
    (2, '{"observe": {"choice": -1, "latency_ms": 1, "energy_mj": null, "now_s": 0}}'),
    (2, '{"observe": {"choice": 0, "latency_ms": "x", "energy_mj": null, "now_s": 0}}'),
])
def test_a_damaged_log_is_refused_with_its_line(number, line):
    lines: list[str] = []
    logged(lines)
    lines[number] = line
    with pytest.raises(FormatError) as caught:
        list(replay(lines))
    assert wordy(caught)
    assert f"line {number + 1}" in str(caught.value)


def test_an_absent_an_empty_and_a_newer_log_are_refused(tmp_path):
    with pytest.raises(FormatError):
        list(replay(tmp_path / "none.log"))
    with pytest.raises(FormatError):
        list(replay([]))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError):
        list(replay(tmp_path / "binary"))
    with pytest.raises(VersionError):
        list(replay(['{"edge_governor": 2, "choices": []}']))
    with pytest.raises(OutputError) as caught:
        Governor(SIZES, log=tmp_path / "absent" / "a.log")
    assert wordy(caught)


def test_a_closed_log_is_an_error_and_not_a_silent_loss(tmp_path):
    governor = Governor(SIZES, log=tmp_path / "a.log")
    governor.close()
    with pytest.raises(OutputError):
        governor.decide(Budget(), now_s=0)


def test_the_public_names_are_there_without_torch():
    assert edge_sdk.Budget is Budget
    assert edge_sdk.Governor is Governor
