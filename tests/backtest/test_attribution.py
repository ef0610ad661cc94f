"""Members, books, symbols and account earn the same money, to the cent."""

import csv
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.attribution import AMOUNTS, attribution_table, parts_ccy, strategies
from backtest.loop import TRADE
from backtest.output import ATTRIBUTION_COLUMNS, write_attribution
from backtest.report import books, digest, summary, symbols
from backtest.simulate import Result, simulate
from engine.decision.attribution import split_ccy
from engine.model.bars import BAR_DTYPE
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE
from engine.portfolio.allocator import Change
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import parse_portfolio

FROM_NS = 17_686 * NS_PER_DAY  # Monday 2018-06-04
KINDS = ("ma_cross", "rsi_reversion", "bollinger_reversion", "macd")
PAIRS = ("EURUSD", "GBPUSD")


def text(shares: list[list[int]]) -> str:
    """Return books of as many members as they have shares, on both symbols in turn."""
    lines = []
    for b, own in enumerate(shares):
        members = []
        for m, share in enumerate(own):
            name = f"b{b}m{m}"
            kind, symbol = KINDS[(b + m) % len(KINDS)], PAIRS[m % 2]
            lines.append(f'[[strategy]]\nname="{name}"\nkind="{kind}"\nsymbol="{symbol}"')
            members.append(f'"{name}" = {share}')
        combine = "vote" if b % 2 else "weighted"
        lines.append(
            f'[[book]]\nname="book{b}"\ncombine="{combine}"\nenter=0.05\nexit=0.01\n'
            f"members={{ {', '.join(members)} }}"
        )
    return "\n".join(lines)


def walk(seed: int, n: int = 2 * 1440) -> np.ndarray:
    """Return M1 bars of a random walk, over two midnights."""
    rng = np.random.default_rng(seed)
    bars = np.zeros(n, BAR_DTYPE)
    bars["time_ns"] = FROM_NS - NS_PER_DAY + np.arange(n) * NS_PER_MINUTE
    close = np.round(1.2 + np.cumsum(rng.normal(0, 2e-4, n)), 5)
    bars["close"], bars["open"] = close, np.r_[1.2, close[:-1]]
    bars["high"] = np.maximum(bars["open"], close) + 1e-4
    bars["low"] = np.minimum(bars["open"], close) - 1e-4
    bars["spread"] = 1e-4
    return bars


def run(portfolio: str, seed: int) -> Result:
    compiled = compile_portfolio(parse_portfolio(portfolio, "test"))
    bars = {spec.name: walk(seed + i) for i, spec in enumerate(compiled.symbols)}
    return simulate(compiled, bars, FROM_NS, FROM_NS + NS_PER_DAY)


def cents(rows: list[dict], name: str) -> Decimal:
    return sum((Decimal(str(row[name])) for row in rows), Decimal(0))


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=1, max_size=6),
    st.integers(0, 1000),
)
def test_members_books_and_symbols_sum_to_the_account(shares, seed):
    """Whatever the books and their shares: three sections, one sum, the balance's change."""
    result = run(text(shares), seed)
    figures = summary(result)
    sections = (strategies(result), books(result), symbols(result))
    for section in sections:
        assert cents(section, "net_profit_ccy") == Decimal(str(figures["net_profit_ccy"]))
        for name in ("commission_ccy", "swap_ccy"):
            assert cents(section, name) == Decimal(str(figures[name]))
    for row, output in zip(sections[0], result.core.outputs, strict=True):
        assert row["net_profit_ccy"] == output["realised_ccy"]
        assert row["commission_ccy"] == output["paid_commission_ccy"]
        assert row["shadow"]["trades_count"] == output["shadow_trades"]


def test_many_books_trade_enough_to_prove_it():
    """The property is about something: every book trades, and trades are shared."""
    result = run(text([[1, 2, 3], [5, 1], [1, 1, 1, 1]]), 7)
    assert all(book["trades_count"] > 3 for book in books(result))
    assert ((result.shares > 0).sum(axis=1) > 1).any()


@settings(deadline=None)  # the first call compiles
@given(
    st.integers(-10_000_000, 10_000_000),
    st.lists(st.floats(0.001, 10.0), min_size=1, max_size=12),
)
def test_parts_are_fair_and_sum_to_the_amount(amount, weights):
    """No part is a whole cent from its exact share, and nothing is lost or made."""
    shares = np.array(weights) / sum(weights)
    parts = np.zeros(len(shares))
    split_ccy(amount / 100, shares, 2, parts)
    in_cents = np.round(parts * 100).astype(int)
    assert in_cents.sum() == amount
    assert (np.abs(in_cents - amount * shares) < 1.0 + 1e-6).all()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_attribution_file_has_a_row_a_trade_and_member(tmp_path, suffix):
    """Its rows sum to the trades, which they number as the trades file does."""
    result = run(text([[1, 2, 3], [5, 1]]), 7)
    path = tmp_path / f"a{suffix}"
    write_attribution(path, attribution_table(result))
    if suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        assert tuple(rows[0]) == ATTRIBUTION_COLUMNS
        first = [row for row in rows if row["trade"] == "1"]
        amounts = result.trades[0][list(AMOUNTS.values())].tolist()
        assert [float(cents(first, name)) for name in AMOUNTS] == list(np.round(amounts, 2))
        assert len(rows) == (result.shares > 0).sum()


def test_no_trades_have_no_parts():
    """An empty result is a report of zeros."""
    result = run(text([[1]]), 7)._replace(trades=np.zeros(0, TRADE), shares=np.zeros((0, 1)))
    assert parts_ccy(result).shape == (3, 0, 1)
    assert strategies(result)[0]["net_profit_ccy"] == 0.0
    assert [row["trades_count"] for row in symbols(result)] == [0]


def test_the_digest_covers_what_allocation_changed():
    """Two results that differ in one change of allocation alone have different digests."""
    result = run(text([[1]]), 7)
    change = Change(server_day=1, unit="a", what="share", before=0.5, after=0.6, numbers={"s": 1.0})
    other = Change(server_day=1, unit="a", what="share", before=0.5, after=0.6, numbers={"s": 1.1})
    digests = {digest(result._replace(changes=c)) for c in ((), (change,), (other,))}
    assert len(digests) == 3
