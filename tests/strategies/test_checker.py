"""The checker catches each sort of cheat under the right name, and lets honest strategies pass."""

import functools
import time

import numpy as np
import pytest

from engine.model.server_clock import ServerClock
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import NS_PER_DAY, Timeframe
from pmpro_tui.checking.bars import series_for
from pmpro_tui.checking.records import BarsWanted, Job, Subject
from pmpro_tui.checking.run import run_check
from strategies.base import Params
from strategies.checker import Means, answers, check, cuts_of
from strategies.checks.findings import CHECKS
from strategies.registry import KINDS
from tests.strategies import cheats
from tests.strategies.series import POINT, utc

LOOKAHEAD = {"lookahead", "changed future"}


def make(cls, timeframe=Timeframe.M1):
    others = ["GBPUSD"] * (cls.n_symbols - 1)
    return cls(Params(), symbol="EURUSD", timeframe=timeframe, point=POINT, others=others)


@functools.cache
def findings_of(cls, **means):
    """Return the findings on two weeks of generated bars, by check."""
    strategy = make(cls)
    wanted = BarsWanted(from_ns=utc("2026-02-16 00:00"))
    series, from_ns = series_for(strategy, wanted, DEFAULT_SYMBOLS, ServerClock("new_york+7"))
    rng = np.random.default_rng(1)
    found = list(check(strategy, series, Means(rng, time.perf_counter, **means), from_ns))
    assert [f.check for f in found] in ([*CHECKS], ["contract"])
    return {f.check: f for f in found}


def failed(found):
    return {name for name, finding in found.items() if finding.status == "fail"}


@pytest.mark.parametrize("cls", [cheats.Honest, cheats.HigherBars, cheats.OtherSymbol])
def test_honest_strategies_pass(cls):
    """One input, a higher timeframe, another symbol with other holes: nothing is found."""
    found = findings_of(cls)
    assert failed(found) == set()
    assert found["lookahead"].status == "ok"
    assert found["lookahead"].figures["n_cuts_at_changes"] > 100


@pytest.mark.parametrize(
    ("cls", "names", "words"),
    [
        (cheats.CentredWindow, LOOKAHEAD, ""),
        (cheats.NextBar, LOOKAHEAD, ""),
        (cheats.WholeWindow, LOOKAHEAD | {"warm-up"}, ""),
        (cheats.FormingBar, LOOKAHEAD, ""),
        (cheats.OtherSymbolAhead, LOOKAHEAD, ""),
        (cheats.ConfidentBeforehand, LOOKAHEAD, "confidence at "),
        (cheats.StopBeforehand, LOOKAHEAD, "stop_distance at "),
        (cheats.RareNextBar, LOOKAHEAD, "direction at "),
        (cheats.SeesACrash, {"changed future"}, "direction at "),
        (cheats.ShortWarmup, {"warm-up"}, "with 100 more bars before"),
        (cheats.Random, {"determinism", "outside"} | LOOKAHEAD, "evaluated again"),
        (cheats.Remembers, {"determinism", "state"} | LOOKAHEAD, "evaluated again"),
        (cheats.Process, {"outside"}, "hash in cheats.py, line 192"),
        (cheats.Writes, {"inputs"}, "writes into 'close' of input 0"),
        (cheats.WrongType, {"contract"}, "direction must be an array of int8, not int64"),
        (cheats.SpeaksInWarmup, {"contract"}, "the first 20 values"),
        (cheats.NeedsALongWindow, {"lookahead"}, "raised IndexError"),
        (cheats.NeverFires, {"coverage"}, "nothing fired"),
    ],
    ids=lambda x: getattr(x, "__name__", None),
)
def test_a_cheat_fails_the_right_check(cls, names, words):
    """Each fails what it breaks, and nothing that it does not; the line says what was seen."""
    found = findings_of(cls)
    assert failed(found) == names
    first = next(name for name in CHECKS if name in names)
    assert words in found[first].text


def test_a_rare_peek_is_found_at_its_change_alone():
    """Two peeking bars in 14,000: no random cut hits one, the cuts at changes do."""
    found = findings_of(cheats.RareNextBar)
    assert found["coverage"].figures["changes"] == 2
    assert found["lookahead"].text.count("(2 of ") == 1
    assert "is LONG, but FLAT" in found["lookahead"].text or "is SHORT" in found["lookahead"].text


def test_a_lookahead_is_told_with_its_first_bar_and_size():
    """The line names array, bar, both values, how many cuts, and by how much."""
    text = findings_of(cheats.ConfidentBeforehand)["lookahead"].text
    assert text.startswith("confidence at 2026-0")
    assert " is 1.0, but 0." in text
    assert "in a window that ends at 2026-0" in text
    assert "confidence by up to 0." in text


def test_small_deviations_after_the_warmup_are_a_warning_with_the_largest():
    """Directions are the same with more history, digits are not: said, and not failed."""
    finding = findings_of(cheats.NearlySettled)["warm-up"]
    assert finding.status == "warn"
    assert 1e-6 < finding.figures["largest_deviation_frac"] < 1.0
    assert "directions are the same" in finding.text


def test_what_never_occurred_is_a_warning():
    """A strategy that was never SHORT and never had a stop is told so: that is not proven."""
    finding = findings_of(cheats.LongOnly)["coverage"]
    assert finding.status == "warn"
    assert "never SHORT" in finding.text
    assert "NO_STOP" in finding.text
    assert finding.figures["shorts"] == 0 < finding.figures["longs"]


def test_coverage_counts_entries_exits_and_holds():
    """LONG, HOLD, LONG is one change; a FLAT exit follows something; the counts add up."""
    figures = findings_of(cheats.Honest)["coverage"].figures
    assert figures["changes"] == figures["longs"] + figures["shorts"]
    assert 0 < figures["exits"] <= figures["changes"]
    assert 0 < figures["holds"] < figures["bars"]
    assert figures["warming"] == 0
    assert figures["periods"] == 12


def test_a_slow_strategy_is_a_warning():
    """Above its share of the hosts' deadline the cost says so; it fails nothing."""
    found = findings_of(cheats.Honest, deadline_share_s=0.0, spend_s=1.0)
    assert found["cost"].status == "warn"
    assert failed(found) == set()


def test_fewer_cuts_than_changes_are_said():
    """With no time for every change the check says how many it left out."""
    finding = findings_of(cheats.Honest, spend_s=0.0)["lookahead"]
    assert finding.status == "warn"
    assert "--deadline" in finding.text


def test_without_history_nothing_is_checked_and_that_fails():
    """Bars that are all WARMING are no pass."""
    strategy = make(cheats.Honest)
    series, _ = series_for(strategy, BarsWanted(), DEFAULT_SYMBOLS, ServerClock("new_york+7"))
    (finding,) = check(
        strategy,
        [series[0].part(0, 15)],
        Means(np.random.default_rng(1), time.perf_counter),
    )
    assert (finding.check, finding.status) == ("coverage", "fail")
    assert "15 bars are WARMING" in finding.text


def test_processes_are_compared_by_every_bit():
    """Whole windows and cut ones; backwards and after other prices it is the same."""
    series, from_ns = series_for(
        make(cheats.Honest), BarsWanted(), DEFAULT_SYMBOLS, ServerClock("new_york+7")
    )
    cuts = cuts_of(make(cheats.Honest), series, from_ns)
    one, again, other = (
        answers(make(cls), series, from_ns, cuts, backwards=backwards)
        for cls, backwards in (
            (cheats.Honest, False),
            (cheats.Honest, True),
            (cheats.NextBar, False),
        )
    )
    assert one == again
    assert one.whole != other.whole
    assert sum(a != b for a, b in zip(one.cuts, other.cuts, strict=True)) > 10


def test_generated_bars_have_weekends_and_holes_and_are_the_same_again():
    """What is checked on is reproducible, and not too smooth to find anything."""
    strategy = make(cheats.Honest)
    one, two = (
        series_for(strategy, BarsWanted(seed=3), DEFAULT_SYMBOLS, ServerClock("new_york+7"))[0][0]
        for _ in range(2)
    )
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one, two, strict=True))
    gaps = np.diff(one.time_ns) // 60_000_000_000
    assert (gaps == 2).sum() > 100
    assert ((gaps > 30) & (gaps < 300)).sum() > 1
    assert (gaps > 2 * 1440 - 300).sum() >= 4


def test_only_periods_from_the_start_are_checked():
    """Bars before `from` are history: they make no period."""
    strategy = make(cheats.Honest)
    wanted = BarsWanted(from_ns=utc("2026-02-16 00:00"), to_ns=utc("2026-02-19 00:00"))
    series, from_ns = series_for(strategy, wanted, DEFAULT_SYMBOLS, ServerClock("new_york+7"))
    assert series[0].time_ns[0] < from_ns - NS_PER_DAY
    means = Means(np.random.default_rng(1), time.perf_counter)
    *_, coverage = check(strategy, series, means, from_ns)
    assert coverage.figures["periods"] == 3


@pytest.mark.parametrize("timeframe", ["M1", "H1"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_every_built_in_kind_passes(kind, timeframe):
    """What is delivered passes its own checker with its default parameters."""
    job = Job(
        subject=Subject(kind=kind, timeframe=timeframe),
        files=[],
        wanted=BarsWanted(),
        specs=DEFAULT_SYMBOLS,
    )
    found = [part.finding for part in run_check(job) if hasattr(part, "finding")]
    assert [(f.check, f.text) for f in found if f.status == "fail"] == []
    assert [f.check for f in found] == [*CHECKS]


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_built_in_kind_passes_on_real_bars(kind, data_dir):
    """The same on real minutes, over the change to daylight saving."""
    job = Job(
        subject=Subject(kind=kind),
        files=[],
        wanted=BarsWanted(
            data=str(data_dir),
            source="histdata",
            from_ns=utc("2018-03-05 00:00"),
            to_ns=utc("2018-03-17 00:00"),
        ),
        specs=DEFAULT_SYMBOLS,
    )
    found = [part.finding for part in run_check(job) if hasattr(part, "finding")]
    assert [(f.check, f.text) for f in found if f.status == "fail"] == []
