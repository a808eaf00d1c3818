"""The governor, slow and obvious: its rules in Python, over everything ever told.

Sums and products are in the core's order, so that decisions agree to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isnan, nan

LATENCY, ENERGY, BATTERY, MEMORY, FREE_RAM, RISK, ACCURACY = (1 << bit for bit in range(7))
BEST, WAITS, THROTTLED, SAVER, FLOOR, MISSED = range(6)
LONG_AGO = -1e9


def within(x, least, most):
    return x if least <= x <= most else nan


@dataclass
class Told:
    """What C calls edge_budget and edge_signals."""

    latency_ms: float = nan
    energy_mj: float = nan
    memory_mb: float = nan
    risk: float = nan
    min_accuracy: float = nan
    battery_floor_pct: float = nan
    last_until_s: float = nan
    now_s: float = nan
    battery_pct: float = nan
    energy_left_mj: float = nan
    battery_power_mw: float = nan
    thermal_headroom: float = nan
    free_ram_mb: float = nan
    rate_hz: float = nan
    charging: int = -1
    throttled: int = -1
    power_saver: int = -1

    def limits(self):
        """What makes a budget another one; of the time to last, only whether there is one."""
        numbers = (self.latency_ms, self.energy_mj, self.memory_mb, self.risk, self.min_accuracy,
                   self.battery_floor_pct)
        return [None if isnan(x) else x for x in numbers] + [isnan(self.last_until_s)]


@dataclass
class Answer:
    choice: int
    missed: int
    why: int
    better: int | None
    better_missed: int
    unpaced: bool
    switched: bool
    predicted_p95_ms: float
    better_p95_ms: float
    wait_s: float
    slowdown: float
    allowed_mj: float
    rate_hz: float
    met: bool = field(init=False)

    def __post_init__(self):
        self.met = self.missed == 0


class Oracle:
    """choices: rows of (p50, p95, energy, accuracy, risk, RAM), NaN where unknown."""

    def __init__(self, choices):
        self.p50, self.p95 = [c[0] for c in choices], [c[1] for c in choices]
        self.profiled_mj = [within(c[2], 0, 1e300) for c in choices]
        self.accuracy = [within(c[3], -1e300, 1e300) for c in choices]
        self.risk = [within(c[4], 0, 1e300) for c in choices]
        self.ram = [within(c[5], 0, 1e300) for c in choices]
        self.everyone = range(len(choices))
        self.energy = list(self.profiled_mj)
        self.thrift = sorted(self.everyone, key=self.thriftiness)
        self.by_accuracy = sorted(self.everyone, key=lambda i: (
            (1, -i) if isnan(self.accuracy[i]) else (0, -self.accuracy[i], *self.thriftiness(i))))
        self.ratios = [1.0] * 13           # latency / p50, of all that was observed
        self.shapes = [1.0] * 13           # p50 / p95 of what ran
        self.since_change = [1.0] * 13     # the ratios since the speed last changed
        self.tails = [1.0] * 64
        self.observed = 0
        self.speed = 1.0
        self.time, self.clock = 0.0, None
        self.current = self.running = self.left = None
        self.met, self.mode, self.budget = False, "normal", None
        self.own = {i: (1.0, LONG_AGO) for i in self.everyone}  # factor, until
        self.held = dict.fromkeys(self.everyone, LONG_AGO)
        self.hold = dict.fromkeys(self.everyone, 10.0)
        self.switches = [LONG_AGO, LONG_AGO]  # when; the last is the latest
        self.arrived, self.rose, self.decisions = 0.0, False, 0
        self.decided, self.events, self.events_s = 0.0, 0.0, 0.0
        self.allowed = self.spent = nan

    def thriftiness(self, i):
        energy = self.profiled_mj[i]
        return (isnan(energy), 0 if isnan(energy) else energy, self.p95[i], i)

    # ---- what a choice would cost ----

    def own_factor(self, i):
        factor, until = self.own[i]
        return factor if self.time < until else 1.0

    def tail(self, nth_largest):
        return sorted(self.tails[-64:])[-nth_largest]

    def predicted(self, i, tail):
        return self.p95[i] * (self.speed * tail * self.own_factor(i))

    def misses(self, told, i, tail, room):
        def above(cost, limit):
            return not isnan(limit) and not cost <= limit

        missed = 0
        if above(self.predicted(i, tail), told.latency_ms * room):
            missed |= LATENCY
        if above(self.energy[i], told.energy_mj):
            missed |= ENERGY
        if self.mode == "floor" or above(self.energy[i], self.limit_mj * room):
            missed |= BATTERY
        if above(self.ram[i], told.memory_mb):
            missed |= MEMORY
        freed = 0.0 if self.running is None or isnan(self.ram[self.running]) \
            else self.ram[self.running]
        free = within(told.free_ram_mb, 0, 1e300)
        if self.ram[i] - freed > 0 and self.ram[i] - freed > free * room:
            missed |= FREE_RAM
        if above(self.risk[i], told.risk):
            missed |= RISK
        if not isnan(told.min_accuracy) and not self.accuracy[i] >= told.min_accuracy:
            missed |= ACCURACY
        return missed

    def fitting(self, told, room=1.0, held_too=False):
        return [i for i in self.order() if (held_too or not self.time < self.held[i])
                and self.misses(told, i, self.tail(4), room) == 0]

    def better_than(self, current):
        """Those that come before it, for more than their latency alone."""
        before = self.order()[:self.order().index(current)]
        if self.mode != "normal":
            return before
        return [i for i in before if self.accuracy[i] != self.accuracy[current]
                or self.profiled_mj[i] < self.profiled_mj[current]]

    def order(self):
        return self.by_accuracy if self.mode == "normal" else self.thrift

    def fastest(self, among):
        return min((i for i in self.thrift if i in among), key=lambda i: self.predicted(i, 1.0))

    # ---- time and battery ----

    def advance(self, now):
        if isnan(within(now, -1e300, 1e300)):
            return
        if self.clock is not None and now > self.clock:
            self.time += min(now - self.clock, 86400.0)
        self.clock = now

    def rate(self, told):
        if self.current is not None:
            self.events = self.events * 0.96875 + 1
            self.events_s = self.events_s * 0.96875 + (self.time - self.decided)
        self.decided = self.time
        if 1e-9 <= told.rate_hz <= 1e9:
            return told.rate_hz
        return self.events / self.events_s if self.events_s > 0 else nan

    def pace(self, told, rate):
        """The limit that even spending sets, and whether it was asked for but can not be told."""
        if told.charging == 1 or isnan(told.last_until_s):
            self.allowed = nan
            return nan, False
        left_s = told.last_until_s - told.now_s
        if not left_s > 0:
            self.allowed = nan
            return nan, isnan(told.now_s)
        energy = within(told.energy_left_mj, 0, 1e300)
        pct, floor = within(told.battery_pct, 1e-3, 100), within(told.battery_floor_pct, 0, 100)
        power = within(told.battery_power_mw, 0, 1e300)
        reserve = 0.0 if isnan(pct) or isnan(floor) else min(1, floor / pct) * energy
        others = 0.0 if isnan(power) or isnan(self.spent) else max(0, power - self.spent * rate)
        if isnan(energy) or isnan(rate) or all(map(isnan, self.energy)):
            self.allowed = nan
            return nan, True
        allowed = max(((energy - reserve) / left_s - others) / rate, 0)
        self.allowed = allowed if isnan(self.allowed) else \
            self.allowed + (allowed - self.allowed) * 0.125
        return self.allowed, False

    def mode_of(self, told):
        pct = within(told.battery_pct, 0, 100)
        margin = 2.0 if self.mode == "floor" else 0.0
        if told.charging != 1 and pct - margin <= told.battery_floor_pct:
            return "floor"
        return "saver" if told.power_saver == 1 else "normal"

    # ---- the choice ----

    def decide(self, told):
        self.advance(told.now_s)
        rate = self.rate(told)
        hot = told.throttled == 1 or 1 <= told.thermal_headroom <= 10
        mode = self.mode_of(told)
        fresh = (self.current is None or told.limits() != self.budget
                 or (mode != self.mode and not (hot and mode == "normal")))
        self.limit_mj, unpaced = self.pace(told, rate)
        self.mode, self.budget = mode, told.limits()
        self.decisions += 1
        choice, failed = self.pick(told, fresh, hot)
        switched = self.current is not None and choice != self.current
        if choice != self.current:
            self.move(told, choice, fresh, failed)
        missed = self.misses(told, choice, self.tail(4 if switched else 7), 1.0)
        self.met = missed == 0
        return Answer(
            choice, missed, *self.explain(told, choice, missed, hot), unpaced=unpaced,
            switched=switched, predicted_p95_ms=self.predicted(choice, self.tail(4)),
            slowdown=self.speed, allowed_mj=self.limit_mj, rate_hz=rate,
            **self.better_numbers(told, choice, missed))

    def pick(self, told, fresh, hot):
        if self.mode == "floor":
            return self.thrift[0], False
        if fresh:
            found = self.fitting(told, held_too=True)
            return (found[0] if found else self.fastest(self.everyone)), False
        stays = self.misses(told, self.current, self.tail(7), 1.0) == 0
        room = 0.5 if self.time - self.switches[0] < 60 else \
            0.9 if self.time - self.switches[1] < 60 else 1.0
        if not stays and self.met:
            found = self.fitting(told, room)
            if found:
                return found[0], True
            return self.fastest(self.fitting(told) or self.everyone), True
        if not hot and self.until_rise() <= 0 and self.decisions >= 16:
            better = self.better_than(self.current) if stays else self.everyone
            found = [i for i in self.fitting(told, room) if i in better]
            if found:
                return found[0], False
        return (self.current if stays else self.fastest(self.everyone)), False

    def until_rise(self):
        return max(10 - (self.time - self.switches[1]), 60 - (self.time - self.switches[0]))

    def move(self, told, choice, fresh, failed):
        was = self.current
        if failed:
            soon = self.rose and self.time - self.arrived < 60
            self.hold[was] = min(2 * self.hold[was], 640.0) if soon else 10.0
            self.held[was] = self.time + self.hold[was]
            if self.misses(told, was, self.tail(7), 1.0) & LATENCY:
                self.left = (was, self.speed * self.own_factor(was), 0)
        self.switches = [LONG_AGO, LONG_AGO] if fresh else [self.switches[1], self.time]
        self.arrived, self.rose = self.time, not fresh and not failed
        self.decisions, self.current = 0, choice

    def better_of(self, told, choice, missed):
        """Return (a better choice or None, whether it waits)."""
        if self.mode == "floor":
            return None, False
        waiting = self.fitting(told, held_too=True)
        if not missed:
            waiting = [i for i in waiting if i in self.better_than(choice)]
        if waiting and waiting[0] != choice:
            return waiting[0], True
        if missed or self.mode != "normal":
            return None, False
        before = self.order()[:self.order().index(choice)]
        unfit = [i for i in before if self.misses(told, i, self.tail(4), 1.0)]
        return (unfit[-1] if unfit else None), False

    def explain(self, told, choice, missed, hot):
        better, waits = self.better_of(told, choice, missed)
        why = {"floor": FLOOR, "saver": SAVER, "normal": BEST}[self.mode]
        if waits:
            why = THROTTLED if hot else WAITS
        elif missed and self.mode != "floor":
            why = MISSED
        return why, better, 0 if better is None else self.misses(told, better, self.tail(4), 1.0)

    def better_numbers(self, told, choice, missed):
        better, waits = self.better_of(told, choice, missed)
        return {
            "better_p95_ms": nan if better is None else self.predicted(better, self.tail(4)),
            "wait_s": max(self.until_rise(), self.held[better] - self.time, 0) if waits else nan,
        }

    # ---- what is learnt ----

    def observe(self, choice, latency_ms, energy_mj, now_s):
        self.advance(now_s)
        if 0 < latency_ms <= 1e300:
            self.learn_speed(choice, latency_ms / (self.p50[choice] * self.own_factor(choice)))
            self.learn_own(choice)
        known = self.energy[choice]
        if 0 <= energy_mj <= 1e300:
            self.energy[choice] = energy_mj if isnan(known) else \
                known + (energy_mj - known) * 0.0625
        else:
            energy_mj = known
        if not isnan(energy_mj):
            self.spent = energy_mj if isnan(self.spent) else \
                self.spent + (energy_mj - self.spent) * 0.0625
        self.running = choice

    def learn_speed(self, choice, ratio):
        shape = self.p50[choice] / self.p95[choice]
        change = max(1.3, min(1.6, self.tail(4) / shape))
        self.ratios.append(max(min(ratio, 64.0), 1 / 64.0))
        self.shapes.append(shape)
        self.since_change.append(self.ratios[-1])
        fast = sorted(self.ratios[-13:])[6]
        slow = sorted(self.since_change[-63:])
        self.speed = slow[len(slow) // 2]
        if fast > self.speed * change or self.speed > fast * change:
            # The core's window keeps its places: the oldest of these go first or last.
            self.since_change = self.in_places()
            self.speed = fast
        self.observed += 1
        if self.observed >= 13:
            self.tails.append(self.ratios[-7] / fast * self.shapes[-7])

    def in_places(self):
        n = len(self.ratios) % 13
        last = self.ratios[-13:]
        return last[13 - n:] + last[:13 - n]

    def learn_own(self, choice):
        if self.left is None or choice != self.current or choice == self.left[0]:
            return
        left, speed, seen = self.left
        self.left = (left, speed, seen + 1)
        if seen + 1 < 13:
            return
        slower = speed / sorted(self.ratios[-13:])[6]
        if slower > 1.15:
            self.own[left] = (min(slower, 4.0),
                              max(self.held[left], self.time + self.hold[left]))
        self.left = None
