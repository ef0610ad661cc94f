"""The feed says what every strategy says by itself, however the period is cut."""

from collections import defaultdict, deque

import numpy as np
import pytest

from backtest.loop import take_due_signals
from backtest.series import make_series
from backtest.stretches import AHEAD, Stretches
from engine.decision.allocation.shadow import pursue_shadows
from engine.decision.signals import take_events
from engine.decision.state import EVENT
from engine.model.bars import BAR_DTYPE
from engine.model.errors import StrategyError
from engine.model.server_clock import ServerClock
from engine.model.signals import FLAT
from engine.model.symbols import fill_unknown
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, Timeframe
from strategies.base import Columns, Input, Params, Signals, Strategy, as_columns, last_closed
from strategies.windows import evaluate_period, periods
from tests.backtest.feeds import said
from tests.backtest.scripted import portfolio

CLOCK = ServerClock("new_york+7")
# Sunday 2018-03-25: a week and a quarter begin in the test's days, daylight saving changes before.
SUNDAY = 17_615
FROM_NS = (SUNDAY + 3) * NS_PER_DAY + (10 * 60 + 7) * NS_PER_MINUTE
TO_NS = (SUNDAY + 11) * NS_PER_DAY + 123 * NS_PER_MINUTE

TEXT = """
[[strategy]]
name = "s{}"
kind = "walks"
symbol = "{}"
timeframe = "{}"
"""
BOOKS = """
[[book]]
name = "weighted"
combine = "weighted"
members = { s0 = 1.0, s1 = 1.0, s2 = 2.0, s5 = 1.0, s9 = 1.0, s10 = 1.0 }
[[book]]
name = "vote"
combine = "vote"
members = { s3 = 1.0, s4 = 1.0, s6 = 1.0, s7 = 1.0 }
"""


class Walks(Strategy):
    """Says things that depend on the bars of all its inputs alone, in runs, in every form."""

    kind = "walks"
    params_type = Params

    def __init__(self, symbol, timeframe, number, warmup, further=()):
        super().__init__(
            Params(), symbol=symbol, timeframe=timeframe, point=1e-5, name=f"s{number}"
        )
        self.number = number
        self._warmup = warmup
        self.further = further

    @property
    def warmup(self):
        return self._warmup

    @property
    def inputs(self):
        return (Input(self.symbol, self.timeframe, self._warmup), *self.further)

    def evaluate(self, bars: Columns, *others: Columns) -> Signals:
        seen = np.round(bars.close * 1e4).astype(np.int64) + self.number
        for other in others:
            at = last_closed(bars.close_ns, other.close_ns)
            seen = seen + np.round(other.close[at] * 1e4).astype(np.int64)
        noise = seen * 2_654_435_761 % 1000
        direction = np.array([-1, 0, 1, 2, 1, 2], np.int8)[noise % 6]
        confidence = np.array([0.25, 0.5, 1.0])[noise // 7 % 3]
        direction[: self._warmup], confidence[: self._warmup] = FLAT, 0.0
        varying = np.array([np.nan, 1e-3, 2e-3])[noise // 11 % 3]
        stop, target = {0: (1e-3, np.nan), 1: (varying, 2e-3), 2: (1e-3, varying)}.get(
            self.number % 4, (varying, varying[::-1].copy()[::-1])
        )
        if self.number == 4:
            direction, confidence = np.repeat(direction, 2)[::2], np.repeat(confidence, 2)[::2]
        return Signals(direction, confidence, stop, target)


def make_world():
    """Two symbols with holes, and strategies on all timeframes, two with further inputs."""
    rng = np.random.default_rng(3)
    bars = {}
    for symbol, first_day, keep in (("EURUSD", -12, 0.97), ("GBPUSD", -2, 0.6)):
        minutes = np.arange((SUNDAY + first_day) * 1440, (SUNDAY + 14) * 1440)
        minutes = minutes[np.is_busday((minutes // 1440).astype("M8[D]"))]
        minutes = minutes[rng.random(len(minutes)) < keep]
        out = bars[symbol] = np.zeros(len(minutes), BAR_DTYPE)
        out["time_ns"] = minutes * NS_PER_MINUTE
        steps = np.where(rng.random(len(minutes)) < 0.5, 0, rng.integers(-2, 3, len(minutes)))
        price = np.round(1.2 + 1e-4 * np.cumsum(steps), 5)
        for name in ("open", "high", "low", "close"):
            out[name] = price
        out["spread"] = np.where(rng.random(len(minutes)) < 0.5, np.nan, 3e-5)
        out["volume"] = np.nan
    m1, m15, h1 = Timeframe.M1, Timeframe.M15, Timeframe.H1
    further = {
        2: (Input("GBPUSD", m1, 30),),
        5: (Input("EURUSD", h1, 5), Input("GBPUSD", m15, 3)),
    }
    frames = ["M1", "M1", "M1", "M1", "M1", "M5", "M15", "M30", "H1", "H4", "D1", "M1"]
    symbols = ["EURUSD"] * 3 + ["GBPUSD"] * 2 + ["EURUSD"] * 6 + ["EURUSD"]
    # H4 and D1 are anchored at the year's begin; s11 needs more bars than there are.
    warmups = [0, 40, 90, 5, 1500, 12, 8, 4, 30, 0, 0, 13_000]
    rows = list(zip(symbols, frames, strict=True))
    compiled = portfolio("".join(TEXT.format(i, *row) for i, row in enumerate(rows)) + BOOKS)
    strategies = []
    for s in compiled.strategies:
        i = int(s.name[1:])
        strategies.append(Walks(s.symbol, Timeframe[frames[i]], i, warmups[i], further.get(i, ())))
    return compiled, strategies, bars


@pytest.fixture(scope="module")
def world():
    return make_world()


@pytest.fixture(scope="module")
def rows(world):
    """Each strategy's rows by (symbol, timeframe, close, member), evaluated by itself."""
    return plain_rows(*world)


def whole_columns(bars, timeframe, to_ns=TO_NS):
    bars = bars[bars["time_ns"] < to_ns]
    series = make_series(bars, np.ascontiguousarray(bars["time_ns"]), timeframe, CLOCK)
    return series.part(0, len(series.close_ns))


def plain_rows(compiled, strategies, bars):
    voting = {m for s in compiled.slots if s.book.combine == "vote" for m in s.members}
    rows = {}
    for m, strategy in enumerate(strategies):
        own, *others = (whole_columns(bars[i.symbol], i.timeframe) for i in strategy.inputs)
        for start, stop in periods(own.time_ns, strategy.timeframe):
            signals = evaluate_period(strategy, own, start, stop, *others)
            for i in range(start, stop):
                if signals is None:
                    row = (FLAT, True, 1.0, np.nan, np.nan)
                else:
                    values = (np.broadcast_to(v, stop - start)[i - start] for v in signals)
                    raw, *distances = values
                    row = (int(raw), False, *map(float, distances))
                if m in voting:
                    row = (*row[:2], 1.0, *row[3:])
                rows[strategy.symbol, strategy.timeframe, int(own.close_ns[i]), m] = row
    return rows


def read(stretch, symbols):
    """Yield (series, close, what its members say) of a stretch."""
    feed = stretch.feed
    for q in range(len(feed.next)):
        key = (symbols[feed.symbol[q]], list(Timeframe)[feed.timeframe[q]])
        for i in range(feed.next[q], feed.stop[q]):
            yield key, int(feed.close_ns[i]), said(feed, i)


def cut(world, days, from_ns=FROM_NS, to_ns=TO_NS):
    return Stretches(*world, from_ns, to_ns).cut(days)


@pytest.mark.parametrize("days", [1, 3, 5, 50])
def test_the_feed_has_every_closing_and_what_each_member_says(world, rows, days):
    """Each closing's rows are the members' own to the bit, and no closing is missing."""
    compiled, strategies, _ = world
    symbols = [s.name for s in compiled.symbols]
    members = defaultdict(list)
    for m, s in enumerate(strategies):
        members[s.symbol, s.timeframe].append(m)
    closings = []
    for stretch in cut(world, days):
        for key, close_ns, got in read(stretch, symbols):
            assert close_ns <= stretch.market.batch_ns[-1]
            closings.append((*key, close_ns))
            assert repr(got) == repr([(m, rows[*key, close_ns, m]) for m in members[key]])
        last_ns = int(stretch.market.batch_ns[-1])
    wanted = {k[:3] for k in rows if FROM_NS < k[2] <= last_ns}
    assert len(closings) == len(wanted)
    assert set(closings) == wanted
    assert {row[1] for row in rows.values()} == {False, True}


@pytest.mark.parametrize("days", [1, 4])
def test_the_core_passes_over_nothing_new(world, rows, days):
    """After every batch members' outputs are what all rows, taken one by one, make of them."""
    compiled, strategies, _ = world
    fed, plain = compiled.core(), compiled.core()
    members = defaultdict(list)
    for m, s in enumerate(strategies):
        members[s.symbol, s.timeframe].append(m)
    for stretch in cut(world, days):
        due = sorted(
            (close_ns, key)
            for key, close_ns, _ in read(stretch, [s.name for s in compiled.symbols])
        )
        for now_ns in stretch.market.batch_ns.tolist():
            take_due_signals(fed, stretch.feed, now_ns)
            while due and due[0][0] <= now_ns:
                close_ns, key = due.pop(0)
                for m in members[key]:
                    raw, warming, confidence, *distances = rows[*key, close_ns, m]
                    event = (confidence, *distances, m, raw, warming)
                    take_events(plain, np.array([event], EVENT))
            pursue_shadows(plain)
            assert fed.outputs.tobytes() == plain.outputs.tobytes()


def test_the_weighted_members_of_a_series_stand_in_the_order_of_their_weights(world):
    """So the core knows whose confidence is whose."""
    compiled, *_ = world
    weighted = {m for s in compiled.slots if s.book.combine == "weighted" for m in s.members}
    seen = set()
    for stretch in cut(world, 3):
        feed = stretch.feed
        for q in range(len(feed.next)):
            for i in range(feed.next[q], feed.stop[q]):
                block = feed.blocks[feed.block[i]]
                for row in feed.rows[block["first_row"] :][: block["n_rows"]]:
                    assert (row["member"] in weighted) == (row["weight"] >= 0)
                    if row["weight"] >= 0:
                        at = feed.first_weighted[q] + row["weight"]
                        assert feed.weighted[at] == row["member"]
                        seen.add(int(row["member"]))
    assert seen == weighted


def test_a_stretch_stays_as_it_is_while_the_next_ones_are_made(world):
    """The core has the last ones while another is written."""
    kept = deque(maxlen=AHEAD)
    for stretch in cut(world, 1):
        for arrays, copies in kept:
            assert [a.tobytes() for a in arrays] == copies
        arrays = (stretch.market.batch_ns, stretch.market.bars, *list(stretch.feed)[:-1])
        kept.append((arrays, [a.tobytes() for a in arrays]))


@pytest.mark.parametrize("days", [1, 4])
def test_batches_and_bars_are_those_of_the_period(world, days):
    """Every open and close from `from` to `to`, once; bars with the spread filled in."""
    compiled, _, bars = world
    stretches = [
        (m.batch_ns, m.bars, m.bar_next.copy(), m.bar_stop)
        for m in (s.market for s in cut(world, days))
    ]
    batches = np.concatenate([s[0] for s in stretches])
    opens = np.concatenate([b["time_ns"] for b in bars.values()])
    opens = opens[(opens >= FROM_NS) & (opens < TO_NS)]
    assert batches.tolist() == np.unique(np.concatenate([opens, opens + NS_PER_MINUTE])).tolist()
    for i, spec in enumerate(compiled.symbols):
        whole = bars[spec.name]
        whole = whole[(whole["time_ns"] >= FROM_NS) & (whole["time_ns"] < TO_NS)]
        parts = [b[first[i] : last[i]] for _, b, first, last in stretches]
        expected = fill_unknown(whole, spec)
        expected["volume"] = whole["volume"]  # the core reads none
        assert np.concatenate(parts).tobytes() == expected.tobytes()


class Wrong(Walks):
    """Breaks the contract at one bar of the second day."""

    def __init__(self, change):
        super().__init__("EURUSD", Timeframe.M1, 0, 40)
        self.name = "wrong"
        self.change = change

    def evaluate(self, bars, *_):
        n = bars.n
        made = Signals(np.zeros(n, np.int8), np.zeros(n), np.full(n, 1e-3), np.full(n, np.nan))
        return self.change(made) if bars.time_ns[-1] >= FROM_NS + NS_PER_DAY else made


def put(field, value, at=77):
    def change(signals):
        getattr(signals, field)[at:] = value
        return signals

    return change


@pytest.mark.parametrize(
    "change",
    [
        put("direction", 3),
        put("direction", -2, at=5),
        put("confidence", 1.5),
        put("confidence", np.nan),
        put("stop_distance", 0.0),
        put("target_distance", np.inf, at=3),
        lambda s: s._replace(stop_distance=-1.0),
        lambda s: s._replace(target_distance=np.inf),
        lambda s: s._replace(stop_distance=1),
        lambda s: s._replace(confidence=s.confidence[1:]),
        lambda s: s._replace(direction=s.direction.astype(np.int64)),
        lambda s: s._replace(target_distance=s.confidence[:1]),
        tuple,
    ],
)
def test_a_breach_of_contract_reads_as_it_does_anywhere(change):
    """The line names strategy, rule and first wrong bar of the window, warm-up included."""
    _, _, bars = make_world()
    compiled = portfolio(TEXT.format(0, "EURUSD", "M1"))
    wrong = Wrong(change)
    columns = as_columns(bars["EURUSD"], bars["EURUSD"]["time_ns"] + NS_PER_MINUTE)
    day = next(
        (start, stop)
        for start, stop in periods(columns.time_ns, Timeframe.M1)
        if columns.time_ns[stop - 1] >= FROM_NS + NS_PER_DAY
    )
    with pytest.raises(StrategyError) as plain:
        evaluate_period(wrong, columns, *day)
    with pytest.raises(StrategyError) as fed:
        list(Stretches(compiled, [wrong], bars, FROM_NS, TO_NS).cut(1))
    assert str(fed.value) == str(plain.value)
    assert str(plain.value).startswith("strategy 'wrong': ")
