"""What a line on the screen is made of, and how numbers are written.

Every function is pure. Widths are terminal cells. A NaN is written as a dash: "there is none".
"""

import math
from typing import Final, Literal, NamedTuple

from rich.cells import cell_len, set_cell_size

from engine.model.printable import is_printable, printable

Align = Literal["left", "right"]

NONE: Final = "–"
TEXT_MAX_CHARS: Final = 100_000
"""What a line may hold: it is for who asked to read it whole."""
PRICE_PLACES: Final = 5
"""The most digits after the point that a price has."""


class Span(NamedTuple):
    """A piece of text in one tone; tones are named in `theme`."""

    text: str
    tone: str = ""


class Line(NamedTuple):
    """A row of the screen; `tone` lies under all its spans."""

    spans: tuple[Span, ...] = ()
    tone: str = ""


def line(*parts: str | Span, tone: str = "") -> Line:
    """Return a line of plain texts and spans."""
    spans = (Span(part) if isinstance(part, str) else part for part in parts)
    return Line(tuple(Span(shown(span.text), span.tone) for span in spans), tone)


def shown(text: str) -> str:
    """Return a text whose every character takes the cells it is counted for, and does nothing."""
    return text if is_printable(text) else printable(text, TEXT_MAX_CHARS)


def shown_lines(text: str) -> str:
    """Return a text of several lines, each as `shown`."""
    return "\n".join(map(shown, text.split("\n")))


def line_text(of: Line) -> str:
    """Return a line's characters without tones."""
    return "".join(span.text for span in of.spans)


def line_width(of: Line) -> int:
    """Return how many cells a line takes."""
    return sum(cell_len(span.text) for span in of.spans)


def changed(before: Line, after: Line, width: int) -> tuple[int, int]:
    """Return from which cell to which, not included, two lines of `width` cells differ."""
    one, other = _cells(before, width), _cells(after, width)
    if before.tone != after.tone or one is None or other is None:
        return 0, width
    differ = [i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    return (differ[0], differ[-1] + 1) if differ else (0, 0)


def _cells(of: Line, width: int) -> list[tuple[str, str]] | None:
    """Return each cell's character and tone; None where a character is not one cell wide."""
    cells = [(character, span.tone) for span in of.spans for character in span.text]
    if len(cells) != line_width(of):
        return None
    return (cells + [(" ", "")] * (width - len(cells)))[:width]


def fit(text: str, width: int, align: Align = "left") -> str:
    """Return `text` in exactly `width` cells; what does not fit ends in an ellipsis."""
    text = shown(text)
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    space = " " * (width - length)
    return text + space if align == "left" else space + text


def spread(left: Line, right: Line, width: int, fill: str = " ", fill_tone: str = "") -> Line:
    """Return both lines at the two ends of `width` cells; the right one goes first if tight."""
    gap = width - line_width(left) - line_width(right)
    if gap < 1:
        return left
    return Line((*left.spans, Span(fill * gap, fill_tone), *right.spans), left.tone)


def money(amount_ccy: float) -> str:
    """Return an amount with thousands separators and cents."""
    return NONE if math.isnan(amount_ccy) else f"{amount_ccy:z,.2f}"


def gain(amount_ccy: float) -> Span:
    """Return a signed amount: the sign is a glyph and a colour; nothing gained is muted."""
    if math.isnan(amount_ccy):
        return Span(NONE, "muted")
    if round(amount_ccy, 2) == 0.0:
        return Span("0.00", "muted")
    return Span(f"{amount_ccy:+z,.2f}".replace("-", "−"), "good" if amount_ccy > 0.0 else "bad")


def figure(value: float) -> str:
    """Return a plain figure with two digits after the point, without them where it is huge."""
    if math.isnan(value):
        return f"{NONE}   "
    text = f"{value:z,.2f}" if abs(value) < 999.995 else f"{value:z,.0f}"
    return text.replace("-", "−")


def percent(fraction: float, digits: int = 1) -> str:
    """Return a fraction as per cent."""
    return NONE if math.isnan(fraction) else f"{100.0 * fraction:z.{digits}f}%"


def age(seconds: float) -> str:
    """Return an age in the largest whole unit that says enough."""
    if math.isnan(seconds):
        return NONE
    if seconds < 1.0:
        return "<1s"
    if seconds < 120.0:
        return f"{int(seconds)}s"
    if seconds < 7200.0:
        return f"{int(seconds / 60)}m"
    if seconds < 172_800.0:
        return f"{int(seconds / 3600)}h"
    return f"{int(seconds / 86_400)}d"


def aligned(value: float) -> str:
    """Return a figure of any size to as many places as a price has, padded as `price` does."""
    if math.isnan(value):
        return NONE + " " * PRICE_PLACES
    if math.isinf(value):
        return "none"
    whole, _, places = f"{value:z,.{PRICE_PLACES}f}".replace("-", "−").partition(".")
    places = places.rstrip("0")
    return f"{whole}{'.' if places else ' '}{places:<{PRICE_PLACES}}"


def full_price(value: float) -> str:
    """Return a price whose symbol's digits are not known; 0 is "none"."""
    return aligned(value or math.nan)


def price(value: float, digits: int) -> str:
    """Return a price with its symbol's digits, padded so that points stand below each other.

    0 and NaN are "none".
    """
    if math.isnan(value) or value == 0.0:
        return NONE + " " * PRICE_PLACES
    return f"{value:,.{digits}f}" + " " * (PRICE_PLACES - digits + (digits == 0))
