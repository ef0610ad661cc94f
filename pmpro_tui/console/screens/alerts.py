"""The screen of alerts: what wants somebody's eyes, who has seen it, and who was told."""

from typing import ClassVar

from textual.app import ComposeResult

from engine.model.snapshot import AlertView, Snapshot
from pmpro_tui.console import alert_table
from pmpro_tui.console.hub import Notice
from pmpro_tui.console.lines import Painted
from pmpro_tui.console.screens.page import Page
from pmpro_tui.console.table import Table, title_line
from pmpro_tui.console.text import Line, Span, fit, line


class Alerts(Page):
    """The alerts, newest first, and the channels they go out by."""

    PANELS: ClassVar[dict[str, str]] = {"alerts": "Alerts", "channels": "Channels"}
    FILTER: ClassVar[str] = "level, source, text, delivery, who"
    DEFAULT_CSS = "Alerts #channels { height: 6; }"

    def compose(self) -> ComposeResult:
        """Lay out the panels."""
        columns = alert_table.columns(self.hub.zone)
        yield Table[AlertView]("Alerts", columns, key=lambda a: a.id, id="alerts")
        yield Painted(self._paint_channels, id="channels", classes="panel")

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
        self.fill(table, alert_table.matching(now.alerts, self.words))
        self.paint()

    def why_not(self, name: str) -> str | None:
        """See Page."""
        if name == "ack":
            chosen = self._chosen()
            if chosen is None:
                return "no alert is selected"
            return f"{chosen.acked_by} has seen it" if chosen.acked_ns else None
        if name == "ack_all" and not (self.hub.shown and self.hub.shown.alerts):
            return "no alerts"
        return super().why_not(name)

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

    def _paint_channels(self, width: int, _: int) -> list[Line]:
        now = self.hub.shown
        lines = [] if self.narrow else [title_line("Channels", "", width, active=False)]
        if now is None or not now.channels:
            return [*lines, line(Span("  none: alerts are shown here only", "muted"))]
        for channel in now.channels:
            tone = {"OK": "good", "QUIET": "muted"}.get(channel.state, "bad")
            text = f"{channel.n_waiting} waiting" if channel.n_waiting else ""
            rest = "  ".join(part for part in (text, channel.detail) if part)
            lines.append(
                line(f"  {fit(channel.name, 16)} ", Span(f"{channel.state:8}", tone), f" {rest}")
            )
        return lines
