"""Compile every kernel the engine and its hosts call, so that none compiles while it trades."""

from collections.abc import Callable

import numpy as np

from engine.decision.account import (
    guard,
    mark_exposure,
    open_profit_ccy,
    roll_day,
    take_past,
    take_quote,
)
from engine.decision.allocation.shadow import pursue_shadows
from engine.decision.attribution import split_ccy
from engine.decision.batch import (
    begin_batch,
    decide_entries,
    decide_exits,
    end_batch,
    take_bar,
)
from engine.decision.entries import (
    apply_open,
    cancel_entry,
    count_entry,
    count_message,
    entry_levels,
)
from engine.decision.exits import apply_close, exit_price, wants_exit
from engine.decision.matching import match_bar
from engine.decision.money import (
    commission_ccy,
    floor_lots,
    profit_ccy,
    round_ccy,
    round_lots,
    round_price,
    rounded_prices,
    swap_night_ccy,
    swap_nights,
)
from engine.decision.moving_stops import choose_stops, move_stop
from engine.decision.plausible import is_price, only_bars
from engine.decision.rules import check_state
from engine.decision.signals import is_due, take_events
from engine.decision.state import EVENT, N_REFUSALS
from engine.model.bars import BAR_DTYPE
from engine.model.portfolio import Portfolio, SizingSpec, StrategySpec
from engine.model.reasons import ExitReason
from engine.model.times import NS_PER_DAY
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.explain import read_decision


def warm_money() -> None:
    """Compile what the simulated broker calls one by one."""
    round_ccy(1.005, 2)
    round_price(1.23456, 5)
    floor_lots(0.29, 0.01)
    round_lots(0.3)
    rounded_prices(np.array([1.23456]), 5)
    profit_ccy(1, 0.1, 1.1, 1.2, 5, 100_000.0, 1.0)
    commission_ccy(0.1, 3.5, 2)
    swap_night_ccy(1, 0.1, -6.1, 2.0, 5, 100_000.0, 1.0)
    swap_nights(0, 7, 2)
    match_bar(1, 1.0, 2.0, 1.5, 1.6, 1.4, 1e-4, 5)


def warm_core() -> None:
    """Compile what the trader calls: one entry and one exit of a single strategy."""
    strategy = StrategySpec(
        name="a", kind="a", symbol="EURUSD", sizing=SizingSpec(method="fixed_lots")
    )
    compiled = compile_portfolio(Portfolio(strategy=[strategy]))
    core = compiled.core()
    chosen = np.zeros(1, np.int64)
    refused = np.zeros(N_REFUSALS, np.int64)
    roll_day(core, NS_PER_DAY, True)
    past = only_bars(np.zeros(0, BAR_DTYPE))
    take_past(core, 0, past)
    is_price(1.1, 1.1)
    take_bar(core, 0, 0, 1.1, 1.1, 1.1, 1.1, 8e-5)
    take_quote(core, 0, 1.1, 1.10008, 1, 0)
    begin_batch(core, 0)
    take_events(core, np.array([(1.0, 0.003, 0.006, 0, 1, 0)], EVENT))
    pursue_shadows(core)
    decide_exits(core, chosen)
    decide_entries(core, chosen, refused)
    read_decision(compiled, core, 0)
    check_state(core, 0)
    entry_levels(core, 0, 1.10008)
    apply_open(core, 0, 1.10008, 0.01, 0, -0.04)
    count_entry(core, 0, 1)
    count_message(core, 0, 0)
    cancel_entry(core, 0)
    open_profit_ccy(core, 0)
    choose_stops(core, chosen, np.zeros(1))
    move_stop(core, 0, 1.0)
    guard(core, 0)
    mark_exposure(core)
    is_due(core, 0)
    wants_exit(core, 0)
    exit_price(core, 0)
    apply_close(core, 0, int(ExitReason.SIGNAL), 1.0, -0.04, 0.0)
    end_batch(core)
    split_ccy(1.0, np.ones(1), 2, np.zeros(1))


def warm_strategies() -> None:
    """Compile the indicators, as a strategy host does before its first bar."""
    from engine.hosts.child import warm

    warm()


STEPS: list[tuple[str, Callable[[], None]]] = [
    ("money and matching", warm_money),
    ("decision core", warm_core),
]
