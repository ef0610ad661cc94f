"""`pmpro audit tail|verify|explain`."""

from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import to_builtins

from engine.model.errors import StoreError, UserError
from engine.model.times import from_datetime, iso_utc
from engine.settings.settings import load_settings
from pmpro_tui.cli.app import App
from pmpro_tui.cli.database import open_database
from pmpro_tui.cli.output import Config, Json, Mode, print_json, print_line
from pmpro_tui.cli.tables import print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.store.audit import Verified
    from engine.store.tables import AuditLogTable

app = App()


@app.command()
def tail(
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="Number of entries.")] = 20,
    config: Config = None,
    mode: Mode = None,
    json: Json = False,
) -> None:
    """Show the newest audit entries, oldest first."""
    from sqlalchemy.orm import Session

    from engine.store.audit import newest

    with open_database(load_settings(config, mode=mode)) as engine, Session(engine) as session:
        entries = [_entry(entry) for entry in newest(session, limit)]
    if json:
        print_json({"entries": entries})
        return
    print_table(
        "Audit log",
        ("id", "time", "box time", "event", "actor", "status", "details"),
        [
            (
                e["id"],
                e["timestamp"],
                e["box_time"] or "",
                e["event_type"],
                e["actor"],
                e["status"],
                _short(e),
            )
            for e in entries
        ],
        least=("box time", "id", "event"),
    )


@app.command()
def verify(
    expect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID:HASH",
            help="A head that was noted elsewhere, as the log, the alerts and `pmpro status` say "
            "it; may be given several times.",
        ),
    ] = None,
    config: Config = None,
    mode: Mode = None,
    json: Json = False,
) -> None:
    """Check that no audit entry was changed or removed; exit code 1 if one was."""
    from sqlalchemy.orm import Session

    from engine.store.audit import head_of, verify

    expected = [head_of(text) for text in expect or ()]
    with open_database(load_settings(config, mode=mode)) as engine, Session(engine) as session:
        found = verify(session, expected)
    if json:
        print_json({**to_builtins(found), "ok": found.ok, "proved_id": found.proved_id})
        if not found.ok:
            raise typer.Exit(1)
        return
    if faults := list(_faults(found)):
        raise StoreError(
            f"{'; '.join(faults)}: keep this database as it is and compare it with a backup"
        )
    print_line(
        f"{found.entries} entries, unbroken; the last one is {found.entries}:{found.last_hash}"
    )
    print_line(_proved(found))


def _faults(found: "Verified") -> "Iterator[str]":
    if found.first_broken_id is not None:
        yield f"audit entry {found.first_broken_id} {found.why}"
    for noted in found.expected:
        if noted.found == "differs":
            yield f"audit entry {noted.id} is another one than was noted: the trail was rewritten"
        if noted.found == "missing":
            yield (
                f"the trail ends with entry {found.entries}, entry {noted.id} was noted: its end "
                "was cut off, or this is another database"
            )
        if noted.found == "unknown":
            yield f"entry {noted.id} that was noted comes after the break"
    if found.n_rejected:
        yield (
            f"{found.n_rejected} audit entries were refused by the database and are in no trail "
            "(table writer_rejects)"
        )


def _proved(found: "Verified") -> str:
    """Return what the check proves, and what it does not."""
    if not found.expected:
        return (
            "This proves that no entry was changed or removed alone, not that nobody who owns the "
            "database rewrote the trail or cut its end off: --expect ID:HASH compares with a head "
            "that was noted elsewhere."
        )
    proved = found.proved_id
    what = (
        f"Entries 1 to {proved} are those of when {proved} was noted"
        if proved
        else "Nothing was noted yet when 0 was"
    )
    if proved == found.entries:
        return f"{what}."
    return (
        f"{what}. The {found.entries - proved} entries after it are unbroken in themselves; who "
        "owns the database could have rewritten them or cut off more: note the last one elsewhere."
    )


@app.command()
def explain(
    order: Annotated[
        int,
        typer.Argument(metavar="ORDER", help="The terminal's order ticket, or the magic number."),
    ],
    config: Config = None,
    mode: Mode = None,
    json: Json = False,
) -> None:
    """Explain why an order was sent: its rules, votes and size, as for a backtest's trade."""
    from sqlalchemy.orm import Session

    from engine.store.orders import explained_order
    from pmpro_tui.cli.backtest.explain import show_decision, show_result

    with open_database(load_settings(config, mode=mode)) as engine, Session(engine) as session:
        found = explained_order(session, order)
    if found is None:
        raise UserError(
            f"the database has no order {order}: give the ticket that the terminal shows, or the"
            " magic number; a new order arrives in a moment"
        )
    if json:
        print_json(found)
        return
    title = f"order {found['order']}, {found['book']} {found['symbol']} at {found['time']}"
    if found["decision"] is None:
        print_line(f"{title}: {found['action']} {found['state']}; no decision is recorded for it")
        return
    show_decision(title, found["decision"])
    at = "" if found["filled_price"] is None else f" at {found['filled_price']:.10g}"
    print_line(f"{found['state']}{at} {found['detail']}".rstrip())
    if found["result"] is not None:
        show_result(found["result"])


def _entry(entry: "AuditLogTable") -> dict[str, object]:
    return {
        "id": entry.id,
        "timestamp": iso_utc(from_datetime(entry.timestamp)),
        "box_time": None if entry.box_time is None else iso_utc(from_datetime(entry.box_time)),
        "event_type": entry.event_type,
        "actor": entry.actor,
        "status": entry.status,
        "details": entry.details,
        "hash": entry.hash,
    }


def _short(entry: dict[str, object]) -> str:
    details = entry["details"]
    assert isinstance(details, dict)
    return ", ".join(f"{key}={value}" for key, value in details.items())
