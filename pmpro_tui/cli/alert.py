"""`pmpro alert list|ack|test`."""

import time
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from engine.model.errors import PmproError, UserError
from engine.model.near import meant
from engine.model.times import iso_utc
from pmpro_tui.cli.app import App
from pmpro_tui.cli.engine import connected_engine, newest_snapshot, send
from pmpro_tui.cli.output import Config, Json, Mode, print_json
from pmpro_tui.cli.tables import print_table

if TYPE_CHECKING:
    from engine.model.views.snapshot import AlertView

app = App()


@app.command("list")
def list_alerts(
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="Number of alerts.")] = 20,
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
        least=("acknowledged", "n", "delivery", "source"),
        texts=("text",),
    )
    if snapshot.channels:
        print_table(
            "Channels",
            ("channel", "state", "waiting", "reason"),
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
        newest = max((a.id for a in newest_snapshot(client).alerts), default=0)
        send(client, "ack", alert, value=newest if alert == "all" else 0, json=json)


@app.command("test")
def try_channels(
    channel: Annotated[str, typer.Argument(help="Name of a channel. Default: all channels.")] = "",
    config: Config = None,
    mode: Mode = None,
    json: Json = False,
) -> None:
    """Send a message through each channel, or one, and show the answers."""
    from engine.notify.courier import Carrier
    from engine.notify.message import Message
    from engine.runtime.alerts import alert_config, head
    from engine.settings.settings import load_settings

    settings = load_settings(config, mode=mode)
    alerts = alert_config(settings)
    names = [c.name for c in alerts.channels]
    if not names:
        raise UserError("no channel has a URL: set alerts.urls_file or PMPRO_ALERTS__URLS")
    if channel and channel not in names:
        hint = meant(channel, names) or ":"
        raise UserError(f"no channel is named {channel!r}{hint} {', '.join(names)}")
    found = []
    for one in alerts.channels:
        if channel in ("", one.name):
            message = Message(
                title=f"{head(settings)}: test",
                body=f"This is a test of channel {one.name}. Nothing is wrong.",
                level="info",
            )
            carrier = Carrier(one, deadline_s=alerts.policy.deadline_s)
            began_s = time.monotonic()
            result = carrier.send(message)
            took_s = round(time.monotonic() - began_s, 3)
            carrier.close()
            found.append({"channel": one.name, "took_s": took_s, **msgspec.structs.asdict(result)})
    if json:
        print_json({"ok": all(f["ok"] for f in found), "channels": found})
    else:
        print_table(
            "Alert test",
            ("channel", "result", "took", "said"),
            [
                (f["channel"], "SENT" if f["ok"] else "FAILED", f"{f['took_s']:.1f} s", f["detail"])
                for f in found
            ],
        )
    if n_failed := sum(not f["ok"] for f in found):
        raise PmproError(f"{n_failed} of {len(found)} channels failed")


def _row(alert: "AlertView") -> tuple[object, ...]:
    acked = f"{alert.acked_by} {iso_utc(alert.acked_ns)}" if alert.acked_by else ""
    time = iso_utc(alert.time_ns - alert.time_ns % 1_000_000_000)
    return (alert.id, time, alert.level, alert.source, alert.text, alert.n, alert.delivery, acked)
