"""Plots as SVG in the page's own text: nothing is fetched, nothing runs; colours are the page's classes, for light and dark.

Whatever a plot says in words is escaped here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import Markup, escape

WIDTH = 530
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 14, 10, 38
_EVEN = (0, 0.25, 0.5, 0.75, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """One row of a strip plot: values of cases (or none), their mean and its interval."""

    name: str
    values: Sequence[float]
    mean: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Points of a curve, x ascending, with the interval of each where there is one."""

    name: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float]] = ()


def strips(title: str, rows: Sequence[Strip], label: str, overall: float | None = None) -> Markup:
    """A row for each, one below the other over one axis: a dot a case, a bar for the interval, a line for the mean."""
    known = [value for row in rows for value in (*row.values, *row.interval, row.mean) if math.isfinite(value)]
    if not known:
        return Markup("")
    low, high, marks = _axis(min(known), max(known))
    name_width = 16 + 6.6 * max(len(row.name) for row in rows)
    height = len(rows) * 38 + 10 + _BOTTOM

    def x(value: float) -> float:
        return name_width + (value - low) / (high - low) * (WIDTH - name_width - _RIGHT)

    parts = [_line("grid", x(mark), 6, x(mark), height - _BOTTOM) + _text(x(mark), height - 20, _number(mark), "mark") for mark in marks]
    if overall is not None:
        parts.append(_line("overall", x(overall), 6, x(overall), height - _BOTTOM))
    for number, row in enumerate(rows):
        middle = 27 + number * 38
        parts.append(_text(name_width - 10, middle + 4, row.name, "name"))
        # the same place every time: a jitter by the golden ratio, not by chance
        for index, value in enumerate(row.values):
            if math.isfinite(value):
                parts.append(f'<circle class="case" cx="{x(value):.1f}" cy="{middle - 9 + 18 * (index * 0.618 % 1):.1f}" r="2.6"/>')
        if math.isfinite(row.mean):
            start, stop = x(row.interval[0]), x(row.interval[1])
            parts.append(f'<rect class="interval" x="{start:.1f}" y="{middle - 4}" width="{max(stop - start, 1):.1f}" height="8"/>')
            parts.append(_line("mean", x(row.mean), middle - 11, x(row.mean), middle + 11))
    parts.append(_text(x((low + high) / 2), height - 4, label, "label"))
    return _svg(title, WIDTH, height, parts)


def curves(
    title: str, lines: Sequence[Curve], across: str, up: str, limits: tuple[float, float] | None = None, even: bool = False
) -> Markup:
    """Curves over one pair of axes; `even` draws both axes from 0 to 1 and the diagonal."""
    width, height = (320, 320) if even else (WIDTH - 60, 230)
    xs = [x for line in lines for x, _ in line.points]
    ys = [value for line in lines for pair in (*line.band, *((y, y) for _, y in line.points)) for value in pair]
    if not ys:
        return Markup("")
    x_low, x_high, x_marks = (0.0, 1.0, _EVEN) if even else (min(xs), max(xs), sorted(set(xs)))
    y_low, y_high, y_marks = (0.0, 1.0, _EVEN) if even else _axis(*(limits or (min(ys), max(ys))))

    def x(value: float) -> float:
        return _LEFT + (value - x_low) / ((x_high - x_low) or 1) * (width - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return height - _BOTTOM - (value - y_low) / (y_high - y_low) * (height - _BOTTOM - _TOP)

    parts = [
        _line("grid", _LEFT, y(mark), width - _RIGHT, y(mark)) + _text(_LEFT - 6, y(mark) + 4, _number(mark), "name") for mark in y_marks
    ]
    parts += [
        _line("grid", x(mark), _TOP, x(mark), height - _BOTTOM) + _text(x(mark), height - 22, _number(mark), "mark") for mark in x_marks
    ]
    if even:
        parts.append(_line("overall", x(0), y(0), x(1), y(1)))
    for number, line in enumerate(lines):
        if line.band:
            around = [(at, high) for (at, _), (_, high) in zip(line.points, line.band, strict=True)]
            around += [(at, low) for (at, _), (low, _) in reversed(list(zip(line.points, line.band, strict=True)))]
            parts.append(f'<polygon class="band c{number % 4}" points="{_points([(x(at), y(value)) for at, value in around])}"/>')
        parts.append(f'<polyline class="curve c{number % 4}" points="{_points([(x(at), y(value)) for at, value in line.points])}"/>')
        if len(line.points) <= 20:
            parts += [f'<circle class="dot c{number % 4}" cx="{x(at):.1f}" cy="{y(value):.1f}" r="3"/>' for at, value in line.points]
    parts.append(_text(x((x_low + x_high) / 2), height - 5, across, "label"))
    parts.append(_text(0, 0, up, "label", turned=(11, y((y_low + y_high) / 2))))
    return _svg(title, width, height, parts)


def steps(title: str, lines: Sequence[Curve], across: str, up: str) -> Markup:
    """Curves of shares, each of which holds from a point to the next one, and its interval with it; the upward axis goes from 0 to 1."""
    ends = [x for line in lines for x, _ in line.points]
    if not ends:
        return Markup("")
    width, height = WIDTH, 300
    low, high, marks = _axis(0.0, max(ends))

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (width - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return height - _BOTTOM - value * (height - _BOTTOM - _TOP)

    def held(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        made = [points[0]]
        for (_, before), (at, value) in pairwise(points):
            made += [(at, before), (at, value)]
        return [(x(at), y(value)) for at, value in made]

    parts = [
        _line("grid", _LEFT, y(mark), width - _RIGHT, y(mark)) + _text(_LEFT - 6, y(mark) + 4, _number(mark), "name") for mark in _EVEN
    ]
    parts += [
        _line("grid", x(mark), _TOP, x(mark), height - _BOTTOM) + _text(x(mark), height - 22, _number(mark), "mark") for mark in marks
    ]
    for number, line in enumerate(lines):
        if line.band:
            above = held([(at, upper) for (at, _), (_, upper) in zip(line.points, line.band, strict=True)])
            below = held([(at, lower) for (at, _), (lower, _) in zip(line.points, line.band, strict=True)])
            parts.append(f'<polygon class="band c{number % 4}" points="{_points([*above, *reversed(below)])}"/>')
    for number, line in enumerate(lines):
        parts.append(f'<polyline class="curve c{number % 4}" points="{_points(held(line.points))}"/>')
    parts.append(_text(x((low + high) / 2), height - 5, across, "label"))
    parts.append(_text(0, 0, up, "label", turned=(11, y(0.5))))
    return _svg(title, width, height, parts)


def _axis(low: float, high: float) -> tuple[float, float, list[float]]:
    """Ends and marks of an axis that holds both values, at steps of 1, 2 or 5."""
    span = (high - low) or abs(high) or 1.0
    raw = span / 4
    base = 10.0 ** math.floor(math.log10(raw))
    step = next(times * base for times in (1, 2, 5, 10) if times * base >= raw)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return first * step, last * step, [number * step for number in range(first, last + 1)]


def _number(value: float) -> str:
    return f"{np.format_float_positional(round(value, 6), trim='-')}".replace("-", "−")


def _points(pairs: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, words: str, kind: str, turned: tuple[float, float] | None = None) -> str:
    place = f'transform="translate({turned[0]:.1f} {turned[1]:.1f}) rotate(-90)"' if turned else f'x="{x:.1f}" y="{y:.1f}"'
    return f'<text class="{kind}" {place}>{escape(words)}</text>'


def _svg(title: str, width: float, height: float, parts: Sequence[str]) -> Markup:
    # every part was made of numbers and escaped words above
    inside = Markup("".join(parts))
    return Markup('<svg role="img" viewBox="0 0 {} {}" width="{}" height="{}"><title>{}</title>{}</svg>').format(
        width, height, width, height, title, inside
    )
