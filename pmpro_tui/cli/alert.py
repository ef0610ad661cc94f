"""`pmpro alert list|ack`."""

from typing import TYPE_CHECKING, Annotated

import typer

from engine.model.times import iso_utc
from pmpro_tui.cli.operate import connected_engine, newest_snapshot, send
from pmpro_tui.cli.output import Config, Json, Mode, print_json, print_table

if TYPE_CHECKING:
    from engine.model.snapshot import AlertView

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_alerts(
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many alerts.")] = 20,
    config: Config = None,
    mode: Mode = None,
    json: Json = False,
) -> None:
    """Show the newest alerts, newest first."""
    with connected_engine(config, mode) as client:
        snapshot = newest_snapshot(client)
    alerts = snapshot.alerts[:limit]
    if json:
        print_json(
            {
                "alerts": alerts,
                "n_unacked_critical": snapshot.n_unacked_critical,
                "n_alerts_lost": snapshot.n_alerts_lost,
                "channels": snapshot.channels,
            }
        )
        return
    print_table(
        f"Alerts: {snapshot.n_unacked_critical} critical not acknowledged",
        ("id", "time", "level", "source", "text", "n", "delivery", "acknowledged"),
        [_row(alert) for alert in alerts],
    )
    if snapshot.channels:
        print_table(
            "Channels",
            ("channel", "state", "waiting", ""),
            [(c.name, c.state, c.n_waiting, c.detail) for c in snapshot.channels],
        )


@app.command()
def ack(
    alert: Annotated[str, typer.Argument(metavar="ID|all", help="An alert's id, or all.")],
    config: Config = None,
    mode: Mode = None,
    json: Json = False,
) -> None:
    """Acknowledge an alert: it is not sent again."""
    with connected_engine(config, mode) as client:
        send(client, "ack", alert, json=json)


def _row(alert: "AlertView") -> tuple[object, ...]:
    acked = f"{alert.acked_by} {iso_utc(alert.acked_ns)}" if alert.acked_by else ""
    time = iso_utc(alert.time_ns - alert.time_ns % 1_000_000_000)
    return (alert.id, time, alert.level, alert.source, alert.text, alert.n, alert.delivery, acked)
