"""The screen of alerts: what wants somebody's eyes, who has seen it, and who was told."""

from typing import ClassVar

from textual.app import ComposeResult

from engine.model.views.snapshot import AlertView, ChannelView, Snapshot
from pmpro_tui.console.context import Runs
from pmpro_tui.console.draw.table import Table
from pmpro_tui.console.facts import alert_facts, channel_facts
from pmpro_tui.console.hub import Notice
from pmpro_tui.console.screens import alert_rows
from pmpro_tui.console.screens.log_rows import RecordLine
from pmpro_tui.console.screens.page import Readable


class AlertsPage(Readable):
    """The alerts, newest first, and the channels they go out by; enter shows one whole."""

    PANELS: ClassVar[dict[str, str]] = {"alerts": "Alerts", "channels": "Channels"}
    FILTER: ClassVar[str] = "level, source, text, delivery, who"
    DEFAULT_CSS = "AlertsPage #channels { height: 6; }"

    def compose(self) -> ComposeResult:
        """Lay out the panels."""
        columns = alert_rows.columns(self.hub.zone)
        yield Table[AlertView]("Alerts", columns, key=lambda a: a.id, id="alerts")
        yield Table[ChannelView](
            "Channels", alert_rows.CHANNELS, key=lambda c: c.name, id="channels"
        )
        yield self.record()

    def draw(self, now: Snapshot | None) -> None:
        """Draw the alerts that match."""
        if now is None:
            return
        table = self.query_one("#alerts", Table)
        table.say("no alerts" if not self.words.strip() else "nothing matches: esc shows all")
        waiting = f"{now.n_unacked_critical} critical not seen" if now.n_unacked_critical else ""
        lost = f"{now.n_alerts_lost:,} lost" if now.n_alerts_lost else ""
        table.title = " · ".join(
            part for part in (f"Alerts {len(now.alerts)}", waiting, lost) if part
        )
        self.fill(table, alert_rows.matching(now.alerts, self.words))
        channels = self.query_one("#channels", Table)
        channels.say("none: alerts are shown here only")
        self.fill(channels, now.channels)
        if self.opened:
            self.draw_record()

    def runs(self) -> Runs:
        """Return the actions that this screen runs itself."""
        return super().runs() | {
            "open": self.do_open,
            "ack": self.do_ack,
            "ack_all": self.do_ack_all,
        }

    def why_not(self, name: str) -> str | None:
        """See Page."""
        if name == "open":
            if self.opened:
                return "esc leaves the record first"
            if self.table is None or self.table.selected is None:
                return "nothing is selected"
        if name == "ack":
            chosen = self._chosen()
            if chosen is None:
                return "no alert is selected"
            return f"{chosen.acked_by} has seen it" if chosen.acked_ns else None
        if name == "ack_all" and not (self.hub.shown and self.hub.shown.alerts):
            return "no alerts"
        return super().why_not(name)

    def do_open(self) -> None:
        """Show the marked alert or channel whole, as it is then."""
        table = self.table
        marked: AlertView | ChannelView | None = table.selected if table is not None else None
        if marked is None:
            return

        def facts(width: int) -> list[RecordLine]:
            now = self.hub.shown
            if isinstance(marked, ChannelView):
                channels = now.channels if now is not None else ()
                channel = next((c for c in channels if c.name == marked.name), marked)
                return channel_facts(channel, width)
            alerts = now.alerts if now is not None else ()
            alert = next((a for a in alerts if a.id == marked.id), marked)
            return alert_facts(alert, self.hub.zone, width)

        self.read(facts)

    def do_ack(self) -> Notice | None:
        """Acknowledge the marked alert."""
        chosen = self._chosen()
        return None if chosen is None else self.hub.send("ack", str(chosen.id))

    def do_ack_all(self) -> Notice | None:
        """Acknowledge what is on the screen, and nothing that came since."""
        now = self.hub.shown
        newest = max((a.id for a in now.alerts), default=0) if now is not None else 0
        return self.hub.send("ack", "all", value=float(newest))

    def _chosen(self) -> AlertView | None:
        return self.query_one("#alerts", Table).selected
