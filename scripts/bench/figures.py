"""Reads the figures that the measured programs print, a line for each subject.

Two forms: `pause_us p50=93 p99=310` (a subject and its figures) and `bare_rate 11.2 Gbit/s` (a name, a
value and its unit).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bench.settings import BenchError

_FIGURE = re.compile(r"(?P<name>[a-z][a-z0-9_.]*)=(?P<value>-?[0-9]+(?:\.[0-9]+)?)%?")


class Figures:
    """What one run of a program came to: a number for each subject and name."""

    def __init__(self, subjects: Mapping[str, Mapping[str, float]]) -> None:
        self._subjects = subjects

    def value(self, subject: str, name: str) -> float:
        """One figure; its absence is an error that names it."""
        try:
            return self._subjects[subject][name]
        except KeyError:
            known = ", ".join(sorted(self._subjects)) or "nothing"
            raise BenchError(f"the program printed no figure {subject} {name}, only {known}") from None

    def of(self, subject: str) -> dict[str, float]:
        """All figures of a subject, in their order; none if it was not printed."""
        return dict(self._subjects.get(subject, {}))


def parse_subjects(text: str) -> Figures:
    """Reads lines of the first form; words that are no figures are passed over, as are other lines."""
    subjects: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        subject, *words = line.split() or [""]
        found = [match for match in map(_FIGURE.fullmatch, words) if match]
        if found:
            subjects.setdefault(subject, {}).update(
                (match["name"], float(match["value"])) for match in found
            )
    return Figures(subjects)


def parse_values(text: str) -> dict[str, tuple[float, str]]:
    """Reads lines of the second form: the value and unit of each name."""
    values = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) in (2, 3):
            try:
                values[words[0]] = (float(words[1]), words[2] if len(words) == 3 else "")
            except ValueError:
                continue
    return values
