"""`pmpro strategy parity`: how alike a strategy's live trades and a backtest's were, day by day."""

from typing import TYPE_CHECKING, Annotated

import typer

from engine.model.errors import StoreError
from engine.model.times import iso_utc
from engine.model.views.details import StrategyDetail, StrategyOf
from pmpro_tui.cli.engine import connected_engine
from pmpro_tui.cli.output import Config, Json, Mode, print_json, print_line
from pmpro_tui.cli.tables import print_table

if TYPE_CHECKING:
    from engine.model.parity import ParityScore

Name = Annotated[str, typer.Argument(help="A strategy's name.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("parity")(parity)


def parity(name: Name, config: Config = None, mode: Mode = None, json: Json = False) -> None:
    """Compare a strategy's live trades with a backtest of the same hours; explain each difference.

    Once per server day a backtest continues from the live state over the terminal's bars.
    """
    with connected_engine(config, mode) as client:
        told = client.ask(StrategyOf(name=name))
    assert isinstance(told, StrategyDetail)
    if told.database != "ok":
        raise StoreError(f"the database has the scores, and it is {told.database}")
    if json:
        print_json({"strategy": name, "days": [_document(day) for day in told.parity]})
        return
    if not told.parity:
        print_line(f"{name}: nothing is compared yet: that is done when a server day has ended")
        return
    print_table(
        f"{name}: live beside a backtest",
        ("from", "to", "trades", "alike", "score", "live", "backtest"),
        [
            (
                iso_utc(day.from_ns)[:16],
                iso_utc(day.to_ns)[:16],
                day.n_trades,
                day.n_alike,
                f"{day.score:.0%}" if day.n_trades else "",
                f"{day.live_ccy:+z,.2f}",
                f"{day.tested_ccy:+z,.2f}",
            )
            for day in told.parity
        ],
    )
    gaps = [gap for day in told.parity for gap in day.gaps]
    if gaps:
        print_table(
            "Not alike",
            ("time", "symbol", "what", "why"),
            [(iso_utc(gap.time_ns)[:16], gap.symbol, gap.what, gap.why) for gap in gaps],
            texts=("what", "why"),
        )


def _document(day: "ParityScore") -> dict[str, object]:
    return {
        "from": iso_utc(day.from_ns),
        "to": iso_utc(day.to_ns),
        "n_trades": day.n_trades,
        "n_alike": day.n_alike,
        "score": day.score,
        "live_ccy": day.live_ccy,
        "backtest_ccy": day.tested_ccy,
        "gaps": [
            {
                "time": iso_utc(gap.time_ns),
                "symbol": gap.symbol,
                "what": gap.what,
                "why": gap.why,
                "explained": gap.explained,
            }
            for gap in day.gaps
        ],
    }
