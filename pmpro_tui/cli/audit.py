"""`pmpro audit tail|verify|explain`."""

from typing import TYPE_CHECKING, Annotated

import typer

from engine.model.errors import StoreError, UserError
from engine.model.times import from_datetime, iso_utc
from engine.runtime.settings import load_settings
from pmpro_tui.cli.app import App
from pmpro_tui.cli.database import open_database
from pmpro_tui.cli.output import Config, Json, Mode, print_json, print_line
from pmpro_tui.cli.tables import print_table

if TYPE_CHECKING:
    from engine.store.tables import AuditLog

app = App()


@app.command()
def tail(
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many entries.")] = 20,
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
        ("id", "time", "event", "actor", "status", "details"),
        [
            (e["id"], e["timestamp"], e["event_type"], e["actor"], e["status"], _short(e))
            for e in entries
        ],
        least=("id", "event"),
    )


@app.command()
def verify(config: Config = None, mode: Mode = None, json: Json = False) -> None:
    """Check that no audit entry was changed or removed; exit code 1 if one was."""
    from sqlalchemy.orm import Session

    from engine.store.audit import head, verify_chain

    with open_database(load_settings(config, mode=mode)) as engine, Session(engine) as session:
        broken = verify_chain(session)
        n_entries, last_hash = head(session)
    if json:
        print_json({"entries": n_entries, "last_hash": last_hash, "first_broken_id": broken})
        if broken is not None:
            raise typer.Exit(1)
        return
    if broken is not None:
        raise StoreError(
            f"audit entry {broken} is missing or not as it was written: keep this database as it"
            " is and compare it with a backup"
        )
    print_line(f"{n_entries} entries, unbroken; the last hash is {last_hash}")


@app.command()
def explain(
    order: Annotated[
        int, typer.Argument(metavar="ORDER", help="The terminal's order ticket, or a magic.")
    ],
    config: Config = None,
    mode: Mode = None,
    json: Json = False,
) -> None:
    """Say why an order was sent: its rules, votes and size, as for a backtest's trade."""
    from sqlalchemy.orm import Session

    from engine.store.orders import explained_order
    from pmpro_tui.cli.explain_view import show_decision, show_result

    with open_database(load_settings(config, mode=mode)) as engine, Session(engine) as session:
        found = explained_order(session, order)
    if found is None:
        raise UserError(
            f"the database has no order {order}: give the ticket that the terminal shows, or a"
            " magic; what is not moved yet is there in a moment"
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


def _entry(entry: "AuditLog") -> dict[str, object]:
    return {
        "id": entry.id,
        "timestamp": iso_utc(from_datetime(entry.timestamp)),
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
