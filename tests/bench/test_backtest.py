"""`pmpro bench backtest`: its portfolio, its measuring; no limits are checked here."""

import subprocess
import sys
import time
from collections import Counter

import numpy as np
import psutil
import pytest

from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import parse_portfolio, read_portfolio
from pmpro_tui.bench.backtest import LIMITS, Data, compare, measure, median_s, prepared
from pmpro_tui.bench.children import peak_bytes
from pmpro_tui.bench.portfolio import PORTFOLIO, SYMBOLS, portfolio_text, write_bars
from pmpro_tui.bench.rival import is_installed
from strategies.registry import KINDS


def test_the_file_is_what_the_generator_writes():
    """Whoever changes one without the other, or a kind's variants, is told so."""
    assert PORTFOLIO.read_text(encoding="utf-8") == portfolio_text(100)


def test_the_portfolio_has_everything_that_the_figures_speak_of():
    """All kinds, 100 strategies, five symbols, 20 books of both sorts, daily score allocation."""
    portfolio = read_portfolio(PORTFOLIO)

    assert {s.kind for s in portfolio.strategy} == set(KINDS)
    assert len(portfolio.strategy) == 100
    assert len({repr((s.symbol, s.kind, s.params)) for s in portfolio.strategy}) == 100
    assert Counter(s.symbol for s in portfolio.strategy) == dict.fromkeys(SYMBOLS, 20)
    assert [len(book.members) for book in portfolio.book] == [5] * 20
    how = Counter((book.combine, book.quorum) for book in portfolio.book)
    assert how == {("weighted", 1): 10, ("vote", "majority"): 5, ("vote", 2): 5}
    assert portfolio.account.margin_mode == "hedging"
    assert portfolio.allocation.method == "score"
    assert portfolio.allocation.switch is not None
    assert all(s.params["stop_points"] > 0 for s in portfolio.strategy)


@pytest.mark.parametrize("n", [40, 200, 500])
def test_other_sizes_have_the_same_books(n):
    """Scaling is measured with more members in the same books, all of them different."""
    compiled = compile_portfolio(parse_portfolio(portfolio_text(n), "test"))

    assert len(compiled.strategies) == n
    assert len(compiled.slots) == 20


def test_a_short_peak_of_memory_is_seen():
    """What a process held for a moment counts, though it is long given back."""
    code = "import sys; a = b'x' * 300_000_000; del a; print(1, flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout.readline().strip() == b"1"
    peak = peak_bytes(psutil.Process(child.pid))
    child.communicate()

    assert 300e6 < peak < 500e6


def test_the_median_leaves_out_what_is_spare():
    """The first call may compile or load; it is not the machine's speed."""
    waits = iter([0.2, 0.0, 0.0, 0.0])

    assert median_s(3, lambda: time.sleep(next(waits)), spare=1) < 0.1


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A generated year, for a few days of it."""
    directory = tmp_path_factory.mktemp("bars")
    return Data(directory, write_bars(directory, 2018), 2018)


def test_generated_bars_are_always_the_same(data):
    """A figure of today can be compared with one of last year."""
    bars = prepared(data, "2018-01-01", "2018-01-03", 40).bars

    assert set(bars) == set(SYMBOLS)
    assert float(np.sum(bars["EURUSD"]["close"][-2880:])) == pytest.approx(3437.63, abs=0.01)


def test_a_rival_that_is_not_there_is_said_to_be_missing(data):
    """No figure appears, none is made up, and the others stand."""
    if is_installed():
        pytest.skip("vectorbt is installed here")
    figures = {"year_warm_s": 1.0}

    assert "vectorbt is not installed" in compare(data, figures, 1)
    assert figures == {"year_warm_s": 1.0}


@pytest.mark.long
@pytest.mark.timeout(600)
def test_vectorbt_is_compared_where_it_is_installed(data):
    """Its figures stand beside ours, with the ratio."""
    pytest.importorskip("vectorbt")
    figures = {"year_warm_s": 1.0}
    compare(data, figures, 1)

    assert figures["vectorbt_trades_count"] > 10_000
    assert figures["vectorbt_ratio"] == round(figures["vectorbt_year_warm_s"], 1)


def test_unknown_rivals_are_refused(pmpro):
    """One line, exit code 2, before anything is measured."""
    run = pmpro("bench", "backtest", "--against", "excel")

    assert run.returncode == 2
    assert "vectorbt" in run.stderr


@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_limit_has_its_figure(data):
    """A limit without its figure would pass unseen."""
    figures = measure(data, 1, lambda done_frac: None)

    assert list(figures) == list(LIMITS)
    assert all(value > 0.0 for value in figures.values())
