"""Energy of a span: counters that wrap, vanish or stand still, gauges of power, and the model."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.energy import (
    BatteryCounter,
    Energy,
    Meter,
    PmicCounter,
    RaplCounter,
    modelled,
    pmic_power_mw,
)
from edge_sdk.errors import EdgeError

RANGE_UJ = 262_143_328_850
PACKAGE = "sys/class/powercap/intel-rapl:0/"
BATTERY = "sys/class/power_supply/BAT0/"
DISCHARGING = {BATTERY + "type": "Battery", BATTERY + "status": "Discharging",
               BATTERY + "power_now": "5000000"}
# Written after the form of a Raspberry Pi 5's answer; the figures are made up.
ADC = """\
   3V3_SYS_A current(1)=0.10000000A
  VDD_CORE_A current(7)=2.00000000A
   3V3_SYS_V volt(9)=3.30000000V
  VDD_CORE_V volt(15)=0.80000000V
     EXT5V_V volt(24)=5.10000000V
      BATT_V volt(25)=0.01000000V
"""
ADC_MW = 1e3 * (0.1 * 3.3 + 2.0 * 0.8)


def plant(root: Path, files: dict[str, str]) -> Path:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return root


def package(number: int, energy_uj: int | str, name: str | None = None) -> dict[str, str]:
    folder = f"sys/class/powercap/intel-rapl:{number}/"
    return {folder + "name": name or f"package-{number}\n", folder + "energy_uj": f"{energy_uj}\n",
            folder + "max_energy_range_uj": f"{RANGE_UJ}\n"}


class Clock:
    """Seconds that pass when told to; `then` runs after each wait."""

    def __init__(self):
        self.now = 100.0
        self.then = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.then()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def meter(root: Path, clock: Clock, **options) -> Meter:
    return Meter(root=root, clock=clock, sleep=clock.sleep, background=False, **options)


def rapl_span(root: Path, clock: Clock, readings: list[str], seconds: float = 1.0,
              **options) -> Energy:
    """Return the energy of a span in which energy_uj takes these values, one a second."""
    plant(root, package(0, readings[0]))
    measured = meter(root, clock, **options)
    measured.start()
    for n, reading in enumerate(readings[1:]):
        clock.sleep(seconds)
        plant(root, {PACKAGE + "energy_uj": reading})
        if n < len(readings) - 2:
            measured.sample()
    return measured.stop()


# ---- which counter --------------------------------------------------------------------


def test_a_machine_without_counters_measures_nothing_and_says_so(tmp_path, clock):
    bare = meter(tmp_path, clock)
    with bare:
        clock.sleep(60)
    assert bare.source == "none"
    assert bare.energy == Energy(None, "none: no energy counter can be read here", False)
    assert bare.idle(10) is None


def test_rapl_comes_before_the_pi_and_the_pi_before_the_battery(tmp_path, clock):
    def run(arguments):
        assert arguments == ["vcgencmd", "pmic_read_adc"]
        return ADC

    plant(tmp_path, DISCHARGING)
    assert meter(tmp_path, clock).source == BatteryCounter.source == "battery current"
    assert meter(tmp_path, clock, run=run).source == PmicCounter.source == "pi 5 pmic"
    plant(tmp_path, package(0, 5))
    assert meter(tmp_path, clock, run=run).source == RaplCounter.source == "rapl package"


@pytest.mark.parametrize("energy_uj", ["", "-1", "junk", "9" * 30])
def test_a_rapl_counter_that_can_not_be_read_is_not_chosen(tmp_path, clock, energy_uj):
    plant(tmp_path, {**package(0, 5), **package(1, energy_uj), **DISCHARGING})
    assert meter(tmp_path, clock).source == "battery current"


def test_one_counter_of_two_packages_that_only_root_may_read_is_not_chosen(tmp_path, clock):
    plant(tmp_path, {**package(0, 5), **package(1, 5)})
    (tmp_path / "sys/class/powercap/intel-rapl:1/energy_uj").unlink()
    (tmp_path / "sys/class/powercap/intel-rapl:1/energy_uj").mkdir()
    assert meter(tmp_path, clock).source == "none"


def test_a_battery_without_a_gauge_is_no_counter_and_one_on_the_charger_is(tmp_path, clock):
    plant(tmp_path, {BATTERY + "type": "Battery", BATTERY + "capacity": "50"})
    assert meter(tmp_path, clock).source == "none"
    plant(tmp_path, {**DISCHARGING, BATTERY + "status": "Charging"})
    assert meter(tmp_path, clock).source == "battery current"


# ---- RAPL -----------------------------------------------------------------------------


def test_a_rapl_span_is_the_difference_of_its_readings(tmp_path, clock):
    got = rapl_span(tmp_path, clock, ["1000000", "4500000"])
    assert got == Energy(3500.0, "rapl package", True)


def test_packages_are_added_and_what_lies_inside_or_twice_is_not(tmp_path, clock):
    def files(energy_uj):
        return {**package(0, energy_uj), **package(1, energy_uj), **package(2, energy_uj, "psys"),
                "sys/class/powercap/intel-rapl:0:0/name": "core",
                "sys/class/powercap/intel-rapl:0:0/energy_uj": str(energy_uj),
                "sys/class/powercap/intel-rapl-mmio:0/name": "package-0",
                "sys/class/powercap/intel-rapl-mmio:0/energy_uj": str(energy_uj)}

    measured = meter(plant(tmp_path, files(0)), clock)
    with measured:
        clock.sleep(1)
        plant(tmp_path, files(1_000_000))
    assert measured.energy.mj == 2000.0


def test_a_counter_that_wraps_goes_on(tmp_path, clock):
    got = rapl_span(tmp_path, clock, [str(RANGE_UJ - 1_000_000), "2000000"])
    assert got.mj == pytest.approx(3000)


@given(start=st.integers(0, RANGE_UJ - 1),
       steps=st.lists(st.integers(1, 900_000_000), min_size=1, max_size=30))
def test_samples_in_between_count_every_wrap(start, steps):
    counter = RaplCounter(Path("/nowhere"))
    counter._ranges_uj = [float(RANGE_UJ // 100)]
    total, readings = start % (RANGE_UJ // 100), []
    for step in [0, *steps]:
        total += step
        readings.append((float(len(readings)), (float(total % (RANGE_UJ // 100)),)))
    assert counter.energy_mj(readings) == pytest.approx(sum(steps) / 1000)


def test_a_counter_that_goes_back_without_a_range_is_unknown(tmp_path, clock):
    plant(tmp_path, package(0, 9_000_000))
    (tmp_path / PACKAGE / "max_energy_range_uj").unlink()
    measured = meter(tmp_path, clock)
    with measured:
        clock.sleep(1)
        plant(tmp_path, {PACKAGE + "energy_uj": "5"})
    assert measured.energy.mj is None
    assert "went back" in measured.energy.source


def test_a_counter_that_begins_anew_is_not_taken_for_one_that_wrapped(tmp_path, clock):
    got = rapl_span(tmp_path, clock, ["9000000", "5"])
    assert (got.mj, got.measured) == (None, False)
    assert "can not be right" in got.source


def test_a_counter_that_stands_still_has_measured_nothing(tmp_path, clock):
    got = rapl_span(tmp_path, clock, ["9000000", "9000000"])
    assert got == Energy(None, "rapl package: the counter stood still", False)


@pytest.mark.parametrize("readings", [["1", "junk"], ["1", "", "1000000"], ["1", "-1", "1000000"]])
def test_a_counter_that_fails_midway_gives_no_energy(tmp_path, clock, readings):
    got = rapl_span(tmp_path, clock, readings)
    assert got == Energy(None, "rapl package: it did not answer throughout the span", False)


def test_a_counter_that_vanishes_midway_gives_no_energy(tmp_path, clock):
    measured = meter(plant(tmp_path, package(0, 1)), clock)
    with measured:
        clock.sleep(1)
        (tmp_path / PACKAGE / "energy_uj").unlink()
    assert measured.energy.mj is None
    assert "did not answer" in measured.energy.source


@pytest.mark.parametrize("seconds", [0.0, 0.05, -5.0, math.nan])
def test_a_span_shorter_than_the_counter_resolves_says_so(tmp_path, clock, seconds):
    got = rapl_span(tmp_path, clock, ["1", "5000"], seconds)
    assert (got.mj, got.measured) == (None, False)
    assert "resolves 0.1 s or more" in got.source


# ---- gauges of power ------------------------------------------------------------------


def test_a_battery_is_integrated_over_its_samples(tmp_path, clock):
    measured = meter(plant(tmp_path, DISCHARGING), clock)
    measured.start()
    for seconds, power_uw in [(4, 7_000_000), (6, 3_000_000)]:
        clock.sleep(seconds)
        plant(tmp_path, {BATTERY + "power_now": str(power_uw)})
        measured.sample()
    got = measured.stop()
    assert got == Energy(pytest.approx(4 * 6000 + 6 * 5000), "battery current", True)


@pytest.mark.parametrize("change", [{"status": "Charging"}, {"power_now": "junk"},
                                    {"power_now": "0"}, {"status": "Unknown"}])
def test_a_battery_that_does_not_discharge_throughout_gives_no_energy(tmp_path, clock, change):
    measured = meter(plant(tmp_path, DISCHARGING), clock)
    with measured:
        clock.sleep(20)
        plant(tmp_path, {BATTERY + name: value for name, value in change.items()})
        measured.sample()
        plant(tmp_path, DISCHARGING)
    assert measured.energy == Energy(
        None, "battery current: it did not answer throughout the span", False)


def test_a_batterys_span_of_seconds_is_too_short(tmp_path, clock):
    measured = meter(plant(tmp_path, DISCHARGING), clock)
    with measured:
        clock.sleep(3)
    assert measured.energy.mj is None
    assert "resolves 10 s or more" in measured.energy.source


def test_a_pi_5_is_the_sum_of_its_rails(tmp_path, clock):
    measured = meter(tmp_path, clock, run=lambda arguments: ADC)
    with measured:
        clock.sleep(2)
    assert measured.energy == Energy(pytest.approx(2 * ADC_MW), "pi 5 pmic", True)


def test_a_pi_that_stops_answering_gives_no_energy(tmp_path, clock):
    answers = [ADC, ADC, "error=1"]
    measured = meter(tmp_path, clock, run=lambda arguments: answers.pop(0))
    with measured:
        clock.sleep(2)
    assert (measured.energy.mj, answers) == (None, [])


@pytest.mark.parametrize("text", [
    "", "error=1 error_msg=\"Command not registered\"",
    "VDD_CORE_V volt(15)=0.80V",                                  # no current
    "VDD_CORE_A current(7)=2.00A",                                # no voltage
    ADC.replace("  VDD_CORE_V volt(15)=0.80000000V\n", ""),       # one rail would be missing
    "VDD_CORE_A current(7)=2.00V\nVDD_CORE_V volt(15)=0.80A",     # units swapped
    "VDD_CORE_A current(7)=-2.00A\nVDD_CORE_V volt(15)=0.80V",
    "VDD_CORE_A current(7)=900.0A\nVDD_CORE_V volt(15)=0.80V",
    "VDD_CORE_A current(7)=0.0A\nVDD_CORE_V volt(15)=0.80V",
    "VDD_CORE_A current(7)=nanA\nVDD_CORE_V volt(15)=0.80V",
])
def test_rails_without_both_factors_or_with_nonsense_have_no_power(text):
    assert pmic_power_mw(text) is None


@given(st.lists(st.tuples(st.from_regex(r"[A-Z0-9]{1,4}(_[A-Z0-9]{1,4})?", fullmatch=True),
                          st.integers(1, 5_000_000), st.integers(1, 5_000_000)),
                min_size=1, max_size=12, unique_by=lambda rail: rail[0]),
       st.randoms(use_true_random=False))
def test_the_power_is_the_sum_of_products_in_any_order_of_lines(rails, random):
    lines = [f"  {name}_A current({n})={a / 1e6:.8f}A" for n, (name, a, _) in enumerate(rails)]
    lines += [f"  {name}_V volt({n})={v / 1e6:.8f}V" for n, (name, _, v) in enumerate(rails)]
    random.shuffle(lines)
    want = sum(a * v for _, a, v in rails) * 1e-9
    assert pmic_power_mw("\n".join(lines)) == pytest.approx(want)


@given(st.text())
def test_no_text_is_more_than_a_plausible_power(text):
    power_mw = pmic_power_mw(text)
    assert power_mw is None or 0 < power_mw <= 1e6


# ---- idle power -----------------------------------------------------------------------


def test_idle_power_is_measured_first_and_taken_off(tmp_path, clock):
    plant(tmp_path, package(0, 0))
    measured = meter(tmp_path, clock)
    clock.then = lambda: plant(tmp_path, {PACKAGE + "energy_uj": str(20_000_000)})
    assert measured.idle(10) == pytest.approx(2000)
    clock.then = lambda: plant(tmp_path, {PACKAGE + "energy_uj": str(50_000_000)})
    with measured:
        clock.sleep(5)
    assert measured.energy == Energy(pytest.approx(30_000 - 5 * 2000),
                                     "rapl package, less idle 2000 mW", True)


def test_nothing_above_idle_is_unknown_and_not_negative(tmp_path, clock):
    got = rapl_span(tmp_path, clock, ["0", "1000000"], idle_mw=1500.0)
    assert got == Energy(None, "rapl package: nothing above the idle 1500 mW", False)


def test_an_idle_time_too_short_to_measure_takes_nothing_off(tmp_path, clock):
    plant(tmp_path, DISCHARGING)
    measured = meter(tmp_path, clock, idle_mw=100.0)
    assert measured.idle(2) is None
    with measured:
        clock.sleep(10)
    assert measured.energy == Energy(pytest.approx(50_000), "battery current", True)


@pytest.mark.parametrize("idle_mw", [-1.0, math.nan, math.inf])
def test_an_idle_power_that_is_none_is_refused(idle_mw):
    with pytest.raises(EdgeError, match="idle_mw"):
        Meter(root=Path("/nowhere"), idle_mw=idle_mw)


# ---- spans ----------------------------------------------------------------------------


def test_a_span_can_not_begin_twice_or_end_before_it_begins(tmp_path, clock):
    measured = meter(plant(tmp_path, package(0, 0)), clock)
    with pytest.raises(EdgeError, match=r"start\(\) before stop\(\)"):
        measured.stop()
    measured.start()
    with pytest.raises(EdgeError, match="one span at a time"):
        measured.start()
    measured.stop()
    with pytest.raises(EdgeError, match=r"start\(\) before stop\(\)"):
        measured.stop()


def test_a_span_that_ends_with_an_error_ends_and_lets_it_through(tmp_path, clock):
    measured = meter(plant(tmp_path, package(0, 0)), clock)

    def fail():
        with measured:
            clock.sleep(1)
            plant(tmp_path, {PACKAGE + "energy_uj": "1000"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert measured.energy.mj == 1.0
    with measured:
        clock.sleep(1)
        plant(tmp_path, {PACKAGE + "energy_uj": "3000"})
    assert measured.energy.mj == 2.0  # nothing of the first span is left


def test_a_thread_reads_between_start_and_stop_and_ends_with_the_span(tmp_path, monkeypatch):
    read_often, threads = threading.Event(), threading.active_count()
    times = iter(range(10**9))

    def run(arguments):
        run.calls += 1
        if run.calls > 5:
            read_often.set()
        return ADC

    run.calls = 0
    monkeypatch.setattr(PmicCounter, "period_s", 0.001)
    measured = Meter(root=tmp_path, run=run, clock=lambda: float(next(times)))
    with measured:
        assert read_often.wait(60)
    assert threading.active_count() == threads
    assert len(measured._samples) > 4
    assert measured.energy.mj == pytest.approx((len(measured._samples) - 1) * ADC_MW)


# ---- per inference, and the model -----------------------------------------------------


def test_the_energy_of_one_is_the_mean_of_the_span():
    assert Energy(500.0, "rapl package", True).per(1000) == Energy(
        0.5, "rapl package, mean of 1000", True)
    unknown = Energy(None, "none", False)
    assert unknown.per(10) == unknown


@pytest.mark.parametrize("n", [0, -1])
def test_a_mean_of_no_inferences_is_refused(n):
    with pytest.raises(EdgeError, match="one inference or more"):
        Energy(1.0, "rapl package", True).per(n)


def test_a_model_is_its_sum_and_labelled_as_no_measurement():
    got = modelled(1_000_000, 4_000_000)
    assert got.mj == pytest.approx(1e6 * 4.6e-9 + 4e6 * 160e-9)  # 1 pJ is 1e-9 mJ
    assert got.source == ("model: 4.6 pJ/MAC + 160 pJ/byte, "
                          "published for 45 nm, not this device's")
    assert got.measured is False


def test_a_model_with_ones_own_costs_does_not_claim_the_published_ones():
    got = modelled(10, 0, pj_per_mac=2.0)
    assert got.mj == pytest.approx(20e-9)
    assert "as given by the caller" in got.source
    assert "45 nm" not in got.source


def test_a_model_of_nothing_costs_nothing():
    assert modelled(0, 0).mj == 0


@pytest.mark.parametrize("name", ["macs", "bytes_moved", "pj_per_mac", "pj_per_byte"])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, 10**400])
def test_counts_and_costs_that_are_none_are_refused_by_name(name, value):
    with pytest.raises(EdgeError, match=f"at {name}"):
        modelled(**{"macs": 1, "bytes_moved": 1, name: value})
