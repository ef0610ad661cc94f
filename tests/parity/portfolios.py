"""Portfolio files drawn by hypothesis: books, sizing, allocation, risk, both account types."""

from hypothesis import strategies as st

from engine.portfolio.compile import CompiledPortfolio, compile_portfolio
from engine.portfolio.file import parse_portfolio

SYMBOLS = ("EURUSD", "USDJPY", "EURJPY", "XAUUSD")
STOP_POINTS = {"EURUSD": 120, "USDJPY": 100, "EURJPY": 140, "XAUUSD": 250}

# What binds now and then on series such as these; what is not drawn has its safe default.
_TIGHT = {
    "daily_loss_max_frac": [0.003, 0.05],
    "account_drawdown_max_frac": [0.004, 0.2],
    "symbol_exposure_max_frac": [0.8, 3.0],
    "book_exposure_max_frac": [0.6, 2.0],
    "gross_exposure_max_frac": [1.5, 5.0],
    "net_exposure_max_frac": [0.9, 3.0],
    "margin_max_frac": [0.02, 0.05],
    "correlated_exposure_max_frac": [0.7, 2.0],
    "correlation_threshold_frac": [0.1, 0.5],
    "diversify_above_frac": [0.3, 1.0],
    "largest_share_max_frac": [0.5, 0.9],
    "var_max_frac": [0.004, 0.02],
    "order_max_lots": [0.3, 2.0],
    "order_max_value_frac": [0.4, 1.0],
    "collar_spreads": [3.0, 12.0],
    "collar_frac": [0.0003, 0.002],
    "spread_max_factor": [1.1, 3.0],
    "orders_per_minute_max": [1.0, 2.0],
    "symbol_orders_per_minute_max": [1.0],
    "repeated_max": [1.0, 3.0],
    "repeated_minutes": [5.0, 240.0],
    "book_orders_per_day_max": [2.0, 9.0],
    "sample_minutes": [10.0, 30.0],
    "samples_min": [2.0, 10.0],
    "correlation_shrink_frac": [0.5],
}
_SWITCH = """[allocation.switch]
min_days = 2
disable_score = 0.1
enable_score = 0.2
disable_drawdown_r = 1.0
enable_drawdown_r = 1.0
cool_down_days = 1
"""
_TIERS = [(0.04, 0.08, 0.12), (0.002, 0.05, 0.1), (0.001, 0.003, 0.2), (0.001, 0.002, 0.004)]
_LOOSE = {
    "drawdown_reduce_frac": 0.3,
    "drawdown_stop_entries_frac": 0.5,
    "drawdown_flatten_frac": 0.9,
    "daily_loss_max_frac": 0.9,
    "account_drawdown_max_frac": 0.9,
    "spread_max_factor": 1e6,
    "collar_spreads": 1e6,
    "var_max_frac": 1e6,
    "repeated_max": 1e6,
    "sample_minutes": 10.0,
    "samples_min": 3.0,
}


@st.composite
def stops(draw) -> str:
    """Return how a book's stops move, or nothing."""
    return draw(
        st.sampled_from(
            [
                "",
                "",
                "stops = { trail_points = 60, step_points = 1 }\n",
                "stops = { trail_points = 4 }\n",  # below nearly every spread
                "stops = { trail_points = 150, trail_from_points = 100, break_even_points = 80 }\n",
            ]
        )
    )


@st.composite
def sizings(draw) -> str:
    """Return an inline table; sizes stay small beside 100 000."""
    return draw(
        st.sampled_from(
            [
                'method = "fixed_lots", lots = 0.29',
                "risk_frac = 0.002",
                'method = "volatility_target", volatility_frac = 0.001',
                'method = "kelly", risk_frac = 0.002, kelly_min_trades = 3, kelly_max_frac = 0.004',
            ]
        )
    )


@st.composite
def risks(draw, symbol: str) -> str:
    """Return a [risk] table: all loose, or the defaults with some limits that bind."""
    if draw(st.booleans()):
        values = dict(_LOOSE)
    else:
        names = draw(st.sets(st.sampled_from(sorted(_TIGHT)), max_size=9))
        values = {name: draw(st.sampled_from(_TIGHT[name])) for name in sorted(names)}
        values |= {"sample_minutes": 10.0, "samples_min": 3.0}
        names = ("drawdown_reduce_frac", "drawdown_stop_entries_frac", "drawdown_flatten_frac")
        values |= dict(zip(names, draw(st.sampled_from(_TIERS)), strict=True))
    lines = [f"{name} = {value}" for name, value in values.items()]
    closed = [[], [], [f'close_only = ["{symbol}"]'], ['closed_days = ["2018-11-01"]']]
    lines += draw(st.sampled_from(closed))
    lines.append(draw(st.sampled_from(["", "drawdown_release = 1"])))
    return "\n".join(["[risk]", *lines])


@st.composite
def allocations(draw, names: list[str]) -> str:
    """Return an [allocation] table."""
    kind = draw(st.sampled_from(["none", "manual", "score", "members", "inverse"]))
    if kind == "none":
        return ""
    if kind == "manual":
        drawn = [draw(st.sampled_from([0.0, 0.5, 1.0, 3.0])) for _ in names]
        drawn[0] = drawn[0] if any(drawn) else 1.0  # all at 0 is refused
        shares = ", ".join(f'"{n}" = {share}' for n, share in zip(names, drawn, strict=True))
        return f"[allocation]\nshares = {{ {shares} }}"
    method = "inverse_volatility" if kind == "inverse" else "score"
    level = 'level = "members"\n' if kind == "members" else ""
    switch = "" if draw(st.booleans()) else _SWITCH
    return f'[allocation]\nmethod = "{method}"\n{level}min_days = 2\n{switch}'


@st.composite
def texts(draw) -> str:
    """Return a portfolio file of one to nine noisy strategies on one to four symbols."""
    netting = draw(st.booleans())
    symbols = draw(st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=4, unique=True))
    strategies, books, names = [], [], []
    timeframes = st.sampled_from(["M1", "M1", "M1", "M5", "M15", "H1"])
    for symbol in symbols:
        n_books = 1 if netting else draw(st.integers(1, 2))
        for b in range(n_books):
            combine = draw(st.sampled_from(["solo", "vote", "weighted"]))
            n_members = 1 if combine == "solo" else draw(st.integers(2, 3))
            members = []
            for m in range(n_members):
                name = f"{symbol.lower()}-{b}{m}"
                members.append(name)
                own = combine == "solo"
                declared = draw(st.sampled_from(["", "", "max_orders_per_day = 4\n"]))
                strategies.append(
                    f'[[strategy]]\nname = "{name}"\nkind = "noise"\nsymbol = "{symbol}"\n'
                    f'timeframe = "{draw(timeframes)}"\n'
                    f"params = {{ seed = {draw(st.integers(0, 10**6))}, "
                    f"lasts = {draw(st.sampled_from([3, 7, 20, 60]))}, "
                    f"need = {draw(st.sampled_from([1, 5, 40]))}, "
                    f"stops = {draw(st.integers(0, 1))}, stop_points = {STOP_POINTS[symbol]} }}\n"
                    f"enabled = {'false' if draw(st.integers(0, 9)) == 0 else 'true'}\n"
                    + (
                        f"sizing = {{ {draw(sizings())} }}\n{draw(stops())}{declared}"
                        if own
                        else ""
                    )
                )
            if combine == "solo":
                names.append(members[0])
                continue
            names.append(f"{symbol.lower()}-{b}")
            shares = ", ".join(
                f'"{name}" = {draw(st.sampled_from([0.5, 1.0, 3.0]))}' for name in members
            )
            how = 'combine = "weighted"\nenter = 0.3\nexit = 0.1'
            if combine == "vote":
                quorum = draw(st.sampled_from(["1", "2", '"majority"', '"unanimous"']))
                how = f'combine = "vote"\nquorum = {quorum}'
            books.append(
                f'[[book]]\nname = "{names[-1]}"\nmembers = {{ {shares} }}\n{how}\n'
                f"sizing = {{ {draw(sizings())} }}\n{draw(stops())}"
                + draw(st.sampled_from(["", "", "max_lots = 0.5\n"]))
            )
    hours = draw(st.sampled_from(["", "", '[symbols.EURUSD]\nentry_hours = "22:30-20:15"\n']))
    least = draw(st.sampled_from(["", "", "[symbols.USDJPY]\nstops_level_points = 60\n"]))
    mode = "netting" if netting else "hedging"
    # Some accounts are stopped out before long: a margin level above which few can stay.
    stop_out = draw(st.sampled_from(["", "", "leverage = 1\nstop_out_level_percent = 400\n"]))
    return "\n".join(
        [
            f'server_clock = "new_york+7"\n[account]\nmargin_mode = "{mode}"\n{stop_out}',
            draw(risks(symbols[-1])),
            hours + least,
            *strategies,
            *books,
            draw(allocations(names)),
        ]
    )


def compiled_of(text: str) -> CompiledPortfolio:
    """Return a text's portfolio in the core's order."""
    return compile_portfolio(parse_portfolio(text, "drawn.toml"))
