"""The overview's pictures say what the numbers say."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.views.snapshot import (
    AlertView,
    ChannelView,
    ControlView,
    ResultView,
    Snapshot,
    TerminalView,
)
from pmpro_tui.console.draw.curve import drawdown_lines, drawdowns
from pmpro_tui.console.draw.gauges import exposure_lines, gauge_lines
from pmpro_tui.console.draw.health import facts, worries
from pmpro_tui.console.draw.text import line_text, line_width
from tests.console.scripted import Clock, ScriptedFeed, risk, strategies

TIERS = (0.04, 0.08, 0.12)
_money = st.floats(1.0, 1e7, allow_nan=False)


@given(st.lists(_money, min_size=1, max_size=50), _money)
def test_a_drawdown_is_never_a_gain_and_knows_the_mark_before(
    values: list[float], high: float
) -> None:
    """Each point lies under the highest so far; a mark above all points was there before them."""
    points = [(i, value) for i, value in enumerate(values)]
    below = [value for _, value in drawdowns(points, high)]
    assert all(-1.0 <= value <= 0.0 for value in below)
    mark = high if high > max(values) else 0.0
    for i, value in enumerate(below):
        mark = max(mark, values[i])
        assert value == pytest.approx(values[i] / mark - 1.0)


@pytest.mark.parametrize(
    ("deepest", "shown"),
    [(0.01, ["4%"]), (0.05, ["4%", "8%"]), (0.09, ["4%", "8%", "12%"]), (0.3, ["4%", "8%", "12%"])],
)
def test_the_next_tier_is_always_in_sight(deepest: float, shown: list[str]) -> None:
    """The picture reaches down to the tier that comes next, never deeper than it must."""
    points = [(i, -deepest * i / 9) for i in range(10)]
    text = "\n".join(line_text(one) for one in drawdown_lines(points, TIERS, 60, 12))
    assert [tier for tier in ("4%", "8%", "12%") if f" {tier}" in text] == shown


@given(st.integers(20, 120), st.floats(0, 0.3))
def test_gauges_fit_any_width(width: int, drawdown_frac: float) -> None:
    """No line is wider than its panel, nor is any without its name."""
    for one in gauge_lines(risk(drawdown_frac), "USD", max(width, 36), roomy=True):
        assert line_width(one) <= max(width, 36)


def test_what_is_not_known_is_a_dash() -> None:
    """NaN is no figure, and without a limit there is no bar."""
    unknown = msgspec.structs.replace(risk(), correlation_max=math.nan, limits={})
    lines = [line_text(one) for one in gauge_lines(unknown, "USD", 60, roomy=True)]
    assert not any("nan" in one for one in lines)
    assert not any("━" in one for one in lines if "VaR" in one or "Margin " in one)


def test_exposure_names_side_and_size_of_each_symbol() -> None:
    """The largest comes first; long and short differ by glyph; what is flat is named once."""
    rows = [("A", 0.2), ("B", -1.5), ("C", 0.0)]
    symbols = tuple(
        ResultView(name=name, n_trades=0, realised_ccy=0.0, open_ccy=0.0, exposure_frac=frac)
        for name, frac in rows
    )
    lines = [line_text(one) for one in exposure_lines(symbols, 10.0, 48)]
    assert [one.split()[0] for one in lines] == ["B", "A", "flat:"]
    assert "▼  1.50×" in lines[0]
    assert "▲  0.20×" in lines[1]
    assert lines[2].split() == ["flat:", "C"]


SICK: dict[str, tuple[dict[str, Any], str]] = {
    "no prices": ({"connected": False}, "feed LOST"),
    "clock": ({"terminal": TerminalView(doubt="server clock")}, "terminal DOUBT"),
    "restarts": ({"terminal": TerminalView(host_restarts=2)}, "terminal RESTARTS"),
    "database": ({"database": "away"}, "database AWAY"),
    "quarantined": ({"strategies": strategies(24)}, "hosts 1 OUT"),
    "alerts": ({"n_unacked_critical": 2}, "alerts CRITICAL"),
    "channel": ({"channels": (ChannelView(name="mail", state="FAILING"),)}, "alerts FAILING"),
}


def snapshot(**changes: object) -> Snapshot:
    return ScriptedFeed(Clock()).now(**({"strategies": strategies(5)} | changes))


@pytest.mark.parametrize("name", SICK)
def test_what_is_not_well_is_said_in_a_word(name: str) -> None:
    """Each trouble has its word; without any, nothing is said to be wrong."""
    changes, word = SICK[name]
    assert worries(snapshot(**changes), 0.3)[0] == word
    assert worries(snapshot(), 0.3) == []


def test_health_tells_who_is_refused_and_what_is_not_seen() -> None:
    """Counts that are no trouble yet stand beside the words."""
    alert = AlertView(id=1, time_ns=0, level="warning", source="risk", text="x")
    now = snapshot(control=ControlView(n_clients=2, refused={"stale": 3}), alerts=(alert,))
    told = {name: rest for name, _, _, rest in facts(now, 0.3)}
    assert told["Consoles"] == "2 attached, 3 requests refused"
    assert told["Alerts"] == "1 not seen"
