"""`pmpro status|stop|kill|…`: one question or command to the running engine."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.model.errors import ControlError, PmproError, Refused, StateError, UserError
from pmpro_tui.cli.output import Config, Json, Mode, Yes, print_json, print_line, print_table

if TYPE_CHECKING:
    from engine.control.client import ControlClient
    from engine.model.snapshot import RiskView, Snapshot, TerminalView
    from engine.runtime.settings import Settings

STOP_WAIT_S = 60.0
ANSWER_WAIT_S = 6.0

Target = Annotated[str, typer.Argument(help="A strategy's or a book's name.")]
Killable = Annotated[str, typer.Argument(help="A strategy's, a book's or a symbol's name.")]
LimitName = Annotated[str, typer.Argument(help="A limit of [risk]; none lists them all.")]
LimitValue = Annotated[float | None, typer.Argument(help="Its new value.")]
Rebase = Annotated[
    bool, typer.Option("--rebase", help="Measure drawdown from today's equity: after tier 3.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (
        status,
        stop,
        kill,
        enable,
        disable,
        halt,
        resume,
        flatten,
        limit,
        adopt,
    ):
        app.command(command.__name__)(command)


def status(config: Config = None, mode: Mode = None, json: Json = False) -> None:
    """Show the engine's state, money, risk and positions."""
    with connected_engine(config, mode) as client:
        snapshot = newest_snapshot(client)
    if json:
        print_json(snapshot)
        return
    print_table(f"{snapshot.mode} {snapshot.account} {snapshot.server}", ("", ""), _facts(snapshot))
    if snapshot.positions:
        print_table(
            "Positions",
            ("ticket", "owner", "symbol", "side", "lots", "entry", "price", "profit"),
            [
                (
                    p.ticket,
                    p.owner,
                    p.symbol,
                    p.direction,
                    f"{p.lots:g}",
                    f"{p.entry_price:.{p.digits}f}",
                    f"{p.price:.{p.digits}f}",
                    f"{p.profit_ccy:,.2f}",
                )
                for p in snapshot.positions
            ],
        )


def kill(target: Killable, config: Config = None, mode: Mode = None, json: Json = False) -> None:
    """Stop a strategy's, book's or symbol's entries and close what it holds."""
    _order("kill", target, config=config, mode=mode, json=json)


def enable(target: Killable, config: Config = None, mode: Mode = None, json: Json = False) -> None:
    """Let a strategy, book or symbol trade again: from its next change."""
    _order("enable", target, config=config, mode=mode, json=json)


def disable(target: Target, config: Config = None, mode: Mode = None, json: Json = False) -> None:
    """Stop a strategy's or book's entries; what is held stays, protected."""
    _order("disable", target, config=config, mode=mode, json=json)


def halt(config: Config = None, mode: Mode = None, json: Json = False) -> None:
    """Refuse all entries until `resume`; exits go on."""
    _order("halt", "", config=config, mode=mode, json=json)


def resume(
    config: Config = None,
    mode: Mode = None,
    rebase: Rebase = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Allow entries again after a halt."""
    with connected_engine(config, mode) as client:
        snapshot = newest_snapshot(client)
        ask(f"Resume entries on {_account(snapshot)}?", "resume", yes)
        target = "rebase" if rebase else ""
        send(client, "resume", target, seen_version=snapshot.version, json=json)


def flatten(config: Config = None, mode: Mode = None, yes: Yes = False, json: Json = False) -> None:
    """Close every position and refuse entries until `resume`."""
    with connected_engine(config, mode) as client:
        snapshot = newest_snapshot(client)
        lots = sum(p.lots for p in snapshot.positions)
        ask(
            f"Close {len(snapshot.positions)} positions, {lots:g} lots, on {_account(snapshot)}?",
            "",
            yes,
        )
        send(client, "flatten", seen_version=snapshot.version, json=json)


def limit(
    name: LimitName = "",
    value: LimitValue = None,
    config: Config = None,
    mode: Mode = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Show the risk limits, or set one from the next decision on."""
    with connected_engine(config, mode) as client:
        snapshot = newest_snapshot(client)
        if not name or value is None:
            _show_limits(snapshot, name, json=json)
            return
        before = snapshot.risk.limits.get(name)
        now = "" if before is None else f" It is {before:g}."
        ask(f"Set {name} to {value:g} on {_account(snapshot)}?{now}", "limit", yes)
        send(client, "limit", name, value=value, seen_version=snapshot.version, json=json)


def adopt(
    ticket: Annotated[str, typer.Argument(help="An EXTERNAL position's ticket.")],
    book: Annotated[str, typer.Argument(help="A book that trades its symbol and holds nothing.")],
    config: Config = None,
    mode: Mode = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Give a position that somebody else opened to a book, which may close it."""
    with connected_engine(config, mode) as client:
        snapshot = newest_snapshot(client)
        ask(f"Let {book} have position {ticket} on {_account(snapshot)}?", "adopt", yes)
        send(client, "adopt", ticket, text=book, seen_version=snapshot.version, json=json)


def _show_limits(snapshot: "Snapshot", name: str, *, json: bool) -> None:
    risk = snapshot.risk
    if name and name not in risk.limits:
        raise UserError(f"no limit is named {name!r}; `pmpro limit` lists them")
    names = [name] if name else list(risk.limits)
    measured = _measured(snapshot)
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
        f"Limits of {_account(snapshot)}",
        ("limit", "value", "in the file", "now"),
        [
            (
                row["name"],
                f"{row['limit']:g}",
                "" if row["limit"] == row["of_file"] else f"{row['of_file']:g}",
                "" if row["now"] is None else f"{row['now']:.4g}",
            )
            for row in rows
        ],
    )


def _measured(snapshot: "Snapshot") -> dict[str, float]:
    """Return what the account-wide limits are compared with, by the limit's name."""
    risk = snapshot.risk
    return {
        "drawdown_reduce_frac": risk.drawdown_frac,
        "drawdown_stop_entries_frac": risk.drawdown_frac,
        "drawdown_flatten_frac": risk.drawdown_frac,
        "account_drawdown_max_frac": risk.account_drawdown_frac,
        "daily_loss_max_frac": risk.daily_loss_frac,
        "gross_exposure_max_frac": risk.gross_exposure_frac,
        "net_exposure_max_frac": risk.net_exposure_frac,
        "margin_max_frac": risk.margin_frac,
        "var_max_frac": risk.var_frac,
    }


def stop(config: Config = None, mode: Mode = None, yes: Yes = False, json: Json = False) -> None:
    """Stop the engine and wait until it has ended; positions stay as they are."""
    settings = _settings(config, mode)
    with _connected(settings) as client:
        snapshot = newest_snapshot(client)
        if snapshot.positions:
            ask(
                f"{len(snapshot.positions)} positions on {_account(snapshot)} stay open, "
                "guarded by their stops at the broker alone.",
                "stop",
                yes,
            )
        send(client, "stop", seen_version=snapshot.version, json=json)
    _await_end(settings)


def _order(name: str, target: str, *, config: Path | None, mode: str | None, json: bool) -> None:
    with connected_engine(config, mode) as client:
        send(client, name, target, json=json)


def send(
    client: "ControlClient",
    name: str,
    target: str = "",
    *,
    text: str = "",
    value: float = 0.0,
    seen_version: int = 0,
    json: bool = False,
) -> None:
    """Have the engine run a command and show its answer.

    Raises:
        Refused: the engine said no, and why.
    """
    from engine.control.client import new_command

    command = new_command(
        name,  # type: ignore[arg-type]  # the engine refuses other names
        target,
        text=text,
        value=value,
        seen_version=seen_version,
        now_ns=time.time_ns,
    )
    reply = client.send(command)
    if not reply.ok:
        raise Refused(reply.text)
    if json:
        print_json(reply)
    else:
        print_line(reply.text)


def ask(question: str, word: str, yes: bool) -> None:
    """Ask on the terminal: for `word` where one is given, else for yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError(f"{question} Say so with --yes: there is no terminal to ask on")
    typed = input(f"{question} Type {word or 'yes'} to go on: ")
    if typed.strip() != (word or "yes"):
        raise UserError("not confirmed: nothing was done")


def _settings(config: Path | None, mode: str | None) -> "Settings":
    from engine.runtime.settings import load_settings

    return load_settings(config, mode=mode)


@contextmanager
def connected_engine(
    config: Path | None, mode: str | None, *, timeout_s: float = ANSWER_WAIT_S
) -> Iterator["ControlClient"]:
    """Connect to the engine that the configuration means, for as long as the block runs."""
    with _connected(_settings(config, mode), timeout_s) as client:
        yield client


@contextmanager
def _connected(settings: "Settings", timeout_s: float = ANSWER_WAIT_S) -> Iterator["ControlClient"]:
    from engine.control.client import ControlClient

    client = ControlClient(
        settings.socket_path,
        mode=settings.mode,
        account=settings.terminal.login,
        timeout_s=timeout_s,
    )
    try:
        yield client
    finally:
        client.close()


def newest_snapshot(client: "ControlClient") -> "Snapshot":
    """Return the engine's newest snapshot."""
    snapshot = client.snapshot()
    if snapshot is None:
        raise ControlError("the engine has no snapshot yet: try again in a moment")
    return snapshot


def _await_end(settings: "Settings") -> None:
    """Return when the engine no longer answers and has let go of its state directory."""
    from engine.control.client import ControlClient
    from engine.terminal.lock_file import hold_lock

    deadline_s = time.monotonic() + STOP_WAIT_S
    while time.monotonic() < deadline_s:
        client = ControlClient(settings.socket_path, timeout_s=1.0)
        try:
            client.connect()
        except PmproError:
            break
        finally:
            client.close()
        time.sleep(0.1)
    lock = settings.state_path / "engine.lock"
    if not os.access(lock, os.W_OK):
        return
    try:
        os.close(hold_lock(lock, wait_s=max(0.0, deadline_s - time.monotonic())))
    except StateError:
        raise ControlError(
            f"the engine is still ending {STOP_WAIT_S:.0f} s after it was told to stop"
        ) from None


def _account(snapshot: "Snapshot") -> str:
    return f"{snapshot.mode} account {snapshot.account} at {snapshot.server}"


def _beyond(risk: "RiskView") -> str:
    history = f"{risk.historical_var_frac:.2%}, {risk.historical_shortfall_frac:.2%}"
    return f"{risk.shortfall_frac:.2%} beyond; by history {history}"


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


def _facts(snapshot: "Snapshot") -> list[tuple[str, str]]:
    risk, currency = snapshot.risk, snapshot.currency
    limits = " / ".join(f"{limit:.0%}" for limit in risk.drawdown_limits_frac)
    states = [s.state for s in snapshot.strategies]
    return [
        ("state", f"{snapshot.state} {snapshot.state_reason}".strip()),
        ("connection", _connection(snapshot)),
        ("terminal", _terminal(snapshot.terminal)),
        ("data age", f"{snapshot.data_age_s:.1f} s"),
        ("equity", f"{risk.equity_ccy:,.2f} {currency}"),
        ("balance", f"{risk.balance_ccy:,.2f} {currency}"),
        ("P&L today", f"{risk.pnl_today_ccy:+,.2f} {currency}"),
        ("drawdown", f"{risk.drawdown_frac:.2%} of {limits}, tier {risk.tier}"),
        (
            "exposure",
            f"{risk.gross_exposure_frac:.2f} of {risk.gross_exposure_max_frac:g} × equity",
        ),
        ("net exposure", f"{risk.net_exposure_frac:.2f} × equity"),
        ("margin", f"{risk.margin_frac:.1%} of equity"),
        ("value at risk", f"{risk.var_frac:.2%} of equity a day at 99 %, {_beyond(risk)}"),
        ("diversification", f"{risk.diversification_ratio:.2f} × one bet"),
        ("correlation", f"{risk.correlation_max:.2f} at most between two held"),
        ("lost today", f"{risk.daily_loss_frac:.2%} of equity"),
        (
            "whole account",
            f"drawdown {risk.account_drawdown_frac:.2%}, others' {risk.external_ccy:+,.2f}",
        ),
        ("strategies", f"{len(states)}, {states.count('ON')} on"),
        ("positions", str(len(snapshot.positions))),
        ("database", f"{snapshot.database}, {snapshot.journal_backlog} rows waiting"),
    ]
