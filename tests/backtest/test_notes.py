"""What a backtest's reader is told beside its figures: nothing of a period passes in silence."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from backtest.data.holes import hole_notes
from backtest.remarks import remarks
from backtest.simulate import simulate
from backtest.warming import warming_notes
from engine.model.bars import BAR_DTYPE, Bars
from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, Timeframe, iso_utc
from strategies.base import Input
from tests.backtest.scripted import LONG, Scripted, portfolio, strategy_text

CLOCK = ServerClock("new_york+7")
HOUR = 60 * NS_PER_MINUTE
# Monday; New York is on summer time from the 11th on, so the server is UTC+2.
MONDAY_NS = int(np.datetime64("2018-03-05", "ns").astype(np.int64))


def bars_at(opens_ns) -> Bars:
    """Return bars that stand still."""
    bars = np.zeros(len(opens_ns), BAR_DTYPE)
    bars["time_ns"] = opens_ns
    for name in ("open", "high", "low", "close"):
        bars[name] = 1.17
    bars["spread"] = 1e-4
    return bars


def minutes(first: str, last: str, *, every: int = 10, weekend: bool = True) -> np.ndarray:
    """Return the opens of a market that trades in [first, last), without the server's weekend."""
    bounds = [int(np.datetime64(day, "ns").astype(np.int64)) for day in (first, last)]
    opens = np.arange(*bounds, every * NS_PER_MINUTE, dtype=np.int64)
    weekday = ((opens + CLOCK.offsets_ns(opens)) // NS_PER_DAY + 3) % 7
    return opens if weekend else opens[weekday < 5]


def said(opens_ns) -> str:
    """Return what is said of one symbol's holes, "" for nothing."""
    notes = hole_notes({"EURUSD": bars_at(opens_ns)}, CLOCK, int(opens_ns[0]))
    return notes[0] if notes else ""


@pytest.mark.parametrize("until", ["2018-03-10", "2018-03-17", "2018-06-02"])
@pytest.mark.parametrize(
    ("start_h", "end_h"), [(50, 56), (51, 75), (46, 94), (50, 146)], ids=lambda h: f"{h}h"
)
def test_a_hole_in_the_middle_is_said_with_its_bounds(until, start_h, end_h):
    """Six hours, a day, a missing server day or two, more than a week; in a period of a week too.
    A weekend within it counts for nothing."""
    opens = minutes("2018-03-05", until, weekend=False)
    start, end = MONDAY_NS + start_h * HOUR, MONDAY_NS + end_h * HOUR
    left = opens[(opens < start) | (opens >= end)]
    after = left[left >= end]
    if not len(after):
        assert said(left) == ""  # the period ends early: another note
        return
    before_ns = int(left[left < start][-1]) + NS_PER_MINUTE
    note = said(left)
    assert f"a hole in the bars from {iso_utc(before_ns)} to {iso_utc(int(after[0]))}: " in note


def test_two_holes_are_counted():
    """The longest is named, all are added up."""
    opens = minutes("2018-03-05", "2018-03-31", weekend=False)
    for day, hours in ((2, 6), (9, 30)):
        start = MONDAY_NS + day * NS_PER_DAY + HOUR
        opens = opens[(opens < start) | (opens >= start + hours * HOUR)]
    note = said(opens)
    assert note.startswith("EURUSD: 2 holes in the bars, the longest from 2018-03-14T00:51:00Z")
    assert "37 hours of its market's time in all" in note or "36 hours" in note


def test_a_market_s_own_pauses_are_no_holes():
    """Weekends of FX, nights of an exchange, thin bars, and a market that never closes."""
    assert said(minutes("2018-03-05", "2018-06-02", weekend=False)) == ""
    assert said(minutes("2018-03-05", "2018-03-24", every=200, weekend=False)) == ""
    assert said(minutes("2018-03-05", "2018-06-02")) == ""
    days = minutes("2018-03-05", "2018-06-02", weekend=False)
    hours = days % NS_PER_DAY // HOUR
    assert said(days[(hours >= 8) & (hours < 16)]) == ""  # 16 hours are closed, Mondays 64
    coin = minutes("2018-03-05", "2018-06-02")
    saturday = MONDAY_NS + 12 * NS_PER_DAY
    assert "a hole" in said(coin[(coin < saturday) | (coin >= saturday + 8 * HOUR)])


class Slow(Scripted):
    """LONG at every bar of its timeframe, after a warm-up; a further input may need more."""

    def __init__(self, timeframe: Timeframe, warmup: int, others: tuple[Input, ...] = ()) -> None:
        super().__init__("EURUSD", {}, warmup)
        self.timeframe = timeframe
        self.further = others

    @property
    def inputs(self):
        return (Input("EURUSD", self.timeframe, self.warmup), *self.further)

    def evaluate(self, bars, *_):
        n = len(bars.time_ns)
        return self.signals(np.full(n, LONG, np.int8), np.ones(n))


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.M5, Timeframe.M15, Timeframe.H1])
@pytest.mark.parametrize("further", [False, True])
def test_who_was_warming_is_said_until_when_it_trades(timeframe, further):
    """The note's end is the close of the first bar that was not FLAT: that of the first entry."""
    opens = minutes("2018-03-01", "2018-04-05", every=1, weekend=False)
    bars = {"EURUSD": bars_at(opens)}
    need = (Input("EURUSD", Timeframe.M5, 500),) if further else ()
    strategy = Slow(timeframe, 20, need)
    from_ns, to_ns = int(opens[0]), int(opens[-1]) + NS_PER_MINUTE
    (note,) = warming_notes([strategy], bars, CLOCK, from_ns, to_ns)
    text = strategy_text("scripted", extra='sizing = { method = "fixed_lots", lots = 0.1 }')
    compiled = portfolio(text.replace("kind", f'timeframe = "{timeframe.name}"\nkind'))
    result = simulate(compiled, bars, from_ns, to_ns, strategies=[strategy])
    first = result.trades[0]["entry_ns"] if len(result.trades) else None
    assert first is not None
    assert f"(EURUSD {timeframe.name}) was WARMING until {iso_utc(int(first))}, from when" in note
    lacking = "500 EURUSD M5" if further else f"20 EURUSD {timeframe.name}"
    assert f"it needs {lacking} bars before 2018-" in note
    assert "; the data has 0" in note


def test_who_was_warming_all_the_time_is_said_and_who_was_never_is_not():
    """D1 over a quarter has its next chance with the next year; enough bars are worth no line."""
    opens = minutes("2018-03-01", "2018-04-05", every=1, weekend=False)
    bars = {"EURUSD": bars_at(opens)}
    span = int(opens[0]), int(opens[-1]) + NS_PER_MINUTE
    slow, other = Slow(Timeframe.D1, 5), Slow(Timeframe.D1, 5)
    (note,) = warming_notes([slow, other], bars, CLOCK, *span)
    assert note.startswith("scripted, scripted (EURUSD D1) was WARMING all the time")
    assert "needs 5 EURUSD D1 bars before 2018-01-01T00:00:00Z" in note
    assert "the next windows begin at 2019-01-01T00:00:00Z" in note
    later = int(opens[0]) + 5 * NS_PER_DAY
    assert warming_notes([Slow(Timeframe.M1, 20)], bars, CLOCK, later, span[1]) == []
    assert warming_notes([Slow(Timeframe.M1, 0)], bars, CLOCK, *span) == []


def test_silence_of_a_strategy_and_of_a_symbol_is_said():
    """Who never signalled, which symbol never traded, and whether anybody wanted to there."""
    text = """
[risk]
restricted = ["GBPUSD"]
[[strategy]]
name = "silent"
kind = "scripted"
symbol = "EURUSD"
[[strategy]]
name = "barred"
kind = "scripted"
symbol = "GBPUSD"
sizing = { method = "fixed_lots", lots = 0.1 }
[[strategy]]
name = "busy"
kind = "scripted"
symbol = "AUDUSD"
sizing = { method = "fixed_lots", lots = 0.1 }
"""
    opens = minutes("2018-03-05", "2018-03-06", every=1)
    bars = {name: bars_at(opens) for name in ("EURUSD", "GBPUSD", "AUDUSD")}
    script = {int(t) // NS_PER_MINUTE: (LONG, 1.0, None, None) for t in opens[5:]}
    made = [Scripted("EURUSD", {}), Scripted("GBPUSD", script), Scripted("AUDUSD", script)]
    result = simulate(
        portfolio(text), bars, int(opens[0]), int(opens[-1]) + NS_PER_MINUTE, strategies=made
    )
    assert remarks(result) == [
        "never signalled, FLAT at every bar: silent",
        "EURUSD never traded: no strategy on it signalled",
        "GBPUSD never traded: barred signalled, and no entry was filled (`refused` says why)",
    ]


@pytest.mark.timeout(180)
def test_replay_says_the_same(tmp_path):
    """WARMING, holes, silence and moved prices alike."""
    opens = minutes("2018-03-05", "2018-03-06T02", every=20)
    start = MONDAY_NS + 8 * HOUR
    opens = opens[(opens < start) | (opens >= start + 6 * HOUR)]
    opens = np.union1d(opens, opens[:1] + NS_PER_MINUTE)  # a file of M1 has bars a minute apart
    rows = [f"{iso_utc(int(t))},1.1700002,1.1700002,1.1700002,1.1700002,3" for t in opens]
    file = tmp_path / "EURUSD_M1_2018_made.csv"
    file.write_text("\n".join(["time,open,high,low,close,volume", *rows]), encoding="utf-8")
    strategy = '[[strategy]]\nname = "{}"\nkind = "ma_cross"\nsymbol = "EURUSD"\ntimeframe = "{}"\n'
    fast = "params = { fast = 3, slow = 9 }\n"
    text = strategy.format("fast", "M1") + fast + strategy.format("slow", "D1")
    (tmp_path / "p.toml").write_text(text, encoding="utf-8")

    def pmpro(*words: str) -> subprocess.CompletedProcess[str]:
        period = ("--from", "2018-03-05", "--to", "2018-03-07", "--data", ".", "--portfolio")
        ran = subprocess.run(
            [sys.executable, "-P", "-m", "pmpro_tui.cli.main", *words, *period, "p.toml"],
            cwd=tmp_path,
            env=os.environ | {"PMPRO_STATE_DIR": str(tmp_path / "state")},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran

    notes = json.loads(pmpro("backtest", "run", "--no-store", "--json").stdout)["notes"]
    for word in (
        "slow (EURUSD D1) was WARMING all",
        "fast (EURUSD M1) was WARMING until",
        "EURUSD never traded",
        "a hole in the bars",
        "prices were moved",
    ):
        assert sum(word in note for note in notes) == 1, (word, notes)
    assert json.loads(pmpro("replay", "--json").stdout)["notes"] == notes
