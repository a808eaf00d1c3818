"""What a device can say of itself: battery, heat, clock, free memory, and which device it is.

Read from the files Linux and Android keep under /sys and /proc, and from the
Raspberry Pi's `vcgencmd`. What a device does not say is None, and so is every
reading that can not be right: drivers answer 0, -1 or 0x7fffffff for "no idea".

`python -m edge_sdk.device` prints what is known here.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import psutil
import typer

from edge_sdk.console import command, say

Run = Callable[[list[str]], str]

# What a reading may be. Outside it, a driver is wrong and the value is unknown.
PLAUSIBLE: dict[str, tuple[float, float]] = {
    "battery_pct": (0, 100),
    "energy_left_mj": (0, 3.6e9),       # 1 kWh
    "battery_power_mw": (-1e6, 1e6),    # 1 kW
    "temperature_c": (-40, 150),
    "thermal_headroom": (0, 10),
    "free_ram_mb": (0, 1e9),
    "frequency_mhz": (1, 20_000),
    "frequency_max_mhz": (1, 20_000),
}
VOLTAGE_UV = (5e5, 1e8)       # 0.5 V to 100 V: a driver that answers in mV falls below
SEVERE_C = (30, 150)          # a trip point below that is not about throttling
HEADROOM_SPAN_C = 30.0        # Android's degrees between headroom 0 and 1
MOST_POLICIES = 8             # reading one clock may interrupt its core
TIMEOUT_S = 2.0

PROCESSOR_ZONE = re.compile(r"cpu|soc|pkg|package|core|tsens|^(big|mid|little)$", re.IGNORECASE)
FIRMWARE_ZONE = re.compile(r"acpitz", re.IGNORECASE)
SKIN_ZONE = re.compile(r"skin", re.IGNORECASE)

# vcgencmd get_throttled: clock capped, throttled, soft temperature limit. Bit 0 is the supply's
# voltage, which caps nothing by itself; bits 16 and up say what has been since the start.
PI_THROTTLED_NOW = 0b1110

# These drivers' governor "powersave" is the usual one, that scales with the load.
SELF_SCALING_DRIVERS = {"intel_pstate", "amd-pstate-epp", "amd_pstate_epp"}

NOT_A_MODEL = {"", "default string", "none", "not applicable", "not specified",
               "system product name", "to be filled by o.e.m.", "unknown"}


@dataclass(frozen=True)
class DeviceState:
    """What is known of a device at one moment; None is unknown, and so is any implausible number.

    Attributes:
        battery_pct: Charge of all batteries together, 0 to 100.
        charging: As Android's BatteryManager.isCharging: the level rises, or is full on
            external power. False where a charger only holds the level.
        energy_left_mj: Millijoules left in the batteries.
        battery_power_mw: Milliwatts out of the batteries; negative while they charge.
        temperature_c: The hottest of the processor's sensors.
        thermal_headroom: As Android's PowerManager.getThermalHeadroom: 1.0 is where severe
            throttling begins, 0.0 is 30 degrees below, above 1.0 it is hotter.
        throttled: Whether the clock is capped now because of heat or supply. False says that
            the Raspberry Pi's firmware or the kernel's cooling caps nothing.
        power_saver: Whether the user asked the system to save power.
        free_ram_mb: Memory that can be had without swapping, in units of 2**20 bytes.
        frequency_mhz: The clock now, of the cores with the highest maximum.
        frequency_max_mhz: Their maximum.
    """

    battery_pct: float | None = None
    charging: bool | None = None
    energy_left_mj: float | None = None
    battery_power_mw: float | None = None
    temperature_c: float | None = None
    thermal_headroom: float | None = None
    throttled: bool | None = None
    power_saver: bool | None = None
    free_ram_mb: float | None = None
    frequency_mhz: float | None = None
    frequency_max_mhz: float | None = None

    def __post_init__(self) -> None:
        for name, limits in PLAUSIBLE.items():
            object.__setattr__(self, name, _within(getattr(self, name), limits))


@dataclass(frozen=True)
class DeviceIdentity:
    """Which kind of device this is: no host name, no serial number.

    Attributes:
        model: The product: "Raspberry Pi 5 Model B Rev 1.0".
        machine: The instruction set: "x86_64", "aarch64".
        cpu: The processor's name, and its parts where the kernel numbers them.
        n_cores: Cores that are present, online or not.
        ram_mb: Memory in all, in units of 2**20 bytes, less what the kernel keeps.
    """

    model: str | None = None
    machine: str | None = None
    cpu: str | None = None
    n_cores: int | None = None
    ram_mb: float | None = None

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that tell a profile of this kind of device from another's.

        Memory counts by its class (.. 3, 4, 6, 8, 12 GB ..): the kernel's own share, and so
        `ram_mb`, changes a little with every update.
        """
        facts = [self.model, self.machine, self.cpu, self.n_cores, _ram_class(self.ram_mb)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


class StateReader(Protocol):
    """Whatever has a device's state: `Device`, or `FixedDevice` in tests and simulations."""

    def read(self) -> DeviceState: ...

    def identity(self) -> DeviceIdentity: ...


class FixedDevice:
    """A device that says what it is told to; assign `state` to let it change.

    Args:
        state: What `read` returns.
        identity: What `identity` returns.
    """

    def __init__(self, state: DeviceState | None = None, *,
                 identity: DeviceIdentity | None = None) -> None:
        self.state = state if state is not None else DeviceState()
        self._identity = identity if identity is not None else DeviceIdentity()

    def read(self) -> DeviceState:
        return self.state

    def identity(self) -> DeviceIdentity:
        return self._identity


class Device:
    """This device, read from its files; neither making one nor reading it ever raises.

    Folders are listed once, when it is made: make another after a battery or a processor was
    plugged in. On a Raspberry Pi each `read` starts one short process, or two where no thermal
    zone has the temperature.

    Args:
        root: Where /sys and /proc lie.
        run: Runs a command and returns what it printed; raises OSError if there is no such
            command. None runs real ones, and only if `root` is "/".
        memory: Free bytes of memory; None asks psutil.
        machine: The instruction set's name.
    """

    def __init__(self, *, root: Path = Path("/"), run: Run | None = None,
                 memory: Callable[[], float] | None = None,
                 machine: Callable[[], str] = platform.machine) -> None:
        self._root = root
        self._memory = memory if memory is not None else _available_bytes
        self._machine = machine
        self._firmware = Vcgencmd(root, run)
        self._batteries = Batteries(root)
        thermal = root / "sys/class/thermal"
        self._zones = [Zone.of(folder) for folder in entries(thermal, r"thermal_zone\d+")]
        self._coolers = _coolers(thermal)
        self._policies = _policies(root / "sys/devices/system/cpu")

    def read(self) -> DeviceState:
        """Return what is known now; never raises, whatever the files hold."""
        battery = self._batteries.read()
        temperature_c, headroom = self._heat()
        frequency_mhz, frequency_max_mhz = _clock(self._policies)
        return DeviceState(
            battery_pct=battery.percent, charging=battery.charging,
            energy_left_mj=battery.energy_mj, battery_power_mw=battery.drain_mw,
            temperature_c=temperature_c, thermal_headroom=headroom, throttled=self._throttled(),
            power_saver=self._power_saver(), free_ram_mb=self._free_ram_mb(),
            frequency_mhz=frequency_mhz, frequency_max_mhz=frequency_max_mhz)

    def identity(self) -> DeviceIdentity:
        """Return which kind of device this is; never raises."""
        proc, sys = self._root / "proc", self._root / "sys"
        facts = _pairs(read_text(proc / "cpuinfo", 1 << 18))
        cpu = _cpu(facts)
        candidates = [read_text(proc / "device-tree/model"),
                      read_text(sys / "firmware/devicetree/base/model"),
                      read_text(sys / "class/dmi/id/product_name"), *facts.get("Model", []), cpu]
        model = next((text for text in map(_printable, candidates) if text), None)
        n_cores = len(entries(sys / "devices/system/cpu", r"cpu\d+"))
        total = re.match(r"([0-9]{1,15}) kB", _first(_pairs(read_text(proc / "meminfo")),
                                                     "MemTotal") or "")
        ram_mb = int(total[1]) / 1024 if total else 0
        return DeviceIdentity(model, _printable(self._machine()), cpu, n_cores or None,
                              ram_mb or None)

    def _heat(self) -> tuple[float | None, float | None]:
        """Return (temperature_c, thermal_headroom)."""
        by_kind: dict[str, list[float]] = {}
        headrooms = []
        for zone in self._zones:
            if zone.kind is not None and (celsius := read_celsius(zone.temp)) is not None:
                by_kind.setdefault(zone.kind, []).append(celsius)
                if zone.severe_c is not None:
                    headrooms.append(thermal_headroom(celsius, zone.severe_c))
        # ACPI's zone is somewhere on the board: it counts only where no sensor is the CPU's.
        hottest = max(by_kind.get("processor") or by_kind.get("firmware") or [], default=None)
        if hottest is None:
            told = re.fullmatch(r"temp=(-?[0-9]{1,3}(?:\.[0-9]{1,9})?)'C",
                                self._firmware.ask("measure_temp") or "")
            hottest = float(told[1]) if told else None
        return hottest, max(headrooms, default=None)

    def _throttled(self) -> bool | None:
        told = re.fullmatch(r"throttled=0x([0-9a-fA-F]{1,8})",
                            self._firmware.ask("get_throttled") or "")
        if told:
            return bool(int(told[1], 16) & PI_THROTTLED_NOW)
        states = [(cooler.complete, read_number(cooler.state)) for cooler in self._coolers]
        if any(state is not None and state > 0 for _, state in states):
            return True
        # A PC's processor throttles by itself and tells no cooling device: its 0 says nothing.
        idle = [state == 0 for complete, state in states if complete]
        return False if idle and all(idle) else None

    def _power_saver(self) -> bool | None:
        profile = read_text(self._root / "sys/firmware/acpi/platform_profile")
        known = {"low-power": True, "cool": False, "quiet": False, "balanced": False,
                 "balanced-performance": False, "performance": False, "max-power": False}
        told = [known.get(profile or ""), _saving_clock(self._policies)]
        if True in told:
            return True
        return False if False in told else None

    def _free_ram_mb(self) -> float | None:
        try:
            return float(self._memory()) / 2**20
        except Exception:  # psutil has many ways to stumble over /proc, and none may end a read
            return None


# ---- battery --------------------------------------------------------------------------


@dataclass(frozen=True)
class BatteryReading:
    """One battery, or several together; units as in `DeviceState`."""

    percent: float | None = None
    charging: bool | None = None
    energy_mj: float | None = None
    full_mj: float | None = None
    drain_mw: float | None = None


class Batteries:
    """The batteries that power the device, of /sys/class/power_supply under `root`.

    Those of mice and pens (scope "Device") are left out. Two supplies that describe one cell
    can not be told from two cells.
    """

    def __init__(self, root: Path) -> None:
        self.folders = [
            folder for folder in entries(root / "sys/class/power_supply", r".+")
            if (read_text(folder / "type") or "").lower() == "battery"
            and (read_text(folder / "scope") or "").lower() != "device"]

    def read(self) -> BatteryReading:
        """Return the batteries together; a number that one of them lacks is unknown of all."""
        each = [_read_battery(folder) for folder in self.folders
                if read_text(folder / "present") != "0"]
        if len(each) <= 1:
            return each[0] if each else BatteryReading()
        energy_mj, full_mj = _sum(b.energy_mj for b in each), _sum(b.full_mj for b in each)
        percents = {b.percent for b in each}
        # Without energies there are no weights, and a mean of percents would be a guess.
        percent = _share(energy_mj, full_mj)
        if percent is None and len(percents) == 1:
            percent = percents.pop()
        told = [b.charging for b in each if b.charging is not None]
        return BatteryReading(percent, all(told) if told else None, energy_mj, full_mj,
                              _sum(b.drain_mw for b in each))


def _read_battery(folder: Path) -> BatteryReading:
    status = (read_text(folder / "status") or "").lower()
    charging = {"charging": True, "full": True, "discharging": False,
                "not charging": False}.get(status)
    volts = _within(read_number(folder / "voltage_now"), VOLTAGE_UV)
    percent = _within(read_number(folder / "capacity"), PLAUSIBLE["battery_pct"])
    energy_mj, full_mj = _energy_mj(folder, "now", volts), _energy_mj(folder, "full", volts)
    if energy_mj == 0 and percent is not None and percent >= 1:
        energy_mj = None  # a counter that is not connected
    if percent is None:
        percent = _within(_share(energy_mj, full_mj), PLAUSIBLE["battery_pct"])
    return BatteryReading(percent, charging, energy_mj, full_mj,
                          _drain_mw(folder, status, volts))


def _energy_mj(folder: Path, which: str, volts_uv: float | None) -> float | None:
    limits = PLAUSIBLE["energy_left_mj"]
    energy_uwh = read_number(folder / f"energy_{which}")
    if energy_uwh is not None:
        return _within(energy_uwh * 3.6, limits)
    charge_uah = read_number(folder / f"charge_{which}")
    if charge_uah is None or volts_uv is None:
        return None
    return _within(charge_uah * volts_uv * 3.6e-6, limits)


def _drain_mw(folder: Path, status: str, volts_uv: float | None) -> float | None:
    """Return milliwatts out of the battery; the files' sign is not to be trusted.

    Linux wants negative for discharging (Documentation/ABI/testing/sysfs-class-power), but
    drivers do either, or neither, and some change with the cable. `status` knows.
    """
    power_uw, current_ua = read_number(folder / "power_now"), read_number(folder / "current_now")
    if power_uw is not None:
        power_mw = abs(power_uw) * 1e-3
    elif current_ua is not None and volts_uv is not None:
        power_mw = abs(current_ua) * volts_uv * 1e-9
    else:
        return None
    if _within(power_mw, PLAUSIBLE["battery_power_mw"]) is None:
        return None
    if power_mw == 0:
        return None if status == "discharging" else 0.0  # something must run on it
    return {"discharging": power_mw, "charging": -power_mw}.get(status)


# ---- heat -----------------------------------------------------------------------------


class Zone(NamedTuple):
    """A thermal zone: what it is near, and the temperature at which throttling begins."""

    temp: Path
    kind: str | None
    severe_c: float | None

    @classmethod
    def of(cls, folder: Path) -> Zone:
        name = read_text(folder / "type") or ""
        kinds = {"processor": PROCESSOR_ZONE, "firmware": FIRMWARE_ZONE, "skin": SKIN_ZONE}
        kind = next((kind for kind, pattern in kinds.items() if pattern.search(name)), None)
        # Intel's package zone has trip points that only notify programs, and throttle nothing.
        severe_c = None if name == "x86_pkg_temp" else _severe_c(folder)
        return cls(folder / "temp", kind, severe_c)


class Cooler(NamedTuple):
    """A cooling device that slows the processor; `complete` if nothing else does so for heat."""

    state: Path
    complete: bool


def thermal_headroom(celsius: float, severe_c: float) -> float:
    """Return how much of the way to throttling is used: 0 up to 30 degrees below, 1 at it.

    As Android's PowerManager.getThermalHeadroom says it, without its forecast.
    """
    return max(0.0, (celsius - severe_c) / HEADROOM_SPAN_C + 1.0)


def read_celsius(path: Path) -> float | None:
    """Return a thermal zone's temperature, or None.

    Files are in thousandths of a degree. Within one degree of 0 lie sensors that are switched
    off, drivers that answer in whole degrees, and zones that hold no temperature at all.
    """
    milli = read_number(path)
    if milli is None or abs(milli) < 1000:
        return None
    return _within(milli / 1000, PLAUSIBLE["temperature_c"])


def _severe_c(folder: Path) -> float | None:
    """Return the lowest trip point at which the kernel slows the processor, if there is one."""
    trips: dict[str, list[float]] = {}
    for path in entries(folder, r"trip_point_\d+_type"):
        celsius = read_celsius(path.with_name(path.name.removesuffix("type") + "temp"))
        if (celsius := _within(celsius, SEVERE_C)) is not None:
            trips.setdefault(read_text(path) or "", []).append(celsius)
    # "active" starts a fan and "critical" switches off: neither is throttling.
    return min(trips.get("passive") or trips.get("hot") or [], default=None)


def _coolers(thermal: Path) -> list[Cooler]:
    found = []
    for folder in entries(thermal, r"cooling_device\d+"):
        name = (read_text(folder / "type") or "").lower()
        if "cpufreq" in name or name == "processor":
            found.append(Cooler(folder / "cur_state", "cpufreq" in name))
    return found


# ---- clock ----------------------------------------------------------------------------


class Policy(NamedTuple):
    """Cores that share a clock."""

    folder: Path
    max_mhz: float | None


def _policies(cpus: Path) -> list[Policy]:
    """Return each cpufreq policy once: cores that share one link to it."""
    folders = {os.path.realpath(cpu / "cpufreq"): None for cpu in entries(cpus, r"cpu\d+")}
    return [Policy(Path(name), _mhz(Path(name) / "cpuinfo_max_freq"))
            for name in folders if os.path.isdir(name)]


def _clock(policies: list[Policy]) -> tuple[float | None, float | None]:
    """Return (frequency_mhz, frequency_max_mhz) of the cores with the highest maximum."""
    highest = max((p.max_mhz for p in policies if p.max_mhz is not None), default=None)
    fastest = [p for p in policies if p.max_mhz == highest][:MOST_POLICIES]
    now = [_mhz(p.folder / "scaling_cur_freq") for p in fastest]
    return max((mhz for mhz in now if mhz is not None), default=None), highest


def _saving_clock(policies: list[Policy]) -> bool | None:
    """Return whether every clock is held low, None where the files do not tell.

    Governor "powersave" holds the lowest clock, except under drivers that scale by themselves:
    there it is what every laptop runs, and the preference the user sets is another file.
    """
    told = []
    for policy in policies[:MOST_POLICIES]:
        governor = read_text(policy.folder / "scaling_governor")
        driver = read_text(policy.folder / "scaling_driver")
        if not governor or not driver:
            continue
        if driver not in SELF_SCALING_DRIVERS:
            told.append(governor == "powersave")
        elif preference := read_text(policy.folder / "energy_performance_preference"):
            told.append(preference == "power")
    return all(told) if told else None


def _mhz(path: Path) -> float | None:
    khz = read_number(path)
    return None if khz is None else _within(khz / 1000, PLAUSIBLE["frequency_mhz"])


# ---- firmware, files and numbers ------------------------------------------------------


class Vcgencmd:
    """The Raspberry Pi's `vcgencmd`, looked up once; arguments as in `Device`."""

    def __init__(self, root: Path, run: Run | None) -> None:
        if run is None and root == Path("/") and shutil.which("vcgencmd"):
            run = run_command
        self._run = run
        self._there = False

    def ask(self, question: str) -> str | None:
        """Return what `vcgencmd question` prints, stripped; None if it fails or is absent."""
        if self._run is None:
            return None
        try:
            answer = self._run(["vcgencmd", question]).strip()
        except OSError:
            if not self._there:
                self._run = None  # no such command: do not look for it at every read
            return None
        except (subprocess.SubprocessError, ValueError):
            return None
        self._there = True
        return answer


def run_command(arguments: list[str]) -> str:
    """Return what a command prints on stdout; OSError if absent, SubprocessError if it fails."""
    done = subprocess.run(arguments, check=True, capture_output=True, stdin=subprocess.DEVNULL,
                          timeout=TIMEOUT_S, encoding="utf-8", errors="replace")
    return done.stdout


def read_text(path: Path, limit: int = 1 << 14) -> str | None:
    """Return the first `limit` bytes of a file, stripped of white space and NUL, or None."""
    try:
        with path.open("rb") as file:
            return file.read(limit).decode("utf-8", "replace").strip(" \t\r\n\0")
    except (OSError, ValueError):
        return None


def read_number(path: Path) -> float | None:
    """Return the whole number a file holds, None for anything else."""
    text = read_text(path, 64)
    return float(text) if text and re.fullmatch(r"[+-]?[0-9]{1,18}", text) else None


def entries(folder: Path, pattern: str) -> list[Path]:
    """Return what lies in a folder with a name that `pattern` matches; nothing if unreadable."""
    try:
        return sorted(path for path in folder.iterdir() if re.fullmatch(pattern, path.name))
    except OSError:
        return []


def _within(value: float | None, limits: tuple[float, float]) -> float | None:
    # NaN compares false, and so becomes None too.
    return value if value is not None and limits[0] <= value <= limits[1] else None


def _sum(values: Iterable[float | None]) -> float | None:
    """Return the sum, None if one of them is unknown."""
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else 100.0 * part / whole


def _available_bytes() -> float:
    return float(psutil.virtual_memory().available)


def _pairs(text: str | None) -> dict[str, list[str]]:
    """Return the values of each key in lines of "key : value"."""
    found: dict[str, list[str]] = {}
    for line in (text or "").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            found.setdefault(key.strip(), []).append(value.strip())
    return found


def _first(pairs: dict[str, list[str]], key: str) -> str | None:
    return next(iter(pairs.get(key, [])), None)


def _cpu(facts: dict[str, list[str]]) -> str | None:
    """Return "name", "implementer:part ..." or both; Arm has numbers where others have names."""
    parts = sorted({f"{implementer}:{part}" for implementer, part in
                    zip(facts.get("CPU implementer", []), facts.get("CPU part", []),
                        strict=False)})
    return _printable(" ".join([_first(facts, "model name") or "", *parts]).strip())


def _printable(text: str | None) -> str | None:
    """Return a name on one line; None for a placeholder or for bytes that are no text."""
    words = " ".join((text or "").split())
    good = words.isprintable() and "\ufffd" not in words and len(words) <= 200
    return words if good and words.lower() not in NOT_A_MODEL else None


def _ram_class(ram_mb: float | None) -> float | None:
    """Return the next size that memory is sold in, in GB: 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, ..."""
    sizes = (size for k in range(-10, 30) for size in (2.0**k, 1.5 * 2.0**k))
    return None if ram_mb is None else next((s for s in sizes if ram_mb <= s * 1024), None)


# ---- command --------------------------------------------------------------------------


def main(as_json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """Print what this device says of itself, and "unknown" for the rest."""
    device = Device()
    identity, state = device.identity(), device.read()
    facts = {"identity": {**asdict(identity), "key": identity.key}, "state": asdict(state)}
    if as_json:
        say(json.dumps(facts))
        return
    from rich.console import Console
    from rich.table import Table

    for title, values in facts.items():
        table = Table("name", "value", box=None, show_header=False, pad_edge=False)
        for name, value in values.items():
            table.add_row(name, _shown(value))
        say(title)
        # Lines are for grep: as wide as they are, not as the terminal is.
        Console(width=300, highlight=False, markup=False, emoji=False).print(table)


def _shown(value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


app = command(main)

if __name__ == "__main__":
    app()
