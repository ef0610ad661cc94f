"""One row told whole: every fact of a position, trade, alert, limit or strategy, never cut. Pure.

Texts wrap under their values; times carry their date, and the clock they are of where it is not
the market's.
"""

import textwrap
from collections.abc import Sequence
from typing import Final

from engine.model.parity import Gap
from engine.model.times import NS_PER_S
from engine.model.views.details import SignalView, TradeView
from engine.model.views.snapshot import AlertView, ChannelView, PositionView, Snapshot, StrategyView
from pmpro_tui.console.draw.text import NONE, age, figure, full_price, gain, percent, price
from pmpro_tui.console.draw.zone import Zone
from pmpro_tui.console.limit_words import LIMIT_WORDS
from pmpro_tui.console.screens.log_rows import RecordLine
from pmpro_tui.console.screens.risk_rows import LimitRow, limit_text

_NAME_WIDTH: Final = 16
_LEAST_WIDTH: Final = 20

Fact = tuple[str, str] | tuple[str, str, str]
"""A name, its value in words, and the value's tone."""


def told_facts(title: str, facts: Sequence[Fact], width: int) -> list[RecordLine]:
    """Return a title above names and values; a value that is long goes on below itself."""
    lines = [
        RecordLine(0, part, "title") for part in textwrap.wrap(title, max(_LEAST_WIDTH, width - 4))
    ]
    room = max(_LEAST_WIDTH, width - _NAME_WIDTH - 8)
    for name, value, *tone in facts:
        first, *rest = textwrap.wrap(value, room) or [NONE]
        lines.append(RecordLine(0, f"  {name:<{_NAME_WIDTH}}  {first}", *tone))
        lines += [RecordLine(0, f"  {'':<{_NAME_WIDTH}}  {part}", *tone) for part in rest]
    return lines


def position_facts(p: PositionView, now: Snapshot, zone: Zone, width: int) -> list[RecordLine]:
    """Return a position as it is, or as it was last seen where it is gone."""
    gone = all((q.ticket, q.owner) != (p.ticket, p.owner) for q in now.positions)
    held = age((now.market_ns - p.opened_ns) / NS_PER_S)
    profit = gain(p.profit_ccy)
    facts: list[Fact] = [
        ("owner", p.owner),
        ("lots", f"{p.lots:.2f}"),
        ("entry", price(p.entry_price, p.digits).strip()),
        ("price", price(p.price, p.digits).strip()),
        ("stop", price(p.stop, p.digits).strip()),
        ("target", price(p.target, p.digits).strip()),
        ("result", f"{profit.text} {now.currency}, swap included", profit.tone),
        ("opened", f"{zone.stamp(p.opened_ns)}, held {held}"),
    ]
    if p.goal:
        facts.append(("what comes", p.goal, "warn"))
    if gone:
        facts.append(("now", "no longer open: these are the last figures of it", "warn"))
    return told_facts(f"Position {p.ticket}: {p.direction} {p.symbol}", facts, width)


def trade_facts(t: TradeView, zone: Zone, width: int) -> list[RecordLine]:
    """Return a strategy's part of a trade."""
    profit = gain(t.profit_ccy)
    facts: list[Fact] = [
        ("lots", f"{t.lots:.2f}"),
        ("in", f"{zone.stamp(t.entry_ns)} at {full_price(t.entry_price).strip()}"),
    ]
    if t.exit_ns:
        facts += [
            ("out", f"{zone.stamp(t.exit_ns)} at {full_price(t.exit_price).strip()}"),
            ("why", t.reason),
            ("its part", f"{percent(t.share_frac)}: {profit.text}, net of costs", profit.tone),
        ]
    else:
        facts += [("out", "still open"), ("its part", percent(t.share_frac))]
    return told_facts(f"Trade of order {t.order}: {t.direction} {t.symbol}", facts, width)


def signal_facts(s: SignalView, zone: Zone, width: int) -> list[RecordLine]:
    """Return a change of a strategy's output."""
    facts = (
        ("strategy", s.strategy),
        ("symbol", s.symbol),
        ("signal", {"BUY": "LONG", "SELL": "SHORT", "HOLD": "FLAT"}.get(s.signal, s.signal)),
        ("confidence", percent(s.confidence, 0)),
    )
    return told_facts(f"Signal of {zone.stamp(s.time_ns)}", facts, width)


def gap_facts(g: Gap, zone: Zone, width: int) -> list[RecordLine]:
    """Return where live and its backtest were not alike, and why."""
    facts = (
        ("symbol", g.symbol),
        ("what", g.what),
        ("why", g.why, "" if g.explained else "warn"),
    )
    return told_facts(f"Gap to the backtest, {zone.stamp(g.time_ns)}", facts, width)


def strategy_facts(s: StrategyView, currency: str, width: int) -> list[RecordLine]:
    """Return everything that the picture has of a strategy."""
    mean = gain(s.shadow_mean_r)
    facts: list[Fact] = [
        ("state", s.state),
        ("why", s.detail or NONE, "warn" if s.detail else ""),
        ("on kill", s.on_kill or "nothing is held for it"),
        ("kind", s.kind),
        ("symbol", f"{s.symbol} {s.timeframe}"),
        ("book", s.book),
        ("signal", f"{s.signal}, confidence {percent(s.confidence, 0)}"),
        ("weight", f"{percent(s.weight_frac)} of the account"),
        ("today", f"{gain(s.pnl_today_ccy).text} {currency}, {s.trades_today:,} trades"),
        ("made", f"{gain(s.realised_ccy).text} closed, {gain(s.open_ccy).text} open"),
        ("score", figure(s.score).strip()),
        (
            "shadow",
            f"{s.shadow_trades:,} trades, {gain(s.shadow_r).text} R, mean {mean.text} R",
        ),
    ]
    return told_facts(s.name, facts, width)


def alert_facts(a: AlertView, zone: Zone, width: int) -> list[RecordLine]:
    """Return an alert with what became of it; the box's clock is named where it is meant."""
    seen = f"{a.acked_by}, {zone.stamp(a.acked_ns)} on the box's clock" if a.acked_ns else "nobody"
    times = "once" if a.n == 1 else f"{a.n:,} times, the newest at this time"
    facts = (
        ("alert", a.text),
        ("level", a.level),
        ("source", a.source),
        ("happened", times),
        ("delivery", a.delivery or "not yet"),
        ("seen by", seen, "" if a.acked_ns or a.level != "critical" else "bad"),
    )
    return told_facts(f"Alert {a.id}, {zone.stamp(a.time_ns)}", facts, width)


def channel_facts(c: ChannelView, width: int) -> list[RecordLine]:
    """Return how a channel of alerts does."""
    facts = (
        ("state", c.state),
        ("waiting", f"{c.n_waiting:,}"),
        ("why", c.detail, "" if c.state == "OK" else "warn"),
    )
    return told_facts(f"Channel {c.name}", facts, width)


def limit_facts(row: LimitRow, width: int) -> list[RecordLine]:
    """Return a limit: its words, its option's name, its value and what that is compared with."""
    values = (("now", row.now), ("limit", row.limit), ("room", row.limit - row.now))
    facts: list[Fact] = [
        ("option", f"{row.name} in [risk]"),
        *((name, limit_text(row.name, value)) for name, value in values),
        ("in the file", limit_text(row.name, row.of_file)),
    ]
    if row.limit != row.of_file:
        facts.append(("set", "by an operator, over the file's value", "accent"))
    return told_facts(LIMIT_WORDS.get(row.name, row.name), facts, width)
