"""The equity line in braille dots: two columns and four rows of dots a cell.

Drawn here because the plotting widget imports NumPy, which costs a third of the time to the first
paint. Each dot column shows the least and the last value of its points, so that a drawdown
between two columns is not smoothed away.
"""

import math
from collections.abc import Hashable, Sequence
from itertools import groupby

from engine.model.times import NS_PER_S
from pmpro_tui.console.draw.lines import Painted
from pmpro_tui.console.draw.text import Line, Span, line, money, spread
from pmpro_tui.console.draw.zone import Zone

_LEFT_BITS = (0x01, 0x02, 0x04, 0x40)
_RIGHT_BITS = (0x08, 0x10, 0x20, 0x80)
_BLANK = 0x2800

Point = tuple[int, float]

EVERY_S = 2.0


class Paced(Painted):
    """A picture that is drawn when its data has changed: at most every 2 s, or of a new subject."""

    _drawn: tuple[Hashable, Hashable] | None = None
    _drawn_ns = 0

    def offer(self, data: Hashable, time_ns: int, subject: Hashable = None) -> None:
        """Draw if `data` is new and the last drawing is old enough, or of another `subject`."""
        same = self._drawn is not None and self._drawn[0] == subject
        early = same and time_ns - self._drawn_ns < EVERY_S * NS_PER_S
        if (subject, data) != self._drawn and not early:
            self._drawn, self._drawn_ns = (subject, data), time_ns
            self.draw()


def curve_lines(points: Sequence[Point], zone: Zone, width: int, height: int) -> list[Line]:
    """Return the equity panel's body of exactly `height` lines where there is room."""
    usable = [p for p in points if math.isfinite(p[1])]
    if len(usable) < 2 or height < 3:
        return [line(Span("  no equity recorded yet", "muted"))]
    low, high = min(p[1] for p in usable), max(p[1] for p in usable)
    labels = [f"{money(high)}", f"{money(low)}"]
    label_width = max(len(label) for label in labels)
    plot_width = max(4, width - label_width - 2)
    rows = braille(usable, plot_width, height - 1, low, high)
    lines = []
    for y, row in enumerate(rows):
        label = labels[0] if y == 0 else labels[1] if y == len(rows) - 1 else ""
        lines.append(line(" ", Span(row, "plot"), " ", Span(f"{label:>{label_width}}", "muted")))
    ends = [zone.stamp(time_ns)[:-3] for time_ns in (usable[0][0], usable[-1][0])]
    if ends[0][:5] == ends[1][:5]:  # of one day
        ends = [end[6:] for end in ends]
    axis = spread(
        line(Span(f" {ends[0]}", "muted")),
        line(Span(ends[1], "muted")),
        plot_width + 1,
    )
    return [*lines, axis]


def drawdowns(points: Sequence[Point], high_water: float) -> list[Point]:
    """Return each point's drawdown below zero, under the highest point so far.

    `high_water` above all points was reached before them.
    """
    usable = [p for p in points if math.isfinite(p[1])]
    best = max((p[1] for p in usable), default=0.0)
    high = high_water if high_water > best else 0.0
    out = []
    for time_ns, value in usable:
        high = max(high, value)
        out.append((time_ns, value / high - 1.0 if high > 0.0 else 0.0))
    return out


def drawdown_lines(
    points: Sequence[Point], tiers: Sequence[float], width: int, height: int
) -> list[Line]:
    """Return drawdowns hanging from zero; the tiers are lines at their depths."""
    if len(points) < 2 or height < 2:
        return []
    deepest = -min(p[1] for p in points)
    bottom = next((tier for tier in tiers if tier > deepest), max(deepest, tiers[-1]))
    label_width = 6
    plot_width = max(4, width - label_width - 2)
    rows = braille(points, plot_width, height, -bottom, 0.0, filled=True)
    marks = {
        min(height - 1, int(tier / bottom * height - 0.01)): f"{100 * tier:g}%"
        for tier in tiers
        if tier <= bottom
    }
    lines = []
    for y, row in enumerate(rows):
        label = marks.get(y, "0%" if y == 0 else "")
        cells = _ruled(row, "warn") if y in marks else (Span(row, "plot"),)
        lines.append(line(" ", *cells, " ", Span(f"{label:>{label_width}}", "muted")))
    return lines


def _ruled(row: str, tone: str) -> tuple[Span, ...]:
    """Return a row whose empty cells are a line."""
    runs = groupby(row, key=lambda cell: cell == chr(_BLANK))
    return tuple(
        Span("╌" * len(list(cells)), tone) if empty else Span("".join(cells), "plot")
        for empty, cells in runs
    )


def braille(
    points: Sequence[Point],
    width: int,
    height: int,
    low: float,
    high: float,
    *,
    filled: bool = False,
) -> list[str]:
    """Return `height` rows of `width` cells; time runs left to right, evenly by index.

    `filled`: from the top down to the line.
    """
    n_columns, n_dots = 2 * width, 4 * height
    cells = [[0] * width for _ in range(height)]
    span = high - low or 1.0

    def dot(value: float) -> int:
        return round((high - value) / span * (n_dots - 1)) if high > low else n_dots // 2

    before: int | None = None
    for x, (least, last) in enumerate(decimated(points, n_columns)):
        ends = [dot(least), dot(last)] + ([before] if before is not None else [])
        if filled:
            ends = [0, dot(least)] if least < 0.0 else []
        bits = _LEFT_BITS if x % 2 == 0 else _RIGHT_BITS
        for y in range(min(ends, default=0), max(ends, default=-1) + 1):
            cells[y // 4][x // 2] |= bits[y % 4]
        before = dot(last)
    return ["".join(chr(_BLANK + cell) for cell in row) for row in cells]


def decimated(points: Sequence[Point], n: int) -> list[tuple[float, float]]:
    """Return `n` pairs (least, last): of runs of points, or between points if there are fewer."""
    count = len(points)
    if count < n:
        values = [_between(points, i * (count - 1) / (n - 1)) for i in range(n)]
        return [(value, value) for value in values]
    pairs = []
    for i in range(n):
        run = points[i * count // n : (i + 1) * count // n]
        pairs.append((min(p[1] for p in run), run[-1][1]))
    return pairs


def _between(points: Sequence[Point], place: float) -> float:
    index = min(int(place), len(points) - 2)
    share = place - index
    return points[index][1] * (1.0 - share) + points[index + 1][1] * share


def change_text(points: Sequence[Point]) -> str:
    """Return how long the curve is and what it gained, in words of the title."""
    usable = [p for p in points if math.isfinite(p[1])]
    if len(usable) < 2 or usable[0][1] <= 0.0:
        return ""
    gained = usable[-1][1] / usable[0][1] - 1.0
    return f"{duration(usable[-1][0] - usable[0][0])} {100 * gained:+z.2f}%".replace("-", "−")


def duration(length_ns: int) -> str:
    """Return a length of time in its two largest units."""
    minutes = length_ns // (60 * NS_PER_S)
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {rest:02d}m" if hours else f"{rest}m"
