"""Columns and figures: what fits, what is cut, and where decimal points stand."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmpro_tui.console.draw.columns import PLENTY, fitted
from pmpro_tui.console.draw.curve import curve_lines
from pmpro_tui.console.draw.text import aligned, full_price, line_text, line_width
from pmpro_tui.console.draw.zone import Zone
from pmpro_tui.console.screens import event_rows
from tests.console.scripted import START_NS, events

DAY_NS = 86_400_000_000_000
LONG = tuple(msgspec.structs.replace(e, source="gold-donchian-30/XAUUSD") for e in events(3))


@pytest.mark.parametrize("width", [60, 80, 104, 120, 160, 200])
def test_a_name_is_whole_where_the_text_beside_it_has_plenty(width: int) -> None:
    """Room goes to the text first, then to names that were cut, then to the text again."""
    shape = fitted(event_rows.columns(Zone()), width, LONG)
    widths = {column.header: cells for column, cells in shape.columns}
    assert line_width(shape.row(LONG[0], marked=False, active=False)) <= width
    assert (widths["Source"] == len(LONG[0].source)) == (widths["Event"] >= PLENTY)
    assert widths["Source"] >= min(14, width - 52)


@given(st.floats(-1e9, 1e9))
def test_decimal_points_stand_below_each_other(value: float) -> None:
    """A figure of any size ends as many cells after its point as every other one."""
    text = aligned(value)
    point = text.find(".") if "." in text else len(text.rstrip())
    assert len(text) - point == 6
    assert float(text.replace(",", "").replace("−", "-")) == pytest.approx(value, abs=5.1e-6)


def test_a_price_is_never_rounded_to_so_many_digits_in_all() -> None:
    """A large price keeps its cents; none is a dash at the same place."""
    assert full_price(102_345.67) == "102,345.67   "
    assert full_price(0.0) == full_price(math.nan) == "–     "


@pytest.mark.parametrize(
    ("span_ns", "ends"),
    [(DAY_NS // 24, ("10:00", "11:00")), (DAY_NS, ("06-10 10:00", "06-11 10:00"))],
)
def test_a_curve_over_days_names_them(span_ns: int, ends: tuple[str, str]) -> None:
    """The hour alone would say that a curve of a day begins and ends at the same time."""
    start_ns = START_NS - START_NS % DAY_NS + 10 * DAY_NS // 24
    points = [(start_ns, 1.0), (start_ns + span_ns, 2.0)]
    axis = line_text(curve_lines(points, Zone(), 60, 8)[-1])
    assert axis.split("  ")[0].strip() == ends[0]
    assert axis.rstrip().endswith(ends[1])
