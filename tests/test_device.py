"""What a device says of itself, from files of every quality."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_sdk.device import (
    PLAUSIBLE,
    Device,
    DeviceIdentity,
    DeviceState,
    FixedDevice,
    StateReader,
    app,
    read_number,
    thermal_headroom,
)

BATTERY = "sys/class/power_supply/BAT0/"
ZONE = "sys/class/thermal/thermal_zone0/"
CPU = "sys/devices/system/cpu/cpu0/cpufreq/"
LAPTOP = {
    BATTERY + "type": "Battery", BATTERY + "status": "Discharging", BATTERY + "capacity": "40",
    BATTERY + "energy_now": "20000000", BATTERY + "energy_full": "50000000",
    BATTERY + "power_now": "8000000",
}
PHONE = {
    BATTERY + "type": "Battery", BATTERY + "status": "Discharging", BATTERY + "capacity": "75",
    BATTERY + "charge_now": "3000000", BATTERY + "voltage_now": "3800000",
    BATTERY + "current_now": "-500000",
}
HOT = {
    ZONE + "type": "cpu-thermal", ZONE + "temp": "70000",
    ZONE + "trip_point_0_type": "passive", ZONE + "trip_point_0_temp": "85000",
    ZONE + "trip_point_1_type": "critical", ZONE + "trip_point_1_temp": "110000",
}
CLOCK = {
    CPU + "scaling_cur_freq": "1500000", CPU + "cpuinfo_max_freq": "2400000",
    CPU + "scaling_governor": "schedutil", CPU + "scaling_driver": "cpufreq-dt",
}
COOLER = {
    "sys/class/thermal/cooling_device0/type": "cpufreq-cpu0",
    "sys/class/thermal/cooling_device0/cur_state": "0",
}
PROFILE = "sys/firmware/acpi/platform_profile"
PROC = {
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/meminfo": "MemTotal:        8245000 kB\nMemFree: 100 kB\n",
    "proc/cpuinfo": "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\n"
                    "Serial\t\t: 10000000abcdef01\nModel\t\t: Raspberry Pi 5\n",
}


def plant(root: Path, *kinds: dict[str, str | bytes]) -> Path:
    for path, content in {k: v for kind in kinds for k, v in kind.items()}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def device(root: Path, *kinds: dict, **options) -> Device:
    options.setdefault("memory", lambda: 2**30)
    options.setdefault("machine", lambda: "aarch64")
    return Device(root=plant(root, *kinds), **options)


def state(root: Path, *kinds: dict, **options) -> DeviceState:
    return device(root, *kinds, **options).read()


def firmware(**answers: str):
    """Return a `run` that answers as vcgencmd and notes the questions; none if no answers."""

    def run(arguments):
        assert arguments[0] == "vcgencmd"
        run.asked.append(arguments[1])
        if not answers:
            raise FileNotFoundError
        if arguments[1] not in answers:
            raise subprocess.CalledProcessError(255, arguments)
        return answers[arguments[1]]

    run.asked = []
    return run


# ---- the state and its plausible numbers ----------------------------------------------


def test_an_empty_machine_knows_nothing_but_its_memory(tmp_path):
    assert asdict(state(tmp_path)) == {**asdict(DeviceState()), "free_ram_mb": 1024.0}


def test_a_machine_without_sys_and_memory_knows_nothing(tmp_path):
    def broken():
        raise RuntimeError("no /proc")

    assert state(tmp_path / "nowhere", memory=broken) == DeviceState()


@given(st.sampled_from(sorted(PLAUSIBLE)), st.floats())
def test_a_state_holds_a_plausible_number_or_none(name, value):
    low, high = PLAUSIBLE[name]
    kept = getattr(DeviceState(**{name: value}), name)
    assert kept == (value if low <= value <= high else None)


def test_androids_nan_for_headroom_is_unknown():
    assert DeviceState(thermal_headroom=math.nan).thermal_headroom is None


@pytest.mark.parametrize("text", ["", "unknown", "-", "nan", "inf", "1e3", "0x10", "1_000", "1 2",
                                  "٣", "9" * 19, "3.5", "\0", "\xff"])
def test_only_a_whole_number_is_a_number(tmp_path, text):
    (tmp_path / "file").write_text(text, encoding="utf-8")
    assert read_number(tmp_path / "file") is None


@pytest.mark.parametrize(("text", "number"), [("42\n", 42), ("-7", -7), (" 0 ", 0), ("+3\0", 3)])
def test_white_space_around_a_number_is_no_harm(tmp_path, text, number):
    (tmp_path / "file").write_text(text, encoding="utf-8")
    assert read_number(tmp_path / "file") == number


# ---- battery --------------------------------------------------------------------------


def test_a_laptops_battery_is_read_in_energy(tmp_path):
    got = state(tmp_path, LAPTOP)
    assert (got.battery_pct, got.charging) == (40, False)
    assert got.energy_left_mj == pytest.approx(20 * 3600 * 1000)  # 20 Wh
    assert got.battery_power_mw == pytest.approx(8000)


def test_a_phones_battery_is_read_in_charge_and_voltage(tmp_path):
    got = state(tmp_path, PHONE)
    assert got.battery_pct == 75
    assert got.energy_left_mj == pytest.approx(3.0 * 3.8 * 3600 * 1000)  # 3 Ah at 3.8 V
    assert got.battery_power_mw == pytest.approx(0.5 * 3.8 * 1000)


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize(("status", "drain_mw"), [
    ("Discharging", 1900), ("Charging", -1900), ("Full", None), ("Not charging", None),
    ("Unknown", None), ("", None)])
def test_the_direction_of_current_is_what_the_status_says_whatever_its_sign(
        tmp_path, sign, status, drain_mw):
    got = state(tmp_path, PHONE, {BATTERY + "status": status,
                                  BATTERY + "current_now": sign + "500000"})
    assert got.battery_power_mw == (None if drain_mw is None else pytest.approx(drain_mw))


@pytest.mark.parametrize(("status", "charging"), [
    ("Charging", True), ("Full", True), ("Discharging", False), ("Not charging", False),
    ("Unknown", None), ("rubbish", None), ("", None)])
def test_charging_is_what_android_calls_charging(tmp_path, status, charging):
    assert state(tmp_path, LAPTOP, {BATTERY + "status": status}).charging is charging


@pytest.mark.parametrize("capacity", ["250", "-1", "101", "unknown", "", b"\xff\xfe"])
def test_a_nonsense_percentage_gives_way_to_the_ratio_of_energies_or_to_none(tmp_path, capacity):
    assert state(tmp_path, LAPTOP, {BATTERY + "capacity": capacity}).battery_pct == 40
    assert state(tmp_path, {BATTERY + "energy_full": "0"}).battery_pct is None
    assert state(tmp_path, {BATTERY + "energy_full": "10000000"}).battery_pct is None


@pytest.mark.parametrize("name", ["energy_now", "power_now"])
@pytest.mark.parametrize("value", ["999999999999999999", "9" * 40, "4294967295000", "junk"])
def test_a_huge_energy_or_power_is_unknown(tmp_path, name, value):
    got = state(tmp_path, LAPTOP, {BATTERY + name: value})
    assert {"energy_now": got.energy_left_mj, "power_now": got.battery_power_mw}[name] is None


def test_a_negative_energy_is_unknown(tmp_path):
    assert state(tmp_path, LAPTOP, {BATTERY + "energy_now": "-5"}).energy_left_mj is None


def test_a_counter_at_zero_in_a_battery_that_is_not_empty_is_unknown(tmp_path):
    assert state(tmp_path, LAPTOP, {BATTERY + "energy_now": "0"}).energy_left_mj is None
    assert state(tmp_path, {BATTERY + "capacity": "0"}).energy_left_mj == 0


def test_no_current_is_unknown_while_the_device_runs_on_it_and_zero_otherwise(tmp_path):
    assert state(tmp_path, LAPTOP, {BATTERY + "power_now": "0"}).battery_power_mw is None
    assert state(tmp_path, {BATTERY + "status": "Full"}).battery_power_mw == 0


def test_a_voltage_in_millivolts_by_mistake_gives_no_energy(tmp_path):
    got = state(tmp_path, PHONE, {BATTERY + "voltage_now": "3800"})
    assert (got.energy_left_mj, got.battery_power_mw) == (None, None)


def second_battery(**values: str) -> dict[str, str]:
    return {f"sys/class/power_supply/BAT1/{name}": value for name, value in
            {"type": "Battery", "status": "Unknown", "capacity": "100", "energy_now": "30000000",
             "energy_full": "30000000", "power_now": "0", **values}.items()}


def test_two_batteries_are_weighed_by_their_energy(tmp_path):
    got = state(tmp_path, LAPTOP, second_battery())
    assert got.battery_pct == pytest.approx(100 * (20 + 30) / (50 + 30))
    assert got.energy_left_mj == pytest.approx(50 * 3600 * 1000)
    assert (got.charging, got.battery_power_mw) == (False, pytest.approx(8000))


@pytest.mark.parametrize(("statuses", "charging"), [
    (("Charging", "Full"), True), (("Charging", "Unknown"), True),
    (("Charging", "Discharging"), False), (("Full", "Not charging"), False),
    (("Unknown", "Unknown"), None)])
def test_two_batteries_charge_if_none_that_tells_does_not(tmp_path, statuses, charging):
    got = state(tmp_path, LAPTOP, second_battery(status=statuses[1]),
                {BATTERY + "status": statuses[0]})
    assert got.charging is charging


def test_two_batteries_without_energies_have_no_mean_percentage(tmp_path):
    assert state(tmp_path, LAPTOP, second_battery(energy_now="?")).battery_pct is None
    got = state(tmp_path, second_battery(energy_now="?", capacity="40"))
    assert (got.battery_pct, got.energy_left_mj) == (40, None)


@pytest.mark.parametrize("value", [{"scope": "Device"}, {"type": "Mains"}, {"type": "UPS"},
                                   {"present": "0"}, {"type": ""}])
def test_a_mouse_a_charger_and_an_empty_bay_are_no_battery(tmp_path, value):
    assert state(tmp_path, LAPTOP, second_battery(**value)) == state(tmp_path / "2", LAPTOP)


# ---- heat -----------------------------------------------------------------------------


@pytest.mark.parametrize(("celsius", "headroom"), [
    (85, 1.0), (55, 0.0), (40, 0.0), (70, 0.5), (100, 1.5)])
def test_headroom_is_one_where_throttling_begins_and_zero_thirty_degrees_below(
        tmp_path, celsius, headroom):
    got = state(tmp_path, HOT, {ZONE + "temp": str(celsius * 1000)})
    assert got.temperature_c == celsius
    assert got.thermal_headroom == pytest.approx(headroom)
    assert thermal_headroom(celsius, 85) == got.thermal_headroom


def test_the_hottest_processor_zone_counts_and_batteries_do_not(tmp_path):
    got = state(tmp_path, HOT, {
        "sys/class/thermal/thermal_zone1/type": "soc-thermal",
        "sys/class/thermal/thermal_zone1/temp": "81500",
        "sys/class/thermal/thermal_zone2/type": "battery",
        "sys/class/thermal/thermal_zone2/temp": "99000"})
    assert got.temperature_c == 81.5


def test_acpis_zone_counts_only_where_no_sensor_is_the_processors(tmp_path):
    acpi = {"sys/class/thermal/thermal_zone1/type": "acpitz",
            "sys/class/thermal/thermal_zone1/temp": "95000"}
    assert state(tmp_path / "1", acpi).temperature_c == 95
    assert state(tmp_path / "2", acpi, HOT).temperature_c == 70


@pytest.mark.parametrize("temp", ["-274000", "150001", "0", "-1", "38", "", "n/a", b"\0\xff",
                                  "70000000", "9" * 30])
def test_an_implausible_temperature_is_unknown(tmp_path, temp):
    got = state(tmp_path, HOT, {ZONE + "temp": temp})
    assert (got.temperature_c, got.thermal_headroom) == (None, None)


def test_frost_is_a_temperature(tmp_path):
    assert state(tmp_path, HOT, {ZONE + "temp": "-25000"}).temperature_c == -25


def trip(kind: str, temp: str, zone: str = "cpu-thermal") -> dict[str, str]:
    return {ZONE + "type": zone, ZONE + "temp": "70000",
            ZONE + "trip_point_0_type": kind, ZONE + "trip_point_0_temp": temp}


@pytest.mark.parametrize(("trips", "headroom"), [
    (trip("passive", "85000"), 0.5),
    (trip("hot", "85000"), 0.5),
    (trip("critical", "85000"), None),   # switches off, does not throttle
    (trip("active", "85000"), None),     # starts a fan
    (trip("passive", "0"), None),
    (trip("passive", "-274000"), None),
    (trip("passive", "junk"), None),
    (trip("passive", "85000", "x86_pkg_temp"), None),  # notifies, does not throttle
    (trip("passive", "85000", "battery"), None),
])
def test_only_a_trip_point_that_slows_the_processor_gives_a_headroom(tmp_path, trips, headroom):
    got = state(tmp_path, trips).thermal_headroom
    assert got == (None if headroom is None else pytest.approx(headroom))


def test_the_lowest_passive_trip_point_is_where_throttling_begins(tmp_path):
    got = state(tmp_path, HOT, {ZONE + "trip_point_2_type": "passive",
                                ZONE + "trip_point_2_temp": "75000"})
    assert got.thermal_headroom == pytest.approx(25 / 30)


@pytest.mark.parametrize(("word", "throttled"), [
    ("0x0", False), ("0x50005", True), ("0x50000", False), ("0xe0000", False), ("0x1", False),
    ("0x2", True), ("0x4", True), ("0x8", True), ("0xf000f", True),
    ("", None), ("0x", None), ("zero", None), ("0x1g", None), ("0x" + "f" * 40, None)])
def test_a_raspberry_pi_is_throttled_by_what_is_now_not_by_what_has_been(
        tmp_path, word, throttled):
    run = firmware(get_throttled=f"throttled={word}\n")
    assert state(tmp_path, run=run).throttled is throttled


def test_a_raspberry_pis_temperature_is_asked_only_where_no_zone_has_it(tmp_path):
    run = firmware(get_throttled="throttled=0x0", measure_temp="temp=48.3'C\n")
    assert state(tmp_path / "1", run=run).temperature_c == 48.3
    assert run.asked.count("measure_temp") == 1
    assert state(tmp_path / "2", HOT, run=run).temperature_c == 70
    assert run.asked.count("measure_temp") == 1


def test_a_missing_vcgencmd_is_looked_for_once(tmp_path):
    run = firmware()
    absent = device(tmp_path, run=run)
    assert absent.read() == absent.read()
    assert len(run.asked) == 1


def test_a_vcgencmd_that_fails_once_is_asked_again(tmp_path):
    answers = ["throttled=0x0", OSError(), subprocess.TimeoutExpired("vcgencmd", 2),
               UnicodeDecodeError("utf-8", b"", 0, 1, ""), "throttled=0x4"]

    def run(arguments):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    pi = device(tmp_path, HOT, run=run)
    assert [pi.read().throttled for _ in range(5)] == [False, None, None, None, True]


@pytest.mark.parametrize(("name", "cur_state", "throttled"), [
    ("cpufreq-cpu0", "3", True), ("cpufreq-cpu0", "0", False), ("thermal-cpufreq-0", "0", False),
    ("cpufreq-cpu0", "?", None), ("Processor", "2", True),
    ("Processor", "0", None),  # it throttles by itself, and tells nobody
    ("Fan", "3", None), ("", "1", None)])
def test_a_cooling_device_of_the_clock_tells_throttling(tmp_path, name, cur_state, throttled):
    got = state(tmp_path, COOLER, {"sys/class/thermal/cooling_device0/type": name,
                                   "sys/class/thermal/cooling_device0/cur_state": cur_state})
    assert got.throttled is throttled


# ---- power saver and clock ------------------------------------------------------------


@pytest.mark.parametrize(("profile", "saver"), [
    ("low-power\n", True), ("balanced\n", False), ("quiet", False), ("custom", None),
    ("", None), (b"\xff", None)])
def test_a_platform_profile_tells_the_power_saver(tmp_path, profile, saver):
    assert state(tmp_path, {PROFILE: profile}).power_saver is saver


@pytest.mark.parametrize(("driver", "governor", "preference", "saver"), [
    ("cpufreq-dt", "powersave", None, True),
    ("acpi-cpufreq", "powersave", None, True),
    ("intel_cpufreq", "powersave", None, True),
    ("cpufreq-dt", "schedutil", None, False),
    ("intel_pstate", "powersave", None, None),  # the usual governor there
    ("intel_pstate", "powersave", "power", True),
    ("intel_pstate", "powersave", "balance_power", False),
    ("amd-pstate-epp", "powersave", "power", True),
    ("", "powersave", None, None), ("cpufreq-dt", "", None, None)])
def test_governor_powersave_saves_only_under_drivers_that_hold_the_clock(
        tmp_path, driver, governor, preference, saver):
    extra = {} if preference is None else {CPU + "energy_performance_preference": preference}
    got = state(tmp_path, CLOCK, extra, {CPU + "scaling_driver": driver,
                                         CPU + "scaling_governor": governor})
    assert got.power_saver is saver


def test_either_source_that_saves_is_a_power_saver(tmp_path):
    assert state(tmp_path, CLOCK, {PROFILE: "low-power"}).power_saver is True


def test_the_clock_is_that_of_the_fastest_cores(tmp_path):
    big = {name.replace("cpu0/", "cpu4/"): value for name, value in CLOCK.items()}
    got = state(tmp_path, CLOCK, big, {CPU + "cpuinfo_max_freq": "1800000",
                                       CPU + "scaling_cur_freq": "1800000"})
    assert (got.frequency_mhz, got.frequency_max_mhz) == (1500, 2400)


def test_cores_that_share_a_policy_are_read_once(tmp_path):
    plant(tmp_path, CLOCK)
    (tmp_path / "sys/devices/system/cpu/cpu1").mkdir()
    (tmp_path / "sys/devices/system/cpu/cpu1/cpufreq").symlink_to(tmp_path / CPU)
    assert len(device(tmp_path)._policies) == 1


@pytest.mark.parametrize("khz", ["0", "-1", "1", "99999999999", "<unknown>", ""])
def test_an_implausible_clock_is_unknown(tmp_path, khz):
    got = state(tmp_path, CLOCK, {CPU + "scaling_cur_freq": khz})
    assert (got.frequency_mhz, got.frequency_max_mhz) == (None, 2400)


# ---- whatever the files hold ----------------------------------------------------------

EVERYTHING = {**LAPTOP, **PHONE, BATTERY + "scope": "System", BATTERY + "present": "1",
              BATTERY + "charge_full": "4000000", **HOT, **CLOCK, **COOLER, **PROC,
              CPU + "energy_performance_preference": "power", PROFILE: "balanced",
              "sys/class/dmi/id/product_name": "Board"}
CONTENTS = st.one_of(
    st.binary(max_size=40),
    st.integers().map(lambda n: str(n).encode()),
    st.sampled_from([b"", b"-1", b"unknown", b"250", b"0", b"nan", b"Charging", b"Battery",
                     b"passive", b"\xff" * 9, b"-9223372036854775808", b"18446744073709551615"]))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(broken=st.dictionaries(st.sampled_from(sorted(EVERYTHING)), CONTENTS, max_size=8),
       replugged=st.dictionaries(st.sampled_from(sorted(EVERYTHING)), CONTENTS, max_size=4),
       told=st.text(max_size=30), memory=st.floats())
def test_any_bytes_in_any_file_give_a_plausible_state_and_never_an_exception(
        broken, replugged, told, memory):
    with tempfile.TemporaryDirectory() as folder:
        built = device(Path(folder), EVERYTHING, broken, run=lambda arguments: told,
                       memory=lambda: memory)
        states = [built.read()]
        plant(Path(folder), replugged)  # files change under a device that is in use
        states.append(built.read())
        json.dumps([asdict(s) for s in states], allow_nan=False)
        for got in states:
            for name, (low, high) in PLAUSIBLE.items():
                value = getattr(got, name)
                assert value is None or low <= value <= high
        identity = built.identity()
        assert len(identity.key) == 16
        assert identity.model is None or identity.model.isprintable()


def test_files_that_vanish_turned_folders_or_are_unreadable_are_unknown(tmp_path):
    built = device(tmp_path, LAPTOP, HOT, CLOCK)
    for path in (BATTERY + "capacity", ZONE + "temp"):
        (tmp_path / path).unlink()
    (tmp_path / ZONE / "temp").mkdir()
    (tmp_path / BATTERY / "energy_now").chmod(0)
    (tmp_path / CPU / "scaling_cur_freq").unlink()
    (tmp_path / CPU / "scaling_cur_freq").symlink_to("scaling_cur_freq")
    got = built.read()
    assert (got.temperature_c, got.frequency_mhz) == (None, None)
    if os.geteuid() != 0:  # root reads everything
        assert got.energy_left_mj is None
    assert got.battery_power_mw == pytest.approx(8000)


def test_a_read_lists_no_folder(tmp_path, monkeypatch):
    built = device(tmp_path, EVERYTHING)
    before = built.read()
    monkeypatch.setattr(Path, "iterdir", lambda self: pytest.fail(f"listed {self}"))
    assert built.read() == before


# ---- identity -------------------------------------------------------------------------


def test_a_raspberry_pi_is_known_by_its_device_tree(tmp_path):
    (tmp_path / "sys/devices/system/cpu/cpu3").mkdir(parents=True)
    got = device(tmp_path, PROC, CLOCK).identity()
    assert got == DeviceIdentity("Raspberry Pi 5 Model B Rev 1.0", "aarch64", "0x41:0xd0b", 2,
                                 8245000 / 1024)


@pytest.mark.parametrize(("files", "model"), [
    ({"sys/class/dmi/id/product_name": "ThinkBook 14\n"}, "ThinkBook 14"),
    ({"sys/class/dmi/id/product_name": "To Be Filled By O.E.M."}, "Fast CPU 9"),
    ({"sys/class/dmi/id/product_name": b"\xff\xfe"}, "Fast CPU 9"),
    ({}, "Fast CPU 9"),
    ({"proc/cpuinfo": ""}, None),
])
def test_a_model_without_a_name_is_its_processor_or_unknown(tmp_path, files, model):
    cpuinfo = {"proc/cpuinfo": "processor : 0\nmodel name : Fast CPU 9\n"}
    assert device(tmp_path, cpuinfo, files).identity().model == model


def test_no_serial_number_is_in_an_identity(tmp_path):
    assert "abcdef01" not in json.dumps(asdict(device(tmp_path, PROC).identity()))
    other = {"proc/cpuinfo": PROC["proc/cpuinfo"].replace("abcdef01", "99999999")}
    assert (device(tmp_path / "1", PROC).identity().key
            == device(tmp_path / "2", PROC, other).identity().key)


def test_the_key_stays_when_the_kernel_keeps_a_little_more_memory():
    keys = {DeviceIdentity("Pi", ram_mb=ram_mb).key for ram_mb in (7650, 7875.5, 8064)}
    assert len(keys) == 1


@pytest.mark.parametrize("other", [{"model": "Pi 4"}, {"machine": "armv7l"}, {"cpu": "A53"},
                                   {"n_cores": 2}, {"ram_mb": 3800.0}, {"ram_mb": None}])
def test_the_key_tells_one_kind_of_device_from_another(other):
    kind = {"model": "Pi 5", "machine": "aarch64", "cpu": "A76", "n_cores": 4, "ram_mb": 7800.0}
    assert DeviceIdentity(**kind).key != DeviceIdentity(**{**kind, **other}).key


@given(st.floats(min_value=1, max_value=1e7))
def test_memory_of_one_size_has_one_key(ram_mb):
    sizes = sorted(1024 * factor * 2.0**k for k in range(-12, 16) for factor in (1, 1.5))
    sold_as = next(size for size in sizes if ram_mb <= size)
    assert DeviceIdentity(ram_mb=ram_mb).key == DeviceIdentity(ram_mb=sold_as).key


# ---- a fixed device and the command ---------------------------------------------------


def test_a_fixed_device_says_what_it_is_told_to():
    fixed = FixedDevice(DeviceState(battery_pct=20), identity=DeviceIdentity("Pi"))
    reader: StateReader = fixed
    assert (reader.read().battery_pct, reader.identity().model) == (20, "Pi")
    fixed.state = DeviceState(battery_pct=19)
    assert reader.read().battery_pct == 19
    assert FixedDevice().read() == DeviceState()


def test_the_command_prints_every_field_and_unknown_for_the_rest(run_command, monkeypatch):
    monkeypatch.setattr("edge_sdk.device.Device", lambda: FixedDevice(
        DeviceState(battery_pct=20, charging=False), identity=DeviceIdentity("Pi [red]5[/red]")))
    status, out, err = run_command(app)
    assert (status, err) == (0, "")
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    shown = {line[0]: line[1].strip() for line in lines if len(line) == 2}
    assert shown["model"] == "Pi [red]5[/red]"
    assert (shown["battery_pct"], shown["charging"]) == ("20", "no")
    assert shown["temperature_c"] == shown["machine"] == "unknown"
    assert {field.name for field in fields(DeviceState)} < set(shown)


def test_the_command_prints_json_of_this_very_machine(run_command):
    status, out, _ = run_command(app, "--json")
    facts = json.loads(out)
    assert status == 0
    assert set(facts["state"]) == {field.name for field in fields(DeviceState)}
    assert facts["state"]["free_ram_mb"] > 0
    assert facts["identity"]["key"] == Device().identity().key


def test_both_modules_load_neither_torch_nor_an_exporter():
    code = ("import sys, edge_sdk.device, edge_sdk.energy; "
            "print([m for m in ('torch', 'onnx', 'executorch') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          check=True, timeout=120)
    assert done.stdout.strip() == "[]"
