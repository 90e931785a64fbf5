"""Lets methods take turns, so that what else the machine does hits all of them alike."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.figures import Figures
from bench.load import Load
from bench.methods import Method
from bench.network import Link


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    rounds: int
    seconds: int
    is_quick: bool

    @staticmethod
    def of(is_quick: bool) -> Extent:
        """Quick: to see that all works. Otherwise: for figures to show."""
        return Extent(rounds=1, seconds=2, is_quick=True) if is_quick else Extent(3, 4, False)


@dataclass(frozen=True)
class Rounds:
    """The figures of one method at one load, a run after the other."""

    runs: Sequence[Figures]

    def median(self, subject: str, name: str) -> float:
        """The median over the runs of what each printed."""
        return statistics.median(run.value(subject, name) for run in self.runs)


def take_turns(
    link: Link, methods: Sequence[Method], loads: Mapping[float, Load], rounds: int
) -> dict[tuple[str, float], Rounds]:
    """Measures each method at each load in each round, methods next to each other."""
    runs: dict[tuple[str, float], list[Figures]] = {}
    for number in range(1, rounds + 1):
        for at, load in loads.items():
            for method in methods:
                print(f"round {number} of {rounds}: {method.name}, {at:g}", flush=True)
                runs.setdefault((method.name, at), []).append(method.measure(link, load))
    return {key: Rounds(found) for key, found in runs.items()}
