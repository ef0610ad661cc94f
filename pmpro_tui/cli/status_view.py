"""The engine's state and limits for people."""

import math
from typing import TYPE_CHECKING

from engine.model.errors import UserError
from engine.model.near import meant
from engine.model.times import NS_PER_S
from engine.model.views.freshness import Word, word_of
from engine.model.views.snapshot import measured_by_limit
from pmpro_tui.cli.output import print_json
from pmpro_tui.cli.tables import print_table
from pmpro_tui.console.limit_words import LIMIT_WORDS

if TYPE_CHECKING:
    from engine.model.views.snapshot import ControlView, LogView, RiskView, Snapshot, TerminalView


def account(snapshot: "Snapshot") -> str:
    """Return which account it is."""
    return f"{snapshot.mode} account {snapshot.account} at {snapshot.server}"


def check_limit(risk: "RiskView", name: str) -> None:
    """Refuse a name that no limit has.

    Raises:
        UserError: with the limit that was meant.
    """
    if name not in risk.limits:
        hint = meant(name, risk.limits) or "; `pmpro limit` lists them"
        raise UserError(f"no limit is named {name!r}{hint}")


def show_limits(snapshot: "Snapshot", name: str, *, json: bool) -> None:
    """Write one limit, or all with "" for a name."""
    risk = snapshot.risk
    if name:
        check_limit(risk, name)
    names = [name] if name else list(risk.limits)
    measured = measured_by_limit(snapshot.risk)
    rows = [
        {
            "name": n,
            "limit": risk.limits[n],
            "of_file": risk.limits_of_file.get(n),
            "now": measured.get(n),
        }
        for n in names
    ]
    if json:
        print_json({"limits": rows})
        return
    print_table(
        f"Limits of {account(snapshot)}",
        ("limit", "value", "in the file", "now", "means"),
        [
            (
                row["name"],
                f"{row['limit']:g}",
                "" if row["limit"] == row["of_file"] else f"{row['of_file']:g}",
                "" if row["now"] is None else f"{row['now']:.4g}",
                LIMIT_WORDS.get(str(row["name"]), ""),
            )
            for row in rows
        ],
        least=("in the file",),
        texts=("means",),
    )


def _beyond(risk: "RiskView") -> str:
    historical = risk.historical_var_frac, risk.historical_shortfall_frac
    history = ", ".join(_known(value, ".2%") for value in historical)
    return f"{_known(risk.shortfall_frac, '.2%')} beyond; by history {history}"


def _known(value: float, how: str) -> str:
    """Return a figure as a format says; a dash for what is not known yet."""
    return "–" if math.isnan(value) else format(value, how)


def _connection(snapshot: "Snapshot") -> str:
    if not snapshot.connected:
        return "LOST"
    doubt = snapshot.terminal.doubt
    return f"connected, no entries: {doubt}" if doubt else "connected"


def _terminal(terminal: "TerminalView") -> str:
    return (
        f"calls {terminal.call_ms:.1f} ms, worst {terminal.call_worst_ms:.1f}; "
        f"{terminal.n_failed} failed, {terminal.n_waiting} waiting; "
        f"host restarts lately: {terminal.host_restarts}"
    )


def _control(control: "ControlView") -> str:
    counts = ", ".join(f"{n} {kind}" for kind, n in sorted(control.refused.items()))
    return f"{control.n_clients} connected; refused: {counts or 'nothing'}"


def _log(log: "LogView") -> str:
    lost = f"{log.n_dropped} line(s) lost" if log.n_dropped else ""
    trouble = f"{log.name} is not written: {log.trouble}" if log.trouble else ""
    return "; ".join(filter(None, (trouble, lost))) or "ok"


def _alerts(snapshot: "Snapshot") -> str:
    words = [f"{snapshot.n_unacked_critical} critical not acknowledged"]
    words += [f"{c.name} {c.state}, {c.n_waiting} waiting" for c in snapshot.channels]
    if snapshot.n_alerts_lost:
        words.append(f"{snapshot.n_alerts_lost} events lost")
    return "; ".join(words)


def age_of(snapshot: "Snapshot", now_ns: int) -> float:
    """Return how old a picture is, in seconds."""
    return max(0.0, (now_ns - snapshot.taken_ns) / NS_PER_S)


def _picture(word: Word, age_s: float) -> str:
    if word == "FRESH":
        return f"FRESH, {age_s:.1f} s old"
    return f"{word}: the engine has said nothing for {age_s:.0f} s; all of this is of then"


def facts(snapshot: "Snapshot", age_s: float = 0.0) -> list[tuple[str, str]]:
    """Return name and figure of every line of `pmpro status`; `age_s`: how old the picture is."""
    word = word_of(age_s, lost=False)
    was = "" if word == "FRESH" else "was "
    data_age_s = snapshot.data_age_s + (0.0 if word == "FRESH" else age_s)
    risk, currency = snapshot.risk, snapshot.currency
    limits = " / ".join(f"{limit:.0%}" for limit in risk.drawdown_limits_frac)
    states = [s.state for s in snapshot.strategies]
    return [
        ("picture", _picture(word, age_s)),
        ("state", f"{was}{snapshot.state} {snapshot.state_reason}".strip()),
        ("connection", f"{was}{_connection(snapshot)}"),
        ("terminal", _terminal(snapshot.terminal)),
        ("data age", f"{data_age_s:.1f} s"),
        ("equity", f"{risk.equity_ccy:z,.2f} {currency}"),
        ("balance", f"{risk.balance_ccy:z,.2f} {currency}"),
        ("P&L today", f"{risk.pnl_today_ccy:+z,.2f} {currency}"),
        ("drawdown", f"{risk.drawdown_frac:.2%} of {limits}, tier {risk.tier}"),
        (
            "exposure",
            f"{risk.gross_exposure_frac:.2f} of {risk.gross_exposure_max_frac:g} × equity",
        ),
        ("net exposure", f"{risk.net_exposure_frac:z.2f} × equity"),
        ("margin", f"{risk.margin_frac:.1%} of equity"),
        (
            "value at risk",
            f"{_known(risk.var_frac, '.2%')} of equity a day at 99 %, {_beyond(risk)}",
        ),
        ("diversification", f"{_known(risk.diversification_ratio, '.2f')} × one bet"),
        ("correlation", f"{_known(risk.correlation_max, 'z.2f')} at most between two held"),
        ("lost today", f"{risk.daily_loss_frac:.2%} of equity"),
        (
            "whole account",
            f"drawdown {risk.account_drawdown_frac:.2%}, others' {risk.external_ccy:+z,.2f}",
        ),
        ("strategies", f"{len(states)}, {states.count('ON')} on"),
        ("positions", str(len(snapshot.positions))),
        ("database", f"{snapshot.database}, {snapshot.journal_backlog} rows waiting"),
        ("audit head", snapshot.audit_head or "not told yet"),
        ("alerts", _alerts(snapshot)),
        ("control", _control(snapshot.control)),
        ("log", _log(snapshot.log)),
    ]
