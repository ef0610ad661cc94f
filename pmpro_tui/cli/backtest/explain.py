"""A decision for people: the rules, the votes, the size; of a backtest's trade or a live order."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from engine.model.symbols import price_text
from engine.model.views.decisions import judged
from pmpro_tui.cli.backtest.options import parse_time
from pmpro_tui.cli.output import print_line
from pmpro_tui.cli.tables import print_table

if TYPE_CHECKING:
    from backtest.run import PreparedRun
    from backtest.simulate import Result


def explained(
    prepared: "PreparedRun", result: "Result", trade: int | None, at: str | None, book: str | None
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


def show_decision(title: str, document: Mapping[str, Any]) -> None:
    """Write a `Decision.document`."""
    print_line(title)
    print_line(_verdict(document))
    print_table(
        "",
        ("rule", "value", "limit", "headroom", "verdict"),
        [
            (r.name, number(r.value), number(r.limit), number(r.headroom), _word(r.ok))
            for r in judged(document)
        ],
        least=("headroom",),
    )
    print_table(
        "",
        ("vote", "direction", "confidence", "share", "of the entry"),
        [
            (
                vote["strategy"],
                _DIRECTIONS[vote["direction"]] if vote["votes"] else "no vote",
                f"{vote['confidence']:.3g}",
                f"{vote['share']:.4g}",
                f"{vote['entry_share'] * 100:.2f} %",
            )
            for vote in document["votes"]
        ],
    )
    print_table("", ("size", "value"), list(_size(document["sizing"])))


def show_result(result: Mapping[str, Any]) -> None:
    """Write what became of a trade, and of it each member's part."""
    print_line(
        f"closed by {result['exit_reason']} at {price_text(result['exit_price'])}, "
        f"{result['exit_time']}:"
        f" {result['profit_ccy']:+z,.2f} with commission {result['commission_ccy']:z,.2f}"
        f" and swap {result['swap_ccy']:z,.2f}"
    )
    for strategy, parts in result["parts"].items():
        print_line(f"  {strategy} {sum(parts.values()):+z,.2f}")


_DIRECTIONS = {1: "long", 0: "flat", -1: "short"}


def _verdict(document: Mapping[str, Any]) -> str:
    order = document["order"]
    levels = "".join(
        f", {name} {order[name]:.10g}" for name in ("stop", "target") if order[name] is not None
    )
    if document["refusal"] is not None:
        return f"{order['direction']} refused by {document['refusal']}, at {order['price']:.10g}"
    return f"{order['direction']} {number(order['lots'])} lots at {order['price']:.10g}{levels}"


def _size(sizing: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "method", sizing["method"]
    yield "equity", f"{sizing['equity_ccy']:z,.2f}"
    for name in ("stop_distance", "target_distance", "wanted_lots"):
        yield name.replace("_", " "), number(sizing[name])
    yield "× allocation", number(sizing["allocation"])
    yield "× drawdown tier", number(sizing["tier_factor"])
    yield f"rounded down to {sizing['step_lots']:g}", number(sizing["lots"])


def number(value: float | None) -> str:
    """Return a figure in at most seven digits; – for none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.7g}"


def _word(ok: bool) -> str:
    return "ok" if ok else "REFUSED"
