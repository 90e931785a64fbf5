"""One axis of a plot: from values to places, and which values to write beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """Maps `low`..`high` to the places `start`..`end`, evenly or by logarithm."""

    low: float
    high: float
    is_log: bool
    start: float
    end: float

    @staticmethod
    def over(
        values: Sequence[float], is_log: bool, places: tuple[float, float], from_zero: bool = False
    ) -> Scale:
        """A scale that holds all values with a little room around them; a logarithmic one needs them above 0."""
        low, high = min(values), max(values)
        if is_log:
            if low <= 0:
                raise ValueError("a logarithmic axis has no place for 0")
            room = max(high / low, 1.5) ** 0.06
            low, high = low / room, high * room
        else:
            low = min(low, 0.0) if from_zero else low
            room = (high - low or abs(high) or 1.0) * 0.06
            low, high = (low if from_zero else low - room), high + room
        return Scale(low, high, is_log, *places)

    def position(self, value: float) -> float:
        """Where a value stands."""
        if self.is_log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int) -> list[tuple[float, str]]:
        """About `count` round values within the scale, and their texts."""
        values = self._log_ticks(count) if self.is_log else self._even_ticks(count)
        return [(value, short(value)) for value in values]

    def _even_ticks(self, count: int) -> list[float]:
        rough = (self.high - self.low) / count
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in _STEPS if factor * power >= rough)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]

    def _log_ticks(self, count: int) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        found: list[float] = []
        for factors in ((1,), (1, 3), (1, 2, 5)):
            values = [factor * 10.0**power for power in powers for factor in factors]
            within = [value for value in values if self.low <= value <= self.high]
            if len(within) <= count or not found:
                found = within
        return found


def short(value: float) -> str:
    """Short, without needless zeros: 0.25, 40, 1k, 20k, 3M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.4g}"
