"""`pmpro status|stop|kill|…`: one question or command to the running engine."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.model.errors import ControlError, PmproError, StateError, UserError, error_of
from engine.model.views.commands import COMMANDS, CommandName
from engine.model.views.freshness import word_of
from pmpro_tui.cli.output import (
    As,
    Config,
    Json,
    Mode,
    Yes,
    print_json,
    print_line,
    print_note,
    print_warning,
)
from pmpro_tui.cli.status_view import account, age_of, check_limit, facts, show_limits
from pmpro_tui.cli.tables import print_table

if TYPE_CHECKING:
    from engine.control.client import ControlClient
    from engine.model.views.snapshot import Command, Snapshot
    from engine.settings.settings import Settings

STOP_WAIT_S = 60.0
ANSWER_WAIT_S = 6.0

Target = Annotated[str, typer.Argument(help="A strategy's or a book's name.")]
Killable = Annotated[str, typer.Argument(help="A strategy's, a book's or a symbol's name.")]
LimitName = Annotated[
    str, typer.Argument(help="A limit of [risk]. Without a name, all limits are listed.")
]
LimitValue = Annotated[float | None, typer.Argument(help="The limit's new value.")]
Rebase = Annotated[
    bool,
    typer.Option(
        "--rebase", help="Measure the drawdown from today's equity, which ends tiers 2 and 3."
    ),
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
        close,
        limit,
        adopt,
    ):
        app.command(command.__name__)(command)


def status(config: Config = None, mode: Mode = None, as_: As = None, json: Json = False) -> None:
    """Show the engine's state, money, risk and positions; exit code 1 if the engine is silent."""
    try:
        with connected_engine(config, mode, as_, lenient=True) as client:
            snapshot = newest_snapshot(client, warn=False)
    except ControlError as error:
        if json:
            print_json({"word": word_of(None, lost=True), "age_s": None, "error": str(error)})
        raise
    age_s = age_of(snapshot, time.time_ns())
    word = word_of(age_s, lost=False)
    if json:
        from msgspec.structs import asdict

        print_json({"word": word, "age_s": age_s, **asdict(snapshot)})
    else:
        _show_status(snapshot, age_s)
    if word != "FRESH":
        raise ControlError(f"the engine is {word}: it has said nothing for {age_s:.0f} s")


def _show_status(snapshot: "Snapshot", age_s: float) -> None:
    title = f"{snapshot.mode} {snapshot.account} {snapshot.server}"
    print_table(title, ("figure", "value"), facts(snapshot, age_s))
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
                    f"{p.profit_ccy:z,.2f}",
                )
                for p in snapshot.positions
            ],
            least=("price", "entry"),
        )


def kill(
    target: Killable,
    close: Annotated[
        bool,
        typer.Option(
            "--close", help="Close the book's position even if other members would keep it."
        ),
    ] = False,
    config: Config = None,
    mode: Mode = None,
    as_: As = None,
    json: Json = False,
) -> None:
    """Disable a strategy, book or symbol at once and say what happens to each position.

    A strategy that is alone in its book, a book and a symbol close what they hold. Of a book's
    member the others decide at once, without it: they keep the position or close it.
    """
    text = "close" if close else ""
    _order("kill", target, text=text, config=config, mode=mode, as_=as_, json=json)


def enable(
    target: Killable, config: Config = None, mode: Mode = None, as_: As = None, json: Json = False
) -> None:
    """Let a strategy, book or symbol trade again from its next change on."""
    _order("enable", target, config=config, mode=mode, as_=as_, json=json)


def disable(
    target: Target, config: Config = None, mode: Mode = None, as_: As = None, json: Json = False
) -> None:
    """Stop a strategy's or book's entries; a position stays until its book's exit."""
    _order("disable", target, config=config, mode=mode, as_=as_, json=json)


def halt(config: Config = None, mode: Mode = None, as_: As = None, json: Json = False) -> None:
    """Refuse all entries until `resume`; exits continue."""
    _order("halt", "", config=config, mode=mode, as_=as_, json=json)


def resume(
    config: Config = None,
    mode: Mode = None,
    as_: As = None,
    rebase: Rebase = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Allow entries again after a halt, or say what else prevents them."""
    with _commanded("resume", config, mode, as_) as client:
        snapshot = newest_snapshot(client)
        if rebase:
            risk, currency = snapshot.risk, snapshot.currency
            question = (
                f"Measure drawdown from today's equity, {risk.equity_ccy:,.2f} {currency}, no "
                f"longer from {risk.high_water_ccy:,.2f}, "
                f"and resume entries on {account(snapshot)}?"
            )
            ask(question, "rebase", yes)
        else:
            ask(f"Resume entries on {account(snapshot)}?", "resume", yes)
        target = "rebase" if rebase else ""
        send(client, "resume", target, seen_version=snapshot.version, json=json)


def flatten(
    config: Config = None, mode: Mode = None, as_: As = None, yes: Yes = False, json: Json = False
) -> None:
    """Close every position and refuse entries until `resume`."""
    with _commanded("flatten", config, mode, as_) as client:
        snapshot = newest_snapshot(client)
        ours = [p for p in snapshot.positions if p.owner != "EXTERNAL"]
        lots, n_others = sum(p.lots for p in ours), len(snapshot.positions) - len(ours)
        stay = f" {n_others} EXTERNAL stay." if n_others else ""
        ask(f"Close {len(ours)} positions, {lots:g} lots, on {account(snapshot)}?{stay}", "", yes)
        send(client, "flatten", seen_version=snapshot.version, json=json)


def close(
    tickets: Annotated[
        list[str], typer.Argument(metavar="TICKET", help="Tickets of the books' positions.")
    ],
    config: Config = None,
    mode: Mode = None,
    as_: As = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Close some positions; their books enter again when their signals re-arm."""
    with _commanded("close", config, mode, as_) as client:
        snapshot = newest_snapshot(client)
        held = {str(p.ticket): p for p in snapshot.positions}
        if missing := [ticket for ticket in tickets if ticket not in held]:
            raise UserError(f"no open position has ticket {', '.join(missing)}")
        lots = sum(held[ticket].lots for ticket in tickets)
        ask(f"Close {len(tickets)} position(s), {lots:g} lots, on {account(snapshot)}?", "", yes)
        send(client, "close", " ".join(tickets), seen_version=snapshot.version, json=json)


def limit(
    name: LimitName = "",
    value: LimitValue = None,
    config: Config = None,
    mode: Mode = None,
    as_: As = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Show the risk limits, or set one from the next decision on."""
    with _commanded("limit", config, mode, as_) as client:
        snapshot = newest_snapshot(client)
        if not name or value is None:
            show_limits(snapshot, name, json=json)
            return
        if snapshot.risk.limits:  # nothing is asked about what cannot be
            check_limit(snapshot.risk, name)
        before = snapshot.risk.limits.get(name)
        now = "" if before is None else f" It is {before:g}."
        ask(f"Set {name} to {value:g} on {account(snapshot)}?{now}", "limit", yes)
        send(client, "limit", name, value=value, seen_version=snapshot.version, json=json)


def adopt(
    ticket: Annotated[str, typer.Argument(help="An EXTERNAL position's ticket.")],
    book: Annotated[
        str,
        typer.Argument(help="A book that trades the position's symbol and has no position in it."),
    ],
    config: Config = None,
    mode: Mode = None,
    as_: As = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Give a position that somebody else opened to a book, which may close it."""
    with _commanded("adopt", config, mode, as_) as client:
        snapshot = newest_snapshot(client)
        ask(f"Let {book} have position {ticket} on {account(snapshot)}?", "adopt", yes)
        send(client, "adopt", ticket, text=book, seen_version=snapshot.version, json=json)


def stop(
    config: Config = None, mode: Mode = None, as_: As = None, yes: Yes = False, json: Json = False
) -> None:
    """Stop the engine and wait until it has ended; positions stay open.

    The PostgreSQL that a killed engine has left running is stopped too.
    """
    settings = _settings(config, mode)
    with _connected(settings, as_) as client:
        try:
            snapshot = newest_snapshot(client)
        except ControlError as error:
            if not _end_left_database(settings):
                raise
            text = f"{error}; the PostgreSQL that an engine had left running is stopped"
            print_json({"ok": True, "text": text}) if json else print_line(text)
            return
        if snapshot.positions:
            ask(
                f"{len(snapshot.positions)} positions on {account(snapshot)} stay open, "
                "guarded by their stops at the broker alone.",
                "stop",
                yes,
            )
        send(client, "stop", seen_version=snapshot.version, json=json)
    _await_end(settings)


def _order(
    name: CommandName,
    target: str,
    *,
    text: str = "",
    config: Path | None,
    mode: str | None,
    as_: str | None,
    json: bool,
) -> None:
    with _commanded(name, config, mode, as_) as client:
        send(client, name, target, text=text, json=json)


def _commanded(
    name: CommandName, config: Path | None, mode: str | None, as_: str | None
) -> AbstractContextManager["ControlClient"]:
    """Connect to give a command: one that only reduces risk must not fail for a file's mode."""
    return connected_engine(config, mode, as_, lenient=COMMANDS[name].reduces_risk)


def send(
    client: "ControlClient",
    name: CommandName,
    target: str = "",
    *,
    text: str = "",
    value: float = 0.0,
    seen_version: int = 0,
    json: bool = False,
) -> None:
    """Have the engine run a command and show its answer.

    Raises:
        PmproError: the engine said why not: `Reply.failure` says which.
    """
    from engine.control.client import new_command
    from engine.control.messages import ASKS_WHO

    def command() -> "Command":
        return new_command(
            name,
            target,
            text=text,
            value=value,
            seen_version=seen_version,
            now_ns=time.time_ns,
        )

    token = personal_token(client, name)
    reply = client.send(command(), token=token)
    if not reply.ok and not token and ASKS_WHO in reply.text and (token := typed_token()):
        reply = client.send(command(), token=token)
    if not reply.ok:
        raise error_of(reply.failure, reply.text, ControlError)
    if json:
        print_json(reply)
    else:
        print_line(reply.text)


def ask(question: str, word: str, yes: bool) -> None:
    """Ask on the terminal: for `word` where one is given, else for yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError(f"{question} Confirm with --yes: there is no terminal to ask on")
    try:
        typed = input(f"{question} Type {word or 'yes'} to go on: ")
    except EOFError:
        typed = ""
        print_line("")
    if typed.strip() != (word or "yes"):
        raise UserError("not confirmed: nothing was done")


def _settings(config: Path | None, mode: str | None, *, lenient: bool = False) -> "Settings":
    from engine.settings.settings import load_settings

    settings = load_settings(config, mode=mode, lenient=lenient)
    if settings.fault:
        print_warning(f"configuration {settings.fault}")
    return settings


@contextmanager
def connected_engine(
    config: Path | None,
    mode: str | None,
    role: str | None = None,
    *,
    timeout_s: float = ANSWER_WAIT_S,
    lenient: bool = False,
) -> Iterator["ControlClient"]:
    """Connect to the engine that the configuration means, for as long as the block runs.

    `lenient`: a configuration that others could change is a warning; it cannot lead further than
    to an engine of this user's or root's.
    """
    with _connected(_settings(config, mode, lenient=lenient), role, timeout_s) as client:
        yield client


@contextmanager
def _connected(
    settings: "Settings", role: str | None = None, timeout_s: float = ANSWER_WAIT_S
) -> Iterator["ControlClient"]:
    from engine.control.client import ControlClient
    from engine.control.messages import role_of

    client = ControlClient(
        settings.socket_path,
        role=None if role is None else role_of(role),
        mode=settings.mode,
        account=settings.terminal.login,
        timeout_s=timeout_s,
        owners=settings.owners,
    )
    try:
        yield client
    finally:
        client.close()


def personal_token(client: "ControlClient", name: CommandName) -> str:
    """Return the operator's token where the engine is known to ask for one."""
    if not client.connect().wants_token or COMMANDS[name].role != "admin":
        return ""
    return typed_token()


def typed_token() -> str:
    """Return the operator's token from PMPRO_TOKEN, else typed unseen, "" without a terminal."""
    token = os.environ.get("PMPRO_TOKEN", "")
    if not token and sys.stdin.isatty():
        token = getpass("Your personal token: ")
    return token.strip()


def newest_snapshot(client: "ControlClient", *, warn: bool = True) -> "Snapshot":
    """Return the engine's newest snapshot; `warn`: say on stderr where it is an old one."""
    snapshot = client.snapshot()
    if snapshot is None:
        raise ControlError("the engine has no snapshot yet: try again in a moment")
    age_s = age_of(snapshot, time.time_ns())
    if warn and (word := word_of(age_s, lost=False)) != "FRESH":
        text = f"the engine is {word}: it has said nothing for {age_s:.0f} s; this is of then"
        print_note(text)
    return snapshot


def _end_left_database(settings: "Settings") -> bool:
    """Stop the server of an engine that is dead; False where there is none."""
    from engine.store.embedded import EmbeddedServer

    if settings.database_url() is not None:
        return False
    try:
        return EmbeddedServer(settings.state_path / "postgresql", settings.run_path).end_left()
    except (PmproError, OSError):  # a living engine's, or another user's
        return False


def _await_end(settings: "Settings") -> None:
    """Return when the engine no longer answers and has let go of its state directory."""
    from engine.control.client import ControlClient
    from engine.files.lock_file import hold_lock

    deadline_s = time.monotonic() + STOP_WAIT_S
    while time.monotonic() < deadline_s:
        client = ControlClient(settings.socket_path, timeout_s=1.0, owners=settings.owners)
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
