"""When live's hours are compared with a backtest, from where on, and over which bars."""

import queue
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.model.bars import BAR_DTYPE, Bars
from engine.model.errors import DataError
from engine.model.live_day import ParityStart
from engine.model.times import NS_PER_HOUR, NS_PER_MINUTE, iso_utc
from engine.runtime.parity import BARS_MAX, NAME, Parity, PastBars
from pmpro_tui.launch.daemon import JOBS
from tests.faults.bench import SCRIPTED, Bench, portfolio

WAIT_S = 20.0
DAY_NS = 24 * NS_PER_HOUR


class Told:
    """What the operator is told, and the parts that tell it."""

    def __init__(self, state: Path, url: str = "") -> None:
        self.files: dict[str, bytes] = {}
        self.texts: queue.Queue[tuple[str, str]] = queue.Queue()
        past = PastBars(lambda at_ns: {}, lambda name: np.empty(0, BAR_DTYPE), self.fetch)
        self.parity = Parity(
            state,
            module=JOBS.parity,
            past=past,
            files=lambda: self.files,
            database=lambda: url,
            tell=lambda level, text: self.texts.put((level, text)),
        )

    @staticmethod
    def fetch(counts: Mapping[str, int], _before_ns: int) -> dict[str, Bars]:
        """No terminal has bars of these hours."""
        return {name: np.empty(0, BAR_DTYPE) for name in counts}

    def next(self) -> tuple[str, str]:
        return self.texts.get(timeout=WAIT_S)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A trader that has traded a little."""
    (tmp_path / "logs").mkdir()
    bench = Bench(tmp_path, portfolio({"a": "LLLLSSSS", "b": "SSSSLLLL"}))
    bench.step()
    yield bench
    bench.close()


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Told]]:
    """Return a maker of what compares, each as of another life of the engine."""
    made: list[Told] = []

    def make(url: str = "") -> Told:
        if made:
            made[-1].parity.close()
            made[-1].parity._thread.join(WAIT_S)  # its engine has ended
        made.append(Told(tmp_path, url))
        return made[-1]

    yield make
    for told in made:
        told.parity.close()


def batch(bench: Bench, told: Told, *, days: int = 0, minutes: int = 1) -> int:
    """Let the trader's clock go on; return its last batch."""
    account = bench.trader.core.account
    account["server_day"] += days
    account["batch_ns"] += days * DAY_NS + minutes * NS_PER_MINUTE
    told.parity.after_batch(bench.trader)
    return int(account[0]["batch_ns"])


def test_a_day_is_compared_when_its_last_bar_has_closed(
    bench: Bench, begin: Callable[..., Told]
) -> None:
    """From its first batch to the next day's first one; not before the batch after that."""
    told = begin()
    first_ns = batch(bench, told)
    batch(bench, told)
    next_ns = batch(bench, told, days=1)
    assert told.texts.empty()
    batch(bench, told)
    level, text = told.next()
    assert level == "warning"
    assert text == (
        f"{iso_utc(first_ns)[:16]} to {iso_utc(next_ns)[:16]}: not compared: the database is away"
    )


def test_hours_begin_when_every_order_s_outcome_is_known(
    bench: Bench, begin: Callable[..., Told]
) -> None:
    """The state to go on from says what is held: a batch later if an order is being looked for."""
    told = begin()
    bench.slot("a")["unsettled"] = 1
    batch(bench, told)
    bench.slot("a")["unsettled"] = 0
    first_ns = batch(bench, told)
    batch(bench, told, days=1)
    batch(bench, told)
    assert told.next()[1].startswith(iso_utc(first_ns)[:16])


def test_a_restart_goes_on_with_the_day_it_finds(bench: Bench, begin: Callable[..., Told]) -> None:
    """What the day began with outlives the engine; a file that is damaged begins it anew."""
    first_ns = batch(bench, begin())
    told = begin()
    batch(bench, told)
    batch(bench, told, days=1)
    batch(bench, told)
    assert told.next()[1].startswith(iso_utc(first_ns)[:16])

    path = bench.journal.path.parent / NAME
    told = begin()
    path.write_bytes(path.read_bytes()[:-7])
    told = begin()
    again_ns = batch(bench, told)
    batch(bench, told, days=1)
    batch(bench, told)
    assert told.next()[1].startswith(iso_utc(again_ns)[:16])


def test_a_changed_portfolio_ends_the_hours(bench: Bench, begin: Callable[..., Told]) -> None:
    """Strategies are compared while they are the same, to the last batch that was theirs.

    Less than an hour says too little.
    """
    told = begin()
    first_ns = batch(bench, told)
    bench.trader.compiled = msgspec.structs.replace(
        bench.trader.compiled, portfolio=parsed(portfolio({"a": "L", "b": "S"}))
    )
    batch(bench, told, minutes=59)
    changed_ns = batch(bench, told, minutes=70)
    bench.trader.compiled = msgspec.structs.replace(
        bench.trader.compiled, portfolio=parsed(portfolio({"a": "S", "b": "S"}))
    )
    batch(bench, told, minutes=80)
    batch(bench, told)
    text = told.next()[1]
    begun = iso_utc(first_ns + 59 * NS_PER_MINUTE)[:16]
    assert text.startswith(f"{begun} to {iso_utc(changed_ns)[:16]}")
    assert told.texts.empty()


def test_a_changed_file_ends_the_hours(bench: Bench, begin: Callable[..., Told]) -> None:
    """Another code is another strategy, written while the engine runs or while it did not."""
    told = begin()
    told.files = {"own.py": b"1"}
    first_ns = batch(bench, told)
    told.files = {"own.py": b"1"}  # hosts were exchanged, not what is in them
    last_ns = batch(bench, told, minutes=70)
    told.files = {"own.py": b"2"}
    begun_ns = batch(bench, told)
    batch(bench, told)
    assert told.next()[1].startswith(f"{iso_utc(first_ns)[:16]} to {iso_utc(last_ns)[:16]}")

    told = begin()
    told.files = {"own.py": b"3"}
    batch(bench, told, minutes=70)
    batch(bench, told)
    assert told.next()[1].startswith(iso_utc(begun_ns)[:16])


def parsed(text: str) -> Any:
    from engine.portfolio.file import parse_portfolio

    return parse_portfolio(text, "test")


def test_hours_that_nobody_knows_are_told_once(bench: Bench, begin: Callable[..., Told]) -> None:
    """The child says in one line why it cannot compare; the next day is tried again."""
    told = begin("postgresql://nobody@127.0.0.1:9/none")
    told.files = {str(SCRIPTED): SCRIPTED.read_bytes()}
    batch(bench, told)
    batch(bench, told, days=1)
    batch(bench, told)
    level, text = told.next()
    assert level == "warning"
    assert text.endswith("not compared: the terminal has no bars of these hours")
    batch(bench, told, days=1)
    batch(bench, told)
    assert "not compared" in told.next()[1]
    assert told.texts.empty()


def minutes_of(first: int, n: int) -> Bars:
    bars = np.zeros(n, BAR_DTYPE)
    bars["time_ns"] = (first + np.arange(n)) * NS_PER_MINUTE
    return bars


def start_at(minute: int, bench: Bench, needed: int) -> ParityStart:
    compiled = bench.trader.compiled
    return ParityStart(
        server_day=0,
        from_ns=minute * NS_PER_MINUTE,
        portfolio=compiled.portfolio,
        files={},
        symbols=list(compiled.symbols),
        needed={"EURUSD": needed},
        core=b"",
        limits={},
    )


@pytest.mark.parametrize(("kept", "asked"), [(300, 101), (200, 401)])
def test_warm_up_comes_from_memory_where_it_reaches(bench: Bench, kept: int, asked: int) -> None:
    """The terminal is asked for the hours alone; for all of it where memory is too short.

    What is needed is what the strategies needed when the hours began: they may be gone by now.
    """
    counts: list[int] = []

    def fetch(wanted: Mapping[str, int], before_ns: int) -> dict[str, Bars]:
        counts.extend(wanted.values())
        end = before_ns // NS_PER_MINUTE
        return {name: minutes_of(end - n, n) for name, n in wanted.items()}

    past = PastBars(lambda at_ns: {}, lambda name: minutes_of(1000 - kept, kept + 50), fetch)
    bars = dict(past.bars(start_at(1000, bench, 300), 1100 * NS_PER_MINUTE))["EURUSD"]
    assert counts == [asked]
    assert (bars["time_ns"] // NS_PER_MINUTE).tolist() == list(range(700, 1101))


def test_too_many_bars_are_not_asked_for(bench: Bench) -> None:
    """A comparison is not worth the engine's memory."""
    past = PastBars(lambda at_ns: {}, lambda name: minutes_of(0, 1), Told.fetch)
    with pytest.raises(DataError, match="more than 4,000,000 bars"):
        dict(past.bars(start_at(1000, bench, BARS_MAX), 1100 * NS_PER_MINUTE))
