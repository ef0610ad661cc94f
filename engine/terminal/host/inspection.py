"""What a terminal and its account allow, as findings: in order, a warning, or no trading.

Pure: from the terminal's own answers to a list. What to do stands with each finding.
"""

from typing import Any, Final, Literal

import msgspec

from engine.model.broker import AccountState, Quote
from engine.model.times import NS_PER_HOUR
from engine.terminal.host.clock_meter import ClockState
from engine.terminal.host.symbol_rules import (
    FILLING_FOK,
    FILLING_IOC,
    FILLING_RETURN,
    TRADE_MODE_FULL,
    SymbolFacts,
    fillings_for,
    side_problem,
)

_EXECUTIONS: Final = {0: "request", 1: "instant", 2: "market", 3: "exchange"}
_FILLINGS: Final = {FILLING_FOK: "FOK", FILLING_IOC: "IOC", FILLING_RETURN: "RETURN"}
_SWAPS_KNOWN: Final = (0, 1)
_PING_WARN_MS: Final = 300.0
# About two months of minutes: what strategies on H1 and above warm up with.
_BARS_WARN: Final = 100_000


class TerminalFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One line; `stop` is what keeps the engine from trading."""

    check: str
    status: Literal["ok", "warn", "stop"] = "ok"
    finding: str
    remedy: str = ""


def terminal_findings(info: dict[str, Any]) -> list[TerminalFinding]:
    """Judge `terminal_info` and `version`."""
    ping_ms = info["ping_last"] / 1000.0
    found = [TerminalFinding(check="terminal", finding=f"{info['name']}, build {info['build']}")]
    if not info["connected"]:
        found.append(
            _stop("trade server", "not connected", "log in to the account in the terminal")
        )
    elif ping_ms > _PING_WARN_MS:
        found.append(_warn("trade server", f"{ping_ms:.0f} ms away", "a host nearer to the broker"))
    else:
        found.append(
            TerminalFinding(check="trade server", finding=f"connected, {ping_ms:.0f} ms away")
        )
    if not info["trade_allowed"]:
        found.append(
            _stop("algo trading", "switched off", "press Algo Trading in the terminal's toolbar")
        )
    if info["tradeapi_disabled"]:
        remedy = "Tools, Options, Expert Advisors: allow algo trading by the Python API"
        found.append(_stop("Python API", "disabled", remedy))
    if info["maxbars"] < _BARS_WARN:
        found.append(
            _warn(
                "history",
                f"{info['maxbars']} bars at most",
                "Tools, Options, Charts: raise the most bars in a chart",
            )
        )
    return found


def account_findings(account: AccountState, info: dict[str, Any]) -> list[TerminalFinding]:
    """Judge the account; whether it is the configured one is judged at connecting."""
    kind = "real money" if account.real_money else "no real money"
    margin = "hedging" if account.hedging else "netting"
    found = [
        TerminalFinding(
            check="account",
            finding=f"{account.login} at {account.server}, {kind}, {account.currency}, {margin}, "
            f"1:{account.leverage}, {account.balance_ccy:z,.2f}",
        )
    ]
    may_trade = info["trade_allowed"] and not info["tradeapi_disabled"]
    if may_trade and not account.trade_allowed:
        remedy = "log in with the trading password, not the investor's; ask the broker otherwise"
        found.append(_stop("permission", "the account may not trade", remedy))
    return found


def clock_findings(state: ClockState) -> list[TerminalFinding]:
    """Judge the server's clock."""
    if state.wrong:
        return [_stop("server clock", state.problem, "correct it in terminal and portfolio file")]
    if state.offset_ns is None:
        return [
            _warn(
                "server clock",
                state.problem or "not measured: no tick has arrived yet",
                "check again while the market is open; no entry is sent until then",
            )
        ]
    text = f"UTC{state.offset_ns / NS_PER_HOUR:+g} h by its ticks, as {state.rule} says"
    return [TerminalFinding(check="server clock", finding=text)]


def symbol_findings(
    facts: SymbolFacts, quote: Quote | None, *, commission: bool
) -> list[TerminalFinding]:
    """Judge a symbol; `commission` is whether the portfolio knows what the broker charges."""
    name = facts.name
    found = [TerminalFinding(check=name, finding=_described(facts))]
    allowed = [side for side, d in (("long", 1), ("short", -1)) if not side_problem(d, facts)]
    if not allowed:
        found.append(_stop(name, side_problem(1, facts), "trade another symbol, or ask the broker"))
    elif facts.trade_mode != TRADE_MODE_FULL:
        found.append(_warn(name, f"{allowed[0]} only", "entries the other way are refused"))
    if facts.freeze_level_points:
        text = f"levels within {facts.freeze_level_points} points of the price are frozen"
        found.append(_warn(name, text, "stops near the price cannot be moved"))
    if facts.stops_level_points:
        text = f"stops and targets at least {facts.stops_level_points} points away"
        found.append(_warn(name, text, "nearer ones are refused: see the strategies' stops"))
    if facts.stops_daily:
        text = "the broker takes stops and targets away at the end of its day"
        remedy = "they are set again at once: hold nothing over the close that must not be bare"
        found.append(_warn(name, text, remedy))
    if quote is None or not quote.time_ns:
        found.append(_warn(name, "no tick yet", "check again while the market is open"))
    if not commission:
        text = "the terminal does not tell the commission"
        found.append(_warn(name, text, f"set commission_per_lot_ccy in [symbols.{name}]"))
    if facts.swap_mode not in _SWAPS_KNOWN:
        text = "the broker charges swaps in another unit than points"
        found.append(
            _warn(name, text, f"set swap_long_points, swap_short_points in [symbols.{name}]")
        )
    return found


def _described(facts: SymbolFacts) -> str:
    renamed = f"{facts.broker_name} there, " if facts.broker_name != facts.name else ""
    execution = _EXECUTIONS.get(facts.execution_mode, str(facts.execution_mode))
    fillings = " ".join(_FILLINGS[filling] for filling in fillings_for(facts))
    limit = f", {facts.volume_limit_lots:g} a direction" if facts.volume_limit_lots else ""
    return (
        f"{renamed}{execution} execution, {fillings}, {facts.volume_min_lots:g} to "
        f"{facts.volume_max_lots:g} lots by {facts.volume_step_lots:g}{limit}, "
        f"{facts.contract_size:g} {facts.base} a lot, spread {facts.spread_points} points"
    )


def _stop(check: str, finding: str, remedy: str) -> TerminalFinding:
    return TerminalFinding(check=check, status="stop", finding=finding, remedy=remedy)


def _warn(check: str, finding: str, remedy: str) -> TerminalFinding:
    return TerminalFinding(check=check, status="warn", finding=finding, remedy=remedy)
