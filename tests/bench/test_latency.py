"""`pmpro bench latency`: a whole engine, its orders timed; no limits are checked here."""

import json

import pytest

from pmpro_tui.bench.latency import LIMITS, entries_ms, figures_of, portfolio_text


def test_every_batch_of_entries_has_its_orders_in_order(home):
    """A batch counts once, with as many orders as there are probes, each after the tick."""
    batches = entries_ms(12, 3, 3, 0.4)

    assert len(batches) == 3
    for orders_ms in batches:
        assert len(orders_ms) == 3
        assert 0.0 < orders_ms[0] < orders_ms[1] < orders_ms[2]


def test_the_figures_hold_every_limit():
    """A limit without its figure would pass unseen; each is of the order that it names."""
    figures = figures_of([[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]])

    assert LIMITS.keys() <= figures.keys()
    assert figures["p99_ms"] == 1.0
    assert figures["p99_200_ms"] == 3.0
    assert figures["last_of_100_p99_ms"] == 6.0


@pytest.mark.parametrize("n", [5, 100, 200])
def test_the_portfolio_is_one_that_an_engine_takes(n):
    """Whatever kinds there are, the file has exactly as many strategies as asked for."""
    from engine.portfolio.compile import compile_portfolio
    from engine.portfolio.file import parse_portfolio

    compiled = compile_portfolio(parse_portfolio(portfolio_text(n, 10), "test"))

    assert len(compiled.strategies) == n + 10


@pytest.mark.long
def test_the_benchmark_reports_its_figures(pmpro):
    """The document has the figures with their limits, whatever this machine can do."""
    document = json.loads(pmpro("bench", "latency", "--batches", "2", "--json").stdout)

    assert document["bench"] == "latency"
    assert document["limits"].keys() <= document["figures"].keys()
