"""`pmpro replay`: a backtest's question, answered by the whole live path."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.model.times import NS_PER_MINUTE
from pmpro_tui.cli.backtest.options import (
    DataDir,
    Equity,
    From,
    PortfolioFile,
    Source,
    To,
    Trades,
    parse_period,
)
from pmpro_tui.cli.backtest.run import write_files
from pmpro_tui.cli.output import Config, Json, Mode, print_json
from pmpro_tui.cli.own_strategies import Strategies, own_files, settings_with

if TYPE_CHECKING:
    from backtest.run import PreparedRun
    from backtest.simulate import Result
    from engine.replay.run import ReplayResult


def replay(
    portfolio: PortfolioFile,
    data: DataDir,
    from_: From,
    to: To,
    source: Source = None,
    trades: Trades = None,
    equity: Equity = None,
    json: Json = False,
    strategies: Strategies = None,
    config: Config = None,
    mode: Mode = None,
) -> None:
    """Run the bars that open in [from, to) through hosts, gateway, engine and simulated account."""
    from backtest.output import check_path
    from backtest.run import document, prepare
    from engine.replay.run import replay as play
    from pmpro_tui.cli.backtest.view import progress_bar, show

    for path in (trades, equity):
        check_path(path)
    files = own_files(settings_with(config, mode, strategies).strategies_path)
    prepared = prepare(portfolio, data, *parse_period(from_, to), source=source, files=files)
    with progress_bar("Replay", quiet=json) as advance:
        done = play(
            prepared.compiled,
            prepared.bars,
            batches_ns(prepared),
            from_ns=prepared.from_ns,
            files=[Path(name) for name in files.contents],
            progress=advance,
        )
    result = as_result(prepared, done)
    write_files(result, trades=trades, equity=equity)
    if json:
        print_json(document(prepared, result))
    else:
        show(document(prepared, result), result.equity["equity_ccy"].tolist())


def batches_ns(prepared: "PreparedRun") -> list[int]:
    """Return every minute at which a bar of the period opens or closes."""
    opens = np.concatenate(
        [bars["time_ns"][bars["time_ns"] >= prepared.from_ns] for bars in prepared.bars.values()]
    )
    times: list[int] = np.union1d(opens, opens + NS_PER_MINUTE).tolist()
    return times


def as_result(prepared: "PreparedRun", done: "ReplayResult") -> "Result":
    """Return a replay in the backtest's form, so that one report serves both."""
    from backtest.loop import EQUITY, TRADE
    from backtest.simulate import Result

    compiled = prepared.compiled
    slots = {(slot.book.name, slot.symbol): i for i, slot in enumerate(compiled.slots)}
    trades = np.zeros(len(done.trades), TRADE)
    shares = np.zeros((len(trades), max(len(slot.members) for slot in compiled.slots)))
    for row, trade in enumerate(done.trades):
        opened = trade.opened
        slot = slots[opened.book, opened.symbol]
        trades[row] = (
            slot,
            opened.direction,
            opened.lots,
            opened.entry_ns,
            opened.entry_price,
            trade.exit_ns,
            trade.exit_price,
            int(trade.reason),
            trade.commission_ccy,
            trade.swap_ccy,
            trade.gross_ccy,
        )
        for column, member in enumerate(compiled.slots[slot].members):
            shares[row, column] = opened.shares.get(compiled.strategies[member].name, 0.0)
    points = [(p.time_ns, p.balance_ccy, p.equity_ccy, p.drawdown_frac) for p in done.equity]
    return Result(
        compiled=compiled,
        from_ns=prepared.from_ns,
        to_ns=prepared.to_ns,
        trades=trades,
        shares=shares,
        equity=np.array(points, EQUITY),
        refused=np.array(done.refused, np.int64),
        core=done.core,
        n_bars=sum(int((b["time_ns"] >= prepared.from_ns).sum()) for b in prepared.bars.values()),
        changes=tuple(done.changes),
        releases=tuple(done.releases),
    )
