"""Draws a plot as SVG: series of points over two axes, each linear or logarithmic, and a legend.

The colours are told apart by most colour-blind people, and every series has a mark of its own besides.
The background is white, so that a plot can be read on a dark page too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from bench.scale import Scale, short

_WIDTH, _HEIGHT = 760, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 24, 52, 58
_LEGEND_LINE = 20
_X_TICKS_MAX = 9
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#666666", "#e69f00")
_MARKS = ("circle", "square", "triangle", "diamond")
INK, FAINT = "#222222", "#dddddd"


@dataclass(frozen=True)
class Series:
    """Points that belong together, in the order in which a line joins them.

    Series of one subject share its colour and mark; the second kind of a subject's figures is dashed.
    """

    name: str
    points: Sequence[tuple[float, float]]
    subject: int
    is_dashed: bool = False


@dataclass
class Plot:
    """A plot; axes' labels end with the unit."""

    title: str
    x_label: str
    y_label: str
    is_x_log: bool = False
    is_y_log: bool = False
    series: list[Series] = field(default_factory=list)
    #: Horizontal lines with a name, such as a target.
    marks_y: list[tuple[str, float]] = field(default_factory=list)

    def svg(self) -> str:
        """The picture; a plot without points is a programmer's error."""
        points = [point for series in self.series for point in series.points]
        legend = _LEGEND_LINE * len(self.series)
        x = Scale.over([x for x, _ in points], self.is_x_log, (_LEFT, _WIDTH - _RIGHT))
        values_y = [y for _, y in points] + [y for _, y in self.marks_y]
        y = Scale.over(values_y, self.is_y_log, (_HEIGHT - _BOTTOM, _TOP), from_zero=not self.is_y_log)
        height = _HEIGHT + legend
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
            f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="13" fill="{INK}">',
            f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
            f'<text x="{_LEFT}" y="28" font-size="16" font-weight="bold">{escape(self.title)}</text>',
            *self._axes(x, y),
            *self._marks(y),
        ]
        for index, series in enumerate(self.series):
            parts += _drawn(series, x, y)
            parts += _legend_entry(series, index)
        return "\n".join([*parts, "</svg>", ""])

    def write(self, path: Path) -> None:
        """Writes the picture to a file."""
        path.write_text(self.svg(), encoding="utf-8")

    def _axes(self, x: Scale, y: Scale) -> list[str]:
        left, right, top, bottom = _LEFT, _WIDTH - _RIGHT, _TOP, _HEIGHT - _BOTTOM
        parts = []
        for value, text in y.ticks(6):
            at = y.position(value)
            parts.append(line(left, at, right, at, FAINT))
            parts.append(f'<text x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
        for value, text in self._x_ticks(x):
            at = x.position(value)
            parts.append(line(at, top, at, bottom, FAINT))
            parts.append(f'<text x="{at:.1f}" y="{bottom + 19}" text-anchor="middle">{text}</text>')
        middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
        return [
            *parts,
            line(left, top, left, bottom, INK),
            line(left, bottom, right, bottom, INK),
            f'<text x="{middle_x}" y="{bottom + 43}" text-anchor="middle">{escape(self.x_label)}</text>',
            f'<text transform="translate(20 {middle_y}) rotate(-90)" text-anchor="middle">'
            f"{escape(self.y_label)}</text>",
        ]

    def _x_ticks(self, x: Scale) -> list[tuple[float, str]]:
        """The measured places themselves, while they are few."""
        places = sorted({at for series in self.series for at, _ in series.points})
        return [(at, short(at)) for at in places] if len(places) <= _X_TICKS_MAX else x.ticks(_X_TICKS_MAX)

    def _marks(self, y: Scale) -> list[str]:
        parts = []
        for name, value in self.marks_y:
            at = y.position(value)
            parts.append(line(_LEFT, at, _WIDTH - _RIGHT, at, "#888888", "2 4"))
            parts.append(
                f'<text x="{_WIDTH - _RIGHT - 6}" y="{at - 5:.1f}" text-anchor="end" fill="#666666">'
                f"{escape(name)}</text>"
            )
        return parts


def _drawn(series: Series, x: Scale, y: Scale) -> list[str]:
    places = [(x.position(at), y.position(value)) for at, value in series.points]
    path = " ".join(f"{left:.1f},{top:.1f}" for left, top in places)
    colour = COLOURS[series.subject % len(COLOURS)]
    dashes = ' stroke-dasharray="6 4"' if series.is_dashed else ""
    joined = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
    return [joined, *(_mark(series, left, top) for left, top in places)]


def _legend_entry(series: Series, index: int) -> list[str]:
    top = _HEIGHT + _LEGEND_LINE * index + 4
    dashes = "6 4" if series.is_dashed else ""
    return [
        line(_LEFT, top, _LEFT + 34, top, COLOURS[series.subject % len(COLOURS)], dashes, 2),
        _mark(series, _LEFT + 17, top),
        f'<text x="{_LEFT + 44}" y="{top + 4.5}">{escape(series.name)}</text>',
    ]


def _mark(series: Series, left: float, top: float) -> str:
    """The subject's shape in its colour: filled, or hollow where the line is dashed."""
    colour = COLOURS[series.subject % len(COLOURS)]
    shape = _MARKS[series.subject % len(_MARKS)]
    look = f'fill="{"#ffffff" if series.is_dashed else colour}" stroke="{colour}" stroke-width="1.5"'
    if shape == "circle":
        return f'<circle cx="{left:.1f}" cy="{top:.1f}" r="4" {look}/>'
    corners = {
        "square": ((-3.6, -3.6), (3.6, -3.6), (3.6, 3.6), (-3.6, 3.6)),
        "triangle": ((0.0, -4.8), (4.6, 3.6), (-4.6, 3.6)),
        "diamond": ((0.0, -5.2), (5.2, 0.0), (0.0, 5.2), (-5.2, 0.0)),
    }[shape]
    points = " ".join(f"{left + across:.1f},{top + down:.1f}" for across, down in corners)
    return f'<polygon points="{points}" {look}/>'


def line(
    left: float, top: float, right: float, bottom: float, colour: str, dashes: str = "", width: float = 1
) -> str:
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{left:.1f}" y1="{top:.1f}" x2="{right:.1f}" y2="{bottom:.1f}" '
        f'stroke="{colour}" stroke-width="{width}"{dash}/>'
    )
