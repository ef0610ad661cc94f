"""Return codes, order dicts and symbol rules."""

import re
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.broker import OrderRequest, OrderResult
from engine.model.errors import NotSent
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.terminal.host.convert import symbol_facts, symbol_spec
from engine.terminal.host.requests import deal_request, modify_request
from engine.terminal.host.symbol_rules import (
    SymbolFacts,
    fillings_for,
    freeze_problem,
    limit_problem,
    round_to_tick,
    side_problem,
    stops_problem,
    volume_problem,
)
from engine.terminal.retcodes import (
    LAST_ERRORS,
    RETCODES,
    UNKNOWN_ERROR,
    UNKNOWN_RETCODE,
    Action,
    classify,
)
from engine.terminal.simulated.module import constants
from tests.terminal.fake_api import SYMBOL

FACTS = symbol_facts(SimpleNamespace(name="EURUSD", **SYMBOL))
ORDER = OrderRequest(symbol="EURUSD", direction=1, lots=0.1, price=1.1, magic=5, comment="pm1")


def facts(**changes: Any) -> SymbolFacts:
    return msgspec.structs.replace(FACTS, **changes)


def module_constants(prefix: str) -> dict[str, int]:
    return {
        name.removeprefix(prefix): value
        for name, value in vars(constants).items()
        if name.startswith(prefix)
    }


def test_every_code_of_the_module_has_a_verdict() -> None:
    """Each TRADE_RETCODE of the module is in the table, under its name (10046 has no constant)."""
    named = {value: name for name, value in module_constants("TRADE_RETCODE_").items()}
    assert named == {code: v.name for code, v in RETCODES.items() if code != 10046}


def test_what_is_not_known_is_reconciled() -> None:
    """An unknown code, or None with an unknown error, is never taken for a refusal."""
    for code in range(9_990, 10_100):
        verdict = classify(OrderResult(retcode=code))
        if code not in RETCODES:
            assert (verdict.action, verdict.halts_entries) == (Action.UNKNOWN, True)
    for error in module_constants("RES_E_").values():
        verdict = classify(OrderResult(retcode=0, error=error))
        if error not in LAST_ERRORS:
            assert verdict.action is Action.UNKNOWN


def test_only_the_three_certain_errors_mean_not_sent() -> None:
    """None after a send may be called harmless for -2, -8 and -10004 alone."""
    harmless = {e for e, v in LAST_ERRORS.items() if v.action is not Action.UNKNOWN}
    assert harmless == {-2, -8, -10004}


def test_only_deals_are_filled() -> None:
    """PLACED and NO_CHANGES are no fills."""
    assert {code for code, v in RETCODES.items() if v.filled} == {10009, 10010}


def test_only_switched_off_trading_and_the_unexplained_halt_all_entries() -> None:
    """MetaTrader's answers "no automated trading" and "real accounts only", and what is in no
    table; everything else is a matter of its symbol or its order."""
    verdicts = {**RETCODES, **LAST_ERRORS}
    assert {c for c, v in verdicts.items() if v.halts_entries} == {10026, 10027, 10032, -8}
    assert UNKNOWN_RETCODE.halts_entries
    assert UNKNOWN_ERROR.halts_entries


def test_a_closed_symbol_or_side_is_paused() -> None:
    """Seconds and direction of each pause, which is one of entries; it comes with a refusal, or
    with the broker's request to go slower."""
    pauses = {c: (v.pause_s, v.pause_direction) for c, v in RETCODES.items() if v.pause_s}
    assert pauses == {
        10017: (900, 0),
        10018: (300, 0),
        10024: (60, 0),
        10042: (3600, -1),
        10043: (3600, 1),
        10044: (3600, 0),
    }
    assert {c for c in pauses if RETCODES[c].action is not Action.REFUSED} == {10024}


def test_later_are_only_answers_that_say_nothing_of_the_order() -> None:
    """Price, quotes, load, freeze and connection pass by themselves; a wrong price or filling mode
    does not, although it may be made anew."""
    later = {c for c, v in {**RETCODES, **LAST_ERRORS}.items() if v.action is Action.LATER}
    assert later == {10004, 10020, 10021, 10024, 10029, -10004}


def test_no_text_calls_a_pause_a_stop_or_a_halt_a_kill() -> None:
    """A stop is a price and a kill closes: neither word stands in what an operator reads here."""
    notes = [v.note for v in (*RETCODES.values(), *LAST_ERRORS.values())]
    assert not [n for n in notes if re.search(r"\b(stop|kill)", n, re.IGNORECASE)]


@pytest.mark.parametrize(
    ("mask", "execution", "fillings"),
    [
        (1, 2, [0]),
        (2, 2, [1]),
        (3, 2, [0, 1]),
        (0, 2, [0]),
        (4, 2, [0]),
        (0, 1, [2]),
        (0, 3, [2]),
        (1, 1, [0, 2]),
        (3, 0, [0, 1, 2]),
    ],
)
def test_fillings_are_the_allowed_ones(mask: int, execution: int, fillings: list[int]) -> None:
    """The mask's bits become the enumeration; market execution never gets RETURN."""
    assert fillings_for(facts(filling_mode=mask, execution_mode=execution)) == fillings


@pytest.mark.parametrize(
    ("mode", "directions"), [(0, []), (1, [1]), (2, [-1]), (3, []), (4, [1, -1]), (9, [])]
)
def test_entries_go_the_way_the_broker_lets_them(mode: int, directions: list[int]) -> None:
    """Only a symbol that is open in a direction takes an entry; an unknown mode takes none."""
    rules = facts(trade_mode=mode)
    assert [d for d in (1, -1) if side_problem(d, rules) == ""] == directions


def test_the_limit_of_a_direction_counts_what_is_held() -> None:
    """Ten steps of 0.1 fill a limit of 1 exactly; 0 is no limit."""
    assert limit_problem(0.1, 0.9, facts(volume_limit_lots=1.0)) == ""
    assert "limit 1 " in limit_problem(0.11, 0.9, facts(volume_limit_lots=1.0))
    assert limit_problem(1e6, 1e6, facts(volume_limit_lots=0.0)) == ""


def test_nothing_changes_inside_the_freeze_level() -> None:
    """Within so many points of the market a level is the broker's; 0 freezes nothing."""
    rules = facts(freeze_level_points=10)
    assert "frozen" in freeze_problem(1.1, 1.0999, 0.0, rules)
    assert "target" in freeze_problem(1.1, 1.09, 1.10001, rules)
    assert freeze_problem(1.1, 1.09989, 0.0, rules) == ""
    assert freeze_problem(1.1, 1.1, 1.1, facts(freeze_level_points=0)) == ""


def test_the_order_has_the_types_the_module_takes() -> None:
    """Exactly int, float and str: no NumPy, no bool, no int volume, no None."""
    import numpy as np

    order = msgspec.structs.replace(
        ORDER, lots=np.float64(1), price=np.float64(1.1), magic=2**32 + 1, stop=1.0, target=1.2
    )
    request = deal_request(order, FACTS)
    kinds = {key: type(value) for key, value in request.items()}
    floats = {"volume", "price", "sl", "tp"}
    strings = {"symbol", "comment"}
    for key, kind in kinds.items():
        assert kind is (float if key in floats else str if key in strings else int)


def test_levels_and_position_are_there_only_when_meant() -> None:
    """An entry without stop has no sl key; a close names its position; a modify names both."""
    assert not {"sl", "tp", "position"} & deal_request(ORDER, FACTS).keys()
    close = msgspec.structs.replace(ORDER, position=77, direction=-1)
    assert deal_request(close, FACTS)["position"] == 77
    assert deal_request(close, FACTS)["type"] == 1
    assert modify_request("EURUSD", 77, 0.0, 1.2, FACTS)["sl"] == 0.0
    with pytest.raises(NotSent):
        modify_request("EURUSD", 0, 0.0, 1.2, FACTS)


@pytest.mark.parametrize(
    "change",
    [
        {"direction": 0},
        {"direction": 2},
        {"price": 0.0},
        {"price": float("inf")},
        {"lots": 0.0},
        {"lots": -0.1},
        {"lots": 50.01},
        {"magic": -1},
        {"comment": "x" * 28},
        {"comment": "ä"},
        {"stop": float("nan")},
        {"target": -1.0},
    ],
)
def test_a_wrong_order_is_refused_before_sending(change: dict[str, Any]) -> None:
    """What would be -2, or worse, accepted, never becomes a dict."""
    with pytest.raises(NotSent):
        deal_request(msgspec.structs.replace(ORDER, **change), FACTS)


@given(st.integers(1, 5_000), st.sampled_from(["0.01", "0.1", "0.5", "1"]))
def test_every_multiple_of_the_step_is_a_volume(n: int, step: str) -> None:
    """0.29 is 29 steps of 0.01 although binary does not think so."""
    lots = float(n * Decimal(step))
    rules = facts(volume_min_lots=0.01, volume_max_lots=1e9, volume_step_lots=float(step))
    assert volume_problem(lots, rules) == ""
    assert volume_problem(lots + float(step) / 3, rules) != ""


@given(st.integers(1, 10**7), st.floats(-0.49, 0.49))
def test_prices_snap_to_the_tick(ticks: int, off: float) -> None:
    """A rounded price prints as a whole number of ticks, and stays when it was one."""
    rules = facts(tick_size=0.00025, point=0.00001)
    exact = float(ticks * Decimal("0.00025"))
    assert round_to_tick(exact + off * 0.00025, rules) == exact


def test_stops_count_from_the_closing_side() -> None:
    """Level 20 points: exactly 20 is allowed, 19 is not, the wrong side never is."""
    rules = facts(stops_level_points=20)
    assert stops_problem(1, 1.1, 1.0998, 1.1002, rules) == ""
    assert "stop" in stops_problem(1, 1.1, 1.09981, 0.0, rules)
    assert "target" in stops_problem(1, 1.1, 0.0, 1.10019, rules)
    assert stops_problem(-1, 1.1, 1.1002, 1.0998, rules) == ""
    assert "stop" in stops_problem(-1, 1.1, 1.09, 0.0, facts(stops_level_points=0))


def test_the_contract_is_the_terminals() -> None:
    """The terminal's facts win; commission, which it does not tell, is the known one or NaN."""
    spec = symbol_spec(FACTS, DEFAULT_SYMBOLS)
    assert (spec.volume_max_lots, spec.commission_per_lot_ccy) == (50.0, 3.5)
    assert spec.swap_triple_weekday == 2  # MetaTrader's 3 is Wednesday, Monday counts 0 here
    unknown = symbol_spec(facts(name="EURUSDx"), DEFAULT_SYMBOLS)
    assert unknown.commission_per_lot_ccy != unknown.commission_per_lot_ccy
