"""A device whose speed changes, simulated: what benchmarks and tests try the governor on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Load = Callable[[int, int], float]
"""(number of the inference, choice) to how many times slower than idle it is."""


class Deciding(Protocol):
    """What is simulated: decide at a time, observe after it."""

    def decide(self, now_s: float) -> int:
        """Return the index of the choice to run."""

    def observe(self, choice: int, latency_ms: float, now_s: float) -> None:
        """Learn from what has run."""


@dataclass(frozen=True)
class Noise:
    """Latency around its median: lognormal, some of them a few times longer."""

    sigma: float = 0.1
    spikes: float = 0.0
    spike: float = 3.0

    def p95(self, n: int = 200_000) -> float:
        """Return the 95th percentile of the noise, its median being near 1."""
        drawn = self.draw(np.random.default_rng(0), n)
        return float(np.percentile(drawn, 95) / np.median(drawn))

    def draw(self, random: np.random.Generator, n: int) -> NDArray[np.float64]:
        """Return `n` factors."""
        factors: NDArray[np.float64] = np.exp(self.sigma * random.standard_normal(n))
        factors[random.random(n) < self.spikes] *= self.spike
        return factors


@dataclass(frozen=True)
class Run:
    """What happened, inference by inference."""

    choices: NDArray[np.int64]
    latency_ms: NDArray[np.float64]
    at_s: NDArray[np.float64]

    @property
    def switched_s(self) -> NDArray[np.float64]:
        """Return when the choice changed."""
        switched: NDArray[np.float64] = self.at_s[1:][np.diff(self.choices) != 0]
        return switched

    def p95_ms(self, start: int, stop: int) -> float:
        """Return the 95th percentile of the latencies of a stretch."""
        return float(np.percentile(self.latency_ms[start:stop], 95))

    def most_switches_a_minute(self, start_s: float = 0.0) -> int:
        """Return the most switches within any 60 s from `start_s` on."""
        times = self.switched_s[self.switched_s >= start_s]
        return max((int(np.sum((times >= t) & (times < t + 60))) for t in times), default=0)


def simulate(
    governor: Deciding, p50_ms: list[float], *, n: int, rate_hz: float, noise: Noise, load: Load,
    seed: int,
) -> Run:
    """Run `n` inferences, each when the one before has ended and its turn has come."""
    random = np.random.default_rng(seed)
    factors = noise.draw(random, n)
    now = 0.0
    choices, latencies, times = [], [], []
    for i in range(n):
        choice = governor.decide(now)
        latency = p50_ms[choice] * load(i, choice) * float(factors[i])
        times.append(now)
        choices.append(choice)
        latencies.append(latency)
        governor.observe(choice, latency, now + latency / 1e3)
        now += max(latency / 1e3, 1 / rate_hz)
    return Run(np.array(choices), np.array(latencies), np.array(times))


def step_up_and_down(start: int, stop: int, factor: float = 2.0) -> Load:
    """Return a load that multiplies latency from one inference to another."""
    return lambda i, choice: factor if start <= i < stop else 1.0


def steady(factor: float = 1.0) -> Load:
    """Return a load that never changes."""
    return lambda i, choice: factor


def busy_core(share: float, seed: int, factor: float = 2.0) -> Load:
    """Return a load that hits a share of the inferences, drawn once."""
    hit = np.random.default_rng(seed).random(1 << 16) < share
    return lambda i, choice: factor if hit[i % len(hit)] else 1.0


def waves(period: int, factor: float = 2.0) -> Load:
    """Return a load that swings between 1 and `factor` as a device that heats and cools."""
    return lambda i, choice: 1 + (factor - 1) * (0.5 - 0.5 * math.cos(2 * math.pi * i / period))
