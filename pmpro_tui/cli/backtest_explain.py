"""Decisions of a backtest on request: `--explain TRADE`, or `--at TIME --book BOOK`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pmpro_tui.cli.backtest_options import parse_time
from pmpro_tui.cli.explain_view import show_decision, show_result

if TYPE_CHECKING:
    from backtest.run import Prepared
    from backtest.simulate import Result


def explained(
    prepared: "Prepared", result: "Result", trade: int | None, at: str | None, book: str | None
) -> dict[str, Any]:
    """Return what was asked for: `explained` is a list of decisions."""
    from backtest.explain import explain_time, explain_trade

    if trade is not None:
        return {"explained": [explain_trade(prepared, result, trade)]}
    if at is not None and book is not None:
        return {"explained": explain_time(prepared, parse_time("--at", at), book)}
    return {}


def show_explained(asked: Mapping[str, Any]) -> None:
    """Write the decisions for people."""
    for document in asked.get("explained", ()):
        number = f"trade {document['trade']}, " if "trade" in document else ""
        title = f"{number}{document['book']} {document['symbol']} at {document['time']}"
        show_decision(title, document)
        if "result" in document:
            show_result(document["result"])
