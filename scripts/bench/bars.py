"""Draws bars as SVG: groups under each other, a bar for each of the legend's names in every group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from bench.plot import COLOURS, FAINT, INK, line
from bench.scale import Scale, short

_WIDTH = 760
_LEFT, _RIGHT, _TOP, _BOTTOM = 170, 80, 52, 54
_BAR, _GAP, _LEGEND_LINE = 18, 14, 20


@dataclass
class Bars:
    """A drawing of values from 0 on; the axis' label ends with the unit."""

    title: str
    label: str
    legend: Sequence[str]
    groups: list[tuple[str, Sequence[float]]] = field(default_factory=list)

    def add(self, name: str, values: Sequence[float]) -> None:
        """Adds a group, a value for each of the legend's names."""
        if len(values) != len(self.legend):
            raise ValueError(f"{len(values)} values for {len(self.legend)} names")
        self.groups.append((name, values))

    def svg(self) -> str:
        """The picture; a drawing without groups is a programmer's error."""
        group_height = _BAR * len(self.legend) + _GAP
        bottom = _TOP + group_height * len(self.groups)
        legend_lines = len(self.legend) if len(self.legend) > 1 else 0
        height = bottom + _BOTTOM + _LEGEND_LINE * legend_lines
        values = [value for _, group in self.groups for value in group]
        scale = Scale.over(values, False, (_LEFT, _WIDTH - _RIGHT), from_zero=True)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
            f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="13" fill="{INK}">',
            f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
            f'<text x="20" y="28" font-size="16" font-weight="bold">{escape(self.title)}</text>',
        ]
        for value, text in scale.ticks(6):
            at = scale.position(value)
            parts.append(line(at, _TOP, at, bottom, FAINT))
            parts.append(f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{text}</text>')
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        parts.append(f'<text x="{middle}" y="{bottom + 40}" text-anchor="middle">{escape(self.label)}</text>')
        for index, (name, group) in enumerate(self.groups):
            parts += _group(name, group, _TOP + group_height * index + _GAP / 2, scale)
        parts.append(line(_LEFT, _TOP, _LEFT, bottom, INK))
        for index, name in enumerate(self.legend[:legend_lines]):
            top = bottom + _BOTTOM + _LEGEND_LINE * index
            parts.append(f'<rect x="{_LEFT}" y="{top - 11}" width="12" height="12" fill="{COLOURS[index]}"/>')
            parts.append(f'<text x="{_LEFT + 20}" y="{top}">{escape(name)}</text>')
        return "\n".join([*parts, "</svg>", ""])

    def write(self, path: Path) -> None:
        """Writes the picture to a file."""
        path.write_text(self.svg(), encoding="utf-8")


def _group(name: str, values: Sequence[float], top: float, scale: Scale) -> list[str]:
    middle = top + _BAR * len(values) / 2 + 4.5
    parts = [f'<text x="{_LEFT - 10}" y="{middle:.1f}" text-anchor="end">{escape(name)}</text>']
    for index, value in enumerate(values):
        bar_top, end = top + _BAR * index, scale.position(value)
        parts.append(
            f'<rect x="{_LEFT}" y="{bar_top + 1:.1f}" width="{end - _LEFT:.1f}" height="{_BAR - 2}" '
            f'fill="{COLOURS[index]}"/>'
        )
        parts.append(f'<text x="{end + 6:.1f}" y="{bar_top + 13.5:.1f}">{short(value)}</text>')
    return parts
