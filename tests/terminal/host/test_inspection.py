"""What keeps an engine from trading is a stop, with what to do; a sound terminal has none."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from engine.model.broker import Quote
from engine.model.times import NS_PER_HOUR
from engine.terminal.host.clock_meter import ClockState
from engine.terminal.host.convert import symbol_facts
from engine.terminal.host.inspection import (
    TerminalFinding,
    account_findings,
    clock_findings,
    symbol_findings,
    terminal_findings,
)
from tests.terminal.fake_api import ACCOUNT, SYMBOL

INFO: dict[str, Any] = {
    "name": "Terminal",
    "build": 5000,
    "connected": True,
    "trade_allowed": True,
    "tradeapi_disabled": False,
    "maxbars": 100_000,
    "ping_last": 20_000,
}
FACTS = symbol_facts(SimpleNamespace(name="EURUSD", **SYMBOL))
QUOTE = Quote("EURUSD", 1, 1.1, 1.1001)
CLOCK = ClockState(
    rule="UTC+2",
    rule_offset_ns=2 * NS_PER_HOUR,
    offset_ns=2 * NS_PER_HOUR,
    wrong=False,
    problem="",
)


def of(status: str, findings: list[TerminalFinding]) -> list[str]:
    """What was found with this status; each that is not ok says what to do."""
    assert all(f.finding and (f.remedy or f.status == "ok") for f in findings)
    return [f.finding for f in findings if f.status == status]


def test_a_sound_terminal_is_in_order() -> None:
    """Nothing is invented: every finding is ok."""
    findings = [
        *terminal_findings(INFO),
        *account_findings(ACCOUNT, INFO),
        *clock_findings(CLOCK),
        *symbol_findings(FACTS, QUOTE, commission=True),
    ]
    assert [f for f in findings if f.status != "ok"] == []
    assert "FOK" in findings[-1].finding


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"connected": False}, "stop", "not connected"),
        ({"trade_allowed": False}, "stop", "switched off"),
        ({"tradeapi_disabled": True}, "stop", "disabled"),
        ({"ping_last": 400_000}, "warn", "400 ms away"),
        ({"maxbars": 5_000}, "warn", "5000 bars"),
    ],
)
def test_what_the_terminal_does_not_allow(change: dict[str, Any], status: str, words: str) -> None:
    """Each switch of the terminal has its own line."""
    (text,) = of(status, terminal_findings({**INFO, **change}))
    assert words in text


def test_an_investors_password_is_named_once() -> None:
    """The account's own refusal is told, unless the terminal's switch explains it already."""
    barred = msgspec.structs.replace(ACCOUNT, trade_allowed=False)
    assert of("stop", account_findings(barred, INFO)) == ["the account may not trade"]
    assert of("stop", account_findings(barred, {**INFO, "trade_allowed": False})) == []


def test_a_wrong_clock_stops_and_an_unknown_one_warns() -> None:
    """What would shift every bar keeps the engine from trading; a closed market only waits."""
    wrong = msgspec.structs.replace(CLOCK, wrong=True, problem="UTC+3 h by its newest tick")
    assert of("stop", clock_findings(wrong)) == ["UTC+3 h by its newest tick"]
    unknown = msgspec.structs.replace(CLOCK, offset_ns=None, problem="no tick")
    assert of("warn", clock_findings(unknown)) == ["no tick"]


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"trade_mode": 0}, "stop", "disabled"),
        ({"trade_mode": 3}, "stop", "close only"),
        ({"trade_mode": 1}, "warn", "long only"),
        ({"stops_level_points": 50}, "warn", "at least 50 points"),
        ({"freeze_level_points": 5}, "warn", "within 5 points"),
        ({"swap_mode": 3}, "warn", "swaps"),
        ({"stops_daily": True}, "warn", "end of its day"),
        ({"broker_name": "EURUSD.r"}, "ok", "EURUSD.r there"),
        ({"execution_mode": 1, "filling_mode": 2}, "ok", "instant execution, IOC RETURN"),
        ({"volume_limit_lots": 5.0}, "ok", "5 a direction"),
    ],
)
def test_what_a_symbol_does_not_allow(change: dict[str, Any], status: str, words: str) -> None:
    """One line says how it trades, the others what is in the way."""
    facts = msgspec.structs.replace(FACTS, **change)
    assert any(words in text for text in of(status, symbol_findings(facts, QUOTE, commission=True)))


def test_what_is_not_known_of_a_symbol_is_said() -> None:
    """No tick and no commission are warnings of their own."""
    texts = of("warn", symbol_findings(FACTS, None, commission=False))
    assert ["tick" in texts[0], "commission" in texts[1], len(texts)] == [True, True, 2]
