"""Correlations as a map: sign and strength by glyph, and by colour where there is one. Pure.

Where there is room each cell is its number; two symbols above the threshold are marked `!`.
"""

import math
from collections.abc import Sequence

from engine.model.views.details import Correlation
from pmpro_tui.console.draw.text import Line, Span, fit, line

_SHADES = (" ", "░", "▒", "▓", "█")
_LABEL_MIN = 6


def heat_lines(told: Correlation, width: int, height: int) -> list[Line]:
    """Return the map of the symbols that fit; those that are held first."""
    order = sorted(range(len(told.symbols)), key=lambda i: not _is_held(told.net_frac[i]))
    label = max(_LABEL_MIN, max((len(name) for name in told.symbols), default=0))
    room = width - label - 3
    cell = label + 1  # a number with its sign and mark fits
    wide = room // cell >= min(len(order), height - 3)
    cell = cell if wide else 3
    shown = order[: max(0, min(room // cell, height - 3))]
    lines = [_header(told, shown, label, cell)]
    for a in shown:
        held = "●" if _is_held(told.net_frac[a]) else " "
        head = (Span(f" {fit(told.symbols[a], label)}{held}", ""),)
        cells = (_cell(told, a, b, cell, wide=wide) for b in shown)
        lines.append(Line((*head, *cells)))
    left_out = len(order) - len(shown)
    more = f", {left_out} more symbols" if left_out else ""
    legend = [f" ● held  ! same bet above {told.threshold:.2f}{more}"]
    if not wide:
        legend.append(" +− sign  ░ 0.2 ▒ 0.4 ▓ 0.6 █ 0.8  ? too few samples")
    elif any(math.isnan(told.matrix[a][b]) for a in shown for b in shown if a != b):
        legend.append(" ? too few samples yet")
    lines += [line(Span(fit(text, width), "muted")) for text in legend]
    return lines


def _header(told: Correlation, shown: Sequence[int], label: int, cell: int) -> Line:
    names = "".join(fit(told.symbols[b], cell - 1, "right") + " " for b in shown)
    return line(Span(f" {' ' * label} {names}", "header"))


def _cell(told: Correlation, a: int, b: int, width: int, *, wide: bool) -> Span:
    rho = told.matrix[a][b]
    if a == b or math.isnan(rho):
        return Span(f"{'·' if a == b else '?':>{width - 1}} ", "muted")
    sign = "−" if rho < 0.0 else "+"
    size = abs(rho)
    same = "!" if size > told.threshold else " "
    tone = "bad" if same == "!" else "warn" if size >= 0.6 else "plot" if size >= 0.2 else "muted"
    shade = f"{size:.2f}" if wide else _SHADES[min(len(_SHADES) - 1, int(size * 5))]
    return Span(f"{sign + shade:>{width - 1}}{same}", tone)


def _is_held(net_frac: float) -> bool:
    return net_frac != 0.0 and not math.isnan(net_frac)
