"""Why a backtest entered, or did not: the core run again up to that moment, and read.

The decision is read with the code that live writes it down with, so both explain alike.
"""

from typing import Any

from backtest.attribution import AMOUNTS, parts_ccy
from backtest.report import trades_table
from backtest.run import PreparedRun
from backtest.simulate import Result, decide_at
from engine.decision.state import Core
from engine.model.errors import UserError
from engine.model.near import meant
from engine.model.times import iso_utc
from engine.portfolio.explain import read_decision, was_asked


def explain_trade(prepared: PreparedRun, result: Result, number: int) -> dict[str, Any]:
    """Return what trade `number` (its row in the trades file, from 1) was decided on.

    Raises:
        UserError: there is no such trade.
    """
    if not 1 <= number <= len(result.trades):
        last = len(result.trades)
        raise UserError(f"there is no trade {number}: this backtest's are 1 to {last}")
    trade = result.trades[number - 1]
    at_ns = int(trade["entry_ns"])
    found = _decision(prepared, _core_at(prepared, at_ns), at_ns, int(trade["slot"]))
    return {"trade": number, **found, "result": _outcome(result, number - 1)}


def explain_time(prepared: PreparedRun, at_ns: int, book: str) -> list[dict[str, Any]]:
    """Return what a book's entries at a time were decided on, refused ones too.

    Raises:
        UserError: no such book, no batch at that time, or nothing was decided then.
    """
    slots = [i for i, s in enumerate(prepared.compiled.slots) if s.book.name == book]
    if not slots:
        names = dict.fromkeys(s.book.name for s in prepared.compiled.slots)
        hint = meant(book, names) or ";"
        raise UserError(f"there is no book {book!r}{hint} books: {', '.join(names)}")
    core = _core_at(prepared, at_ns)
    asked = [_decision(prepared, core, at_ns, slot) for slot in slots if was_asked(core, slot)]
    if not asked:
        raise UserError(f"{book} decided no entry at {iso_utc(at_ns)}")
    return asked


def _core_at(prepared: PreparedRun, at_ns: int) -> Core:
    core = decide_at(prepared.compiled, prepared.bars, prepared.from_ns, prepared.to_ns, at_ns)
    if core is None:
        raise UserError(f"no bar opens or closes at {iso_utc(at_ns)}: nothing is decided then")
    return core


def _decision(prepared: PreparedRun, core: Core, at_ns: int, slot: int) -> dict[str, Any]:
    which = prepared.compiled.slots[slot]
    return {
        "time": iso_utc(at_ns),
        "book": which.book.name,
        "symbol": which.symbol,
        **read_decision(prepared.compiled, core, slot).document(),
    }


def _outcome(result: Result, row: int) -> dict[str, Any]:
    """Return what became of a trade: its columns, and each member's part in cents."""
    table = {name: column[row] for name, column in trades_table(result).items()}
    slot = result.compiled.slots[result.trades["slot"][row]]
    parts = parts_ccy(result)[:, row, :]
    return {
        "exit_time": iso_utc(int(table["exit_time"])),
        "exit_price": float(table["exit_price"]),
        "exit_reason": table["exit_reason"],
        **{name: float(table[name]) for name in ("commission_ccy", "swap_ccy", "profit_ccy")},
        "parts": {
            result.compiled.strategies[m].name: dict(
                zip(AMOUNTS, parts[:, column].tolist(), strict=True)
            )
            for column, m in enumerate(slot.members)
            if result.shares[row, column] > 0.0
        },
    }
