"""The compiled simulator against a second implementation in exact decimals."""

import copy
import random
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from backtest.report import net_profits_ccy, trades_table
from backtest.simulate import simulate
from engine.model.reasons import Refusal
from engine.model.times import NS_PER_MINUTE
from tests.backtest import oracle
from tests.backtest.scripted import MONDAY, Scripted, make_bars, portfolio, strategy_text

SYMBOLS = {
    "EURUSD": (5, "1.17000", "0.00008"),
    "USDJPY": (3, "110.000", "0.009"),
}
# (book, how, members by symbol); a strategy in no book is a book of one.
BOOKS = {
    "hedging": [
        ("weighted", "weighted", {"w1": "EURUSD", "w2": "EURUSD"}),
        ("vote", "vote", {"v1": "EURUSD", "v2": "EURUSD", "v3": "EURUSD"}),
        ("cross", "weighted", {"x1": "EURUSD", "x2": "USDJPY"}),
        ("solo", "solo", {"solo": "EURUSD"}),
        ("yen", "solo", {"yen": "USDJPY"}),
    ],
    "netting": [
        ("weighted", "weighted", {"w1": "EURUSD", "w2": "EURUSD"}),
        ("vote", "vote", {"y1": "USDJPY", "y2": "USDJPY", "y3": "USDJPY"}),
    ],
}
SIZINGS = (
    {"method": "fixed_fraction", "risk_frac": Decimal("0.01")},
    {"method": "fixed_lots", "lots": Decimal("0.29")},
    {"method": "volatility_target", "volatility_frac": Decimal("0.013")},
    {
        "method": "kelly",
        "risk_frac": Decimal("0.007"),
        "kelly_frac": Decimal("0.3"),
        "kelly_max_frac": Decimal("0.02"),
        "kelly_min_trades": 3,
        "kelly_shrink_trades": 5,
    },
)
# Limits that no order of these worlds reaches, and some of which each world draws a few.
FAR = Decimal(1_000_000)
LOOSE = {
    "drawdown_reduce_frac": Decimal("0.5"),
    "drawdown_stop_entries_frac": Decimal("0.8"),
    "drawdown_flatten_frac": Decimal("0.95"),
    "repeated_minutes": Decimal(30),
    "sample_minutes": Decimal(10),
    "samples_min": Decimal(3),
    "correlation_threshold_frac": Decimal("0.31"),
    "correlation_shrink_frac": Decimal("0.1"),
    "diversify_above_frac": Decimal("0.77"),
    "largest_share_max_frac": Decimal(1),
    "account_drawdown_max_frac": Decimal(1),
    "daily_loss_max_frac": Decimal(1),
    "margin_max_frac": Decimal(1),
    "collar_frac": Decimal(1),
} | dict.fromkeys(
    (
        "symbol_exposure_max_frac",
        "book_exposure_max_frac",
        "gross_exposure_max_frac",
        "net_exposure_max_frac",
        "correlated_exposure_max_frac",
        "var_max_frac",
        "order_max_lots",
        "order_max_value_frac",
        "collar_spreads",
        "spread_max_factor",
        "orders_per_minute_max",
        "symbol_orders_per_minute_max",
        "repeated_max",
        "book_orders_per_day_max",
    ),
    FAR,
)
# No value falls on them but by counting: an order at its very limit is the rules' own test.
TIGHT = {
    "account_drawdown_max_frac": ["0.0107", "0.031"],
    "daily_loss_max_frac": ["0.0083", "0.023"],
    "symbol_exposure_max_frac": ["4.013", "13.07"],
    "book_exposure_max_frac": ["3.017", "9.03"],
    "gross_exposure_max_frac": ["4.019", "7.07"],
    "net_exposure_max_frac": ["3.011", "12.07"],
    "margin_max_frac": ["0.0311", "0.061"],
    "correlated_exposure_max_frac": ["2.503", "8.09"],
    "correlation_threshold_frac": ["0.0503", "0.61"],
    "largest_share_max_frac": ["0.513", "0.87"],
    "var_max_frac": ["0.0203", "0.11"],
    "order_max_lots": ["0.285", "0.805"],
    "order_max_value_frac": ["2.507", "8.07"],
    "collar_frac": ["0.000503", "0.00207"],
    "collar_spreads": ["3.03", "11.07"],
    "spread_max_factor": ["0.41", "1.03"],
    "orders_per_minute_max": ["1", "2"],
    "symbol_orders_per_minute_max": ["1"],
    "repeated_max": ["1", "1", "2"],
    "repeated_minutes": ["3", "500", "9000"],
    "book_orders_per_day_max": ["1", "2", "4"],
    "sample_minutes": ["1", "5"],
    "samples_min": ["1", "8"],
}
STOPS = (
    "trail_points",
    "trail_from_points",
    "break_even_points",
    "break_even_plus_points",
    "step_points",
)
MOVES = [
    (5, 0, 0, 0, 1),
    (90, 0, 0, 0, 10),
    (200, 120, 100, 5, 1),
    (0, 0, 150, 0, 0),
    (40, 300, 60, 20, 50),
]
TIERS = [("0.5", "0.8", "0.95"), ("0.02", "0.03", "0.035"), ("0.01", "0.06", "0.2")]


def _settings(seed: int, mode: str, *, tight: bool) -> dict:
    """What a world's portfolio file says beside its books."""
    rng = random.Random(seed)  # even choices: hypothesis likes the first ones better
    limits = dict(LOOSE)
    if tight:
        # A few at a time: the first rules leave nothing to the last ones.
        for name in rng.sample(sorted(TIGHT), rng.choice([1, 2, 4, 8])):
            limits[name] = Decimal(rng.choice(TIGHT[name]))
        tiers = map(Decimal, rng.choice(TIERS))
        limits |= zip(
            [f"drawdown_{name}_frac" for name in ("reduce", "stop_entries", "flatten")],
            tiers,
            strict=True,
        )
    names = [name for name, _, _ in BOOKS[mode]]
    shares = {name: rng.choice([0, 1, 1, 5]) for name in names} if rng.random() < 0.5 else {}
    declared = tight and rng.random() < 0.2
    shut = rng.random() < 0.15
    moving = [
        {},
        dict(zip(STOPS, map(Decimal, rng.choice(MOVES)), strict=True)),
    ]
    return {
        "mode": mode,
        "stops": {name: rng.choice(moving) for name in names},
        "limits": limits,
        "sizing": {name: rng.choice(SIZINGS) for name in names},
        "quorum": rng.choice([1, 2, "majority", "unanimous"]),
        "shares": shares if any(shares.values()) else {},
        "disabled": set(rng.sample(["w1", "v2", "y3", "yen"], rng.choice([0, 0, 1, 2]))),
        "max_orders": rng.choice([0, 2]) if declared else 0,
        "max_lots": rng.choice(["0", "0.305"]) if declared else "0",
        "restricted": tight and rng.random() < 0.05,
        "hours": rng.choice([(185, 195), (1380, 200)]) if tight and shut else (0, 0),
        "closed_days": ("2018-06-05",) if tight and rng.random() < 0.15 else (),
        "stops_level": rng.choice([0, 0, 110]),
        # A margin level that few positions can have makes stop-outs.
        "broker": rng.choice([(100, 50), (100, 50), (5, 140), (10, 250), (5, 90)]),
    }


def _members(mode: str) -> dict[str, str]:
    return {n: s for _, _, members in BOOKS[mode] for n, s in members.items()}


def _text(given_: dict) -> str:
    mode = given_["mode"]
    risk = given_["limits"]
    first, last = given_["hours"]
    leverage, percent = given_["broker"]
    out = [
        f'[account]\nbalance_ccy = 10000.0\nleverage = {leverage}\nmargin_mode = "{mode}"',
        f"stop_out_level_percent = {percent}\n[risk]",
        *(f"{name} = {value}" for name, value in risk.items()),
        f"closed_days = {list(given_['closed_days'])}",
        'restricted = ["USDJPY"]' if given_["restricted"] else "",
        "[symbols.EURUSD]\nswap_long_points = -61.0\nswap_short_points = 20.0",
        f"stops_level_points = {given_['stops_level']}",
        f'entry_hours = "{first // 60:02}:{first % 60:02}-{last // 60:02}:{last % 60:02}"',
    ]
    declared = f"max_orders_per_day = {given_['max_orders']}\nmax_lots = {given_['max_lots']}\n"
    for name, how, members in BOOKS[mode]:
        sizing = ", ".join(
            f'{k} = "{v}"' if k == "method" else f"{k} = {v}"
            for k, v in given_["sizing"][name].items()
        )
        own = f"sizing = {{ {sizing} }}\n{declared}"
        if given_["stops"][name]:
            moves = ", ".join(f"{k} = {v}" for k, v in given_["stops"][name].items())
            own += f"stops = {{ {moves} }}\n"
        for member, symbol in members.items():
            enabled = f"enabled = {str(member not in given_['disabled']).lower()}\n"
            out.append(strategy_text(member, symbol, enabled + (own if how == "solo" else "")))
        if how == "solo":
            continue
        quorum = given_["quorum"]
        quorum = f'"{quorum}"' if isinstance(quorum, str) else quorum
        said = f"quorum = {quorum}" if how == "vote" else "enter = 0.5\nexit = 0.25"
        shares = ", ".join(f"{m} = 1.0" for m in members)
        out.append(
            f'[[book]]\nname = "{name}"\ncombine = "{how}"\nmembers = {{ {shares} }}\n{said}\n{own}'
        )
    if given_["shares"]:
        shares = ", ".join(f"{name} = {share}" for name, share in given_["shares"].items())
        out.append(f"[allocation]\nshares = {{ {shares} }}")
    return "\n".join(out)


# Minutes between bars: mostly the next one, now and then a hole or a night (17:00 New York).
_gap = st.sampled_from([1] * 12 + [2, 5, 400, 1500, 4300])
_move = st.integers(-250, 250)


@st.composite
def _bars(draw, symbol: str) -> list[tuple]:
    digits, first, spread = SYMBOLS[symbol]
    point = Decimal(1).scaleb(-digits)
    minute, close = MONDAY + draw(st.integers(0, 3)), Decimal(first)
    rows = []
    for _ in range(draw(st.integers(5, 40))):
        # Half of the bars open where the last one closed, the rest jump.
        opened = close + point * draw(st.one_of(st.just(0), _move))
        close = opened + point * draw(_move)
        high = max(opened, close) + point * draw(st.integers(0, 250))
        low = min(opened, close) - point * draw(st.integers(0, 250))
        width = draw(st.sampled_from([None, Decimal(0), point * 3, point * 12]))
        rows.append((minute, opened, high, low, close, Decimal(spread) if width is None else width))
        minute += draw(_gap)
    wrong = draw(st.booleans())
    return [_spoiled(row, digits, draw(_wrong) if wrong else ()) for row in rows]


# What may be wrong with a bar: mostly nothing. Factors of its prices, of which the first is open.
_wrong = st.sampled_from(
    [()] * 30 + [(10,), ("0.1",), ("0.64",), (-1,), (0,), ("NaN",), (1, "0.64")]
)


def _spoiled(row: tuple, digits: int, factors: tuple) -> tuple:
    """Return a bar with all its prices wrong, or with its low alone."""
    if not factors:
        return row
    minute, *prices, width = row
    point = Decimal(1).scaleb(-digits)
    if len(factors) == 1:
        wrong = [price * Decimal(factors[0]) for price in prices]
    else:
        wrong = [*prices[:2], prices[2] * Decimal(factors[1]), prices[3]]
    return minute, *(p if p.is_nan() else p.quantize(point) for p in wrong), width


@st.composite
def _script(draw, minutes: list[int]) -> dict:
    script = {}
    row = (0, Decimal(0), None, None)
    for minute in minutes:
        if draw(st.integers(0, 2)) == 0:
            raw = draw(st.sampled_from([1, -1, 0, 2]))
            confidence = Decimal(draw(st.sampled_from(["0.5", "1"]))) if raw else Decimal(0)
            stop = draw(st.sampled_from([None, 100, 200, 400, 900]))
            target = draw(st.sampled_from([None, 4, 200, 500, 900]))
            row = (raw, confidence, stop, target)
        script[minute] = row
    return script


def _scaled(script: dict, point: Decimal) -> dict:
    def distance(value: int | None) -> Decimal | None:
        return None if value is None else value * point

    return {m: (raw, c, distance(s), distance(t)) for m, (raw, c, s, t) in script.items()}


@st.composite
def _worlds(draw, mode: str, *, tight: bool):
    bars = {symbol: draw(_bars(symbol)) for symbol in SYMBOLS}
    scripts = {}
    for name, symbol in _members(mode).items():
        point = Decimal(1).scaleb(-SYMBOLS[symbol][0])
        scripts[name] = _scaled(draw(_script([row[0] for row in bars[symbol]])), point)
    return bars, scripts, _settings(draw(st.integers(0, 2**64 - 1)), mode, tight=tight)


def _run_oracle(world, first: int, stop: int) -> tuple[oracle.Account, dict]:
    bars, scripts, given_ = world
    facts = {
        "EURUSD": oracle.Symbol(
            5, Decimal(100_000), Decimal("3.5"), Decimal(-61), Decimal(20), 2, False, [], Decimal(8)
        ),
        "USDJPY": oracle.Symbol(
            3,
            Decimal(100_000),
            Decimal("3.5"),
            Decimal("3.5"),
            Decimal(-9),
            2,
            True,
            [],
            Decimal(9),
            restricted=given_["restricted"],
        ),
    }
    facts["EURUSD"].stops_level = Decimal(given_["stops_level"])
    facts["EURUSD"].hours = given_["hours"]
    for name, symbol in facts.items():
        symbol.bars = [oracle.Bar(*row) for row in bars[name]]
    members = {
        n: oracle.Member(Decimal(1), copy.copy(scripts[n]), n not in given_["disabled"])
        for n in scripts
    }
    shares = given_["shares"]
    total = sum(shares.values())
    slots = []
    for name, how, own in BOOKS[given_["mode"]]:
        allocation = Decimal(1)
        if shares:
            allocation = Decimal(shares[name] * len(shares)) / total
        slots += [
            oracle.Slot(
                name,
                facts[symbol],
                [members[m] for m, s in own.items() if s == symbol],
                vote=how != "weighted",
                sizing=given_["sizing"][name],
                enter=Decimal("0.5"),
                exit=Decimal("0.25"),
                quorum=given_["quorum"] if how == "vote" else 1,
                allocation=allocation,
                max_orders=given_["max_orders"],
                stops=given_["stops"][name],
                max_lots=Decimal(given_["max_lots"]),
            )
            for symbol in dict.fromkeys(own.values())
        ]
    leverage, percent = map(Decimal, given_["broker"])
    account = oracle.Account(
        balance=Decimal(10_000),
        limits=given_["limits"] | {"leverage": leverage, "stop_out_frac": percent / 100},
        closed_days=given_["closed_days"],
    )
    order = list(dict.fromkeys(_members(given_["mode"]).values()))
    oracle.run(account, [facts[name] for name in order], slots, first, stop)
    return account, members


def _simulate(world, first: int, stop: int):
    bars, scripts, given_ = world
    compiled = portfolio(_text(given_))
    strategies = [Scripted(s.symbol, scripts[s.name]) for s in compiled.strategies]
    return simulate(
        compiled,
        {symbol.name: make_bars(bars[symbol.name]) for symbol in compiled.symbols},
        first * NS_PER_MINUTE,
        stop * NS_PER_MINUTE,
        strategies=strategies,
        n_checks=1000,
    )


def _trades(result) -> list[dict]:
    """Return the trades as the oracle writes them."""
    table = {name: np.asarray(column).tolist() for name, column in trades_table(result).items()}
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    return [
        {
            "book": row["book"],
            "direction": 1 if row["direction"] == "BUY" else -1,
            "lots": row["lots"],
            "entry_minute": row["entry_time"] // NS_PER_MINUTE,
            "entry_price": row["entry_price"],
            "exit_minute": row["exit_time"] // NS_PER_MINUTE,
            "exit_price": row["exit_price"],
            "exit_reason": row["exit_reason"],
            "commission": row["commission_ccy"],
            "swap": row["swap_ccy"],
            "profit": row["profit_ccy"],
        }
        for row in rows
    ]


def _compare(world) -> None:
    bars, _, _ = world
    first, stop = MONDAY, max(rows[-1][0] for rows in bars.values()) + 1

    result = _simulate(world, first, stop)
    expected, members = _run_oracle(world, first, stop)

    wanted = [
        {k: float(v) if isinstance(v, Decimal) else v for k, v in trade.items()}
        for trade in expected.trades
    ]
    assert _trades(result) == wanted
    minutes, balances, equities = zip(*expected.curve, strict=True)
    assert (result.equity["time_ns"] // NS_PER_MINUTE).tolist() == list(minutes)
    np.testing.assert_allclose(
        result.equity["equity_ccy"][:-1], np.array(equities[:-1], float), rtol=1e-12
    )
    np.testing.assert_array_equal(result.equity["balance_ccy"][:-1], np.array(balances[:-1], float))
    assert float(result.core.account[0]["balance_ccy"]) == float(expected.balance)
    assert round(10_000 + float(np.sum(net_profits_ccy(result))), 2) == float(expected.balance)

    refused = {Refusal(i).name: int(n) for i, n in enumerate(result.refused) if n}
    assert refused == expected.refused, (refused, expected.refused)
    _compare_rules(result, expected)
    _compare_members(result, members)


def _compare_rules(result, expected: oracle.Account) -> None:
    """Every rule's value and limit at each accepted entry."""
    books = [slot.book.name for slot in result.compiled.slots]
    entries = [(t // NS_PER_MINUTE, books[slot]) for t, slot in result.checked.tolist()]
    assert entries == [(minute, book) for minute, book, _ in expected.checked]
    for found, (minute, book, row) in zip(result.checks, expected.checked, strict=True):
        assert {Refusal[name] for name in row} >= set(Refusal) - {0, 4, 22}
        for name, pair in row.items():
            wanted = [float(x) for x in pair]
            assert found[Refusal[name]].tolist() == pytest.approx(wanted, rel=1e-9, abs=1e-9), (
                minute,
                book,
                name,
            )


def _compare_members(result, members: dict[str, oracle.Member]) -> None:
    """Shadow records in R, and results to the cent."""
    for strategy, output in zip(result.compiled.strategies, result.core.outputs, strict=True):
        member = members[strategy.name]
        results = [float(r) for r in member.shadow.results]
        assert output["shadow_trades"] == len(results)
        assert output["shadow_r"] == pytest.approx(sum(results), rel=1e-9, abs=1e-9)
        squares = sum(r * r for r in results)
        assert output["shadow_square_r"] == pytest.approx(squares, rel=1e-9, abs=1e-9)
        assert output["realised_ccy"] == float(member.realised)


def _many(n: int):
    return settings(
        max_examples=n,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking a world takes minutes
    )


@pytest.mark.timeout(600)
@_many(40)
@given(_worlds("hedging", tight=False))
def test_every_trade_and_every_equity_value_equals_the_oracle(world):
    """Two implementations of the semantics agree on time, side, size, price, costs and reason."""
    _compare(world)


@pytest.mark.timeout(600)
@_many(60)
@given(_worlds("hedging", tight=True))
def test_every_refusal_and_every_rules_value_equals_the_oracle(world):
    """With limits that bind: who was refused by which rule, and what each rule said."""
    _compare(world)


@pytest.mark.timeout(600)
@_many(25)
@given(_worlds("netting", tight=True))
def test_netting_accounts_equal_the_oracle(world):
    """One book a symbol: the same in all of it."""
    _compare(world)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", ["hedging", "netting"])
def test_many_worlds_equal_the_oracle(mode):
    """The same, many times over."""
    _many(300)(given(_worlds(mode, tight=True))(_compare))()
