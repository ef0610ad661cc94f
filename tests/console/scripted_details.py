"""What the scripted engine tells when it is asked for details."""

import json
import math
from collections.abc import Callable
from typing import Any

from engine.model.jobs import JobView
from engine.model.parity import Gap, ParityScore
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, NS_PER_S
from engine.model.views.details import (
    AuditEntry,
    AuditOf,
    AuditPage,
    Backtest,
    BacktestOf,
    Backtests,
    BacktestsOf,
    BacktestView,
    Correlation,
    Correlations,
    Detail,
    OrderDetail,
    Orders,
    OrdersOf,
    OrderView,
    RecordDetail,
    RecordOf,
    Rules,
    RulesOf,
    RuleView,
    SignalView,
    SlotView,
    StrategyDetail,
    StrategyOf,
    TestedMonth,
    TestedStrategy,
    TestedTrade,
    TradeView,
    VoteView,
)

NOW_NS = 1_781_094_785 * NS_PER_S
SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY", "XAUUSD", "AUDUSD")
RULE_VALUES = (
    ("halted", 0.0, 0.0),
    ("drawdown_tier", 0.0, 1.0),
    ("daily_loss", 0.004, 0.03),
    ("spread", 1.2, 5.0),
    ("collar", 0.00041, 0.0044),
    ("order_lots", 0.42, 50.0),
    ("declared_lots", 0.42, math.inf),
    ("gross_exposure", 2.37, 30.0),
    ("margin", 0.0241, 0.9),
    ("value_at_risk", 0.0512, 0.05),
)


def rules() -> tuple[RuleView, ...]:
    return tuple(
        RuleView(name=name, value=value, limit=limit, headroom=limit - value, ok=value <= limit)
        for name, value, limit in RULE_VALUES
    )


def _rules(question: RulesOf) -> Rules:
    slots = (
        SlotView(name="eur-trend/EURUSD", decided_ns=NOW_NS, nearest="margin", used_frac=0.31),
        SlotView(
            name="gbp-mixed/GBPUSD",
            decided_ns=NOW_NS - NS_PER_MINUTE,
            refusal="value_at_risk",
            nearest="value_at_risk",
            used_frac=1.024,
        ),
        SlotView(name="yen/USDJPY"),
    )
    return Rules(slots=slots, slot=question.slot, rules=rules() if question.slot else ())


def _correlation(_: Correlations) -> Correlation:
    rows = (
        (1.0, 0.84, -0.47, 0.31, 0.66),
        (0.84, 1.0, -0.29, 0.22, 0.58),
        (-0.47, -0.29, 1.0, -0.12, -0.36),
        (0.31, 0.22, -0.12, 1.0, math.nan),
        (0.66, 0.58, -0.36, math.nan, 1.0),
    )
    return Correlation(
        symbols=SYMBOLS,
        matrix=rows,
        n_samples=(250, 250, 250, 250, 12),
        net_frac=(0.45, -0.38, 0.25, 0.0, 0.0),
        threshold=0.8,
    )


COMMANDS = (
    ("alice", "kill", "eur-ma-14", "killed eur-ma-14; 1 open position(s) concerned", "SUCCESS"),
    ("bob", "resume", "", "resume needs role admin, bob is operator", "FAILED"),
    ("alice", "limit", "var_max_frac", "var_max_frac is 0.05; it was 0.1", "SUCCESS"),
)


def entries(n: int = 40) -> tuple[AuditEntry, ...]:
    found = []
    for i in range(n):
        actor, command, target, result, status = COMMANDS[i % 3]
        details = {"command": command, "target": target, "result": result, "uid": 1000}
        found.append(
            AuditEntry(
                id=i + 1,
                time_ns=NOW_NS - (n - i) * 7 * NS_PER_MINUTE,
                event_type="COMMAND",
                actor=actor,
                status=status,
                details=json.dumps(details),
            )
        )
    return tuple(found)


def _audit(question: AuditOf) -> AuditPage:
    found = [e for e in entries() if question.status in ("", e.status)]
    if question.before_id:
        found = [e for e in found if e.id < question.before_id]
    if question.after_ns:
        found = [e for e in found if e.time_ns >= question.after_ns]
    shown = found[:12] if question.after_ns else found[-12:]
    return AuditPage(entries=tuple(shown), older=bool(shown) and shown[0].id > 1, newer=False)


def _orders(_: OrdersOf) -> Orders:
    rows = (
        ("eur-trend", "EURUSD", "OPEN", "BUY", 0.42, "FILLED", 1.08417, ""),
        ("gbp-mixed", "GBPUSD", "OPEN", "SELL", 0.31, "REJECTED", math.nan, "10019 no money"),
        ("eur-trend", "EURUSD", "CLOSE", "SELL", 0.42, "FILLED", 1.08502, ""),
    )
    return Orders(
        entries=tuple(
            OrderView(
                id=i + 1,
                time_ns=NOW_NS - (3 - i) * NS_PER_MINUTE,
                order=501_233_100 + i if state == "FILLED" else 0,
                magic=4_294_967_297 + i,
                book=book,
                symbol=symbol,
                action=action,
                direction=side,
                lots=lots,
                state=state,
                price=price,
                detail=detail,
            )
            for i, (book, symbol, action, side, lots, state, price, detail) in enumerate(rows)
        ),
        older=False,
        newer=False,
    )


def _record(question: RecordOf) -> RecordDetail:
    if question.audit_id:
        return RecordDetail(audit=entries()[question.audit_id - 1])
    return RecordDetail(order=order(question.order))


def order(number: int) -> OrderDetail:
    """Return an order that was decided by two votes and closed at its target."""
    return OrderDetail(
        time_ns=NOW_NS - 3 * NS_PER_MINUTE,
        magic=4_294_967_297,
        order=number,
        deal=501_233_900,
        close_order=501_233_102,
        close_deal=501_233_902,
        book="eur-trend",
        symbol="EURUSD",
        action="OPEN",
        direction="BUY",
        lots=0.42,
        state="FILLED",
        retcode=10009,
        detail="",
        price=1.08417,
        stop=1.08117,
        target=1.09017,
        refusal="",
        rules=rules()[:-1],
        votes=(
            VoteView(
                strategy="eur-ma-14",
                votes=True,
                direction=1,
                confidence=0.75,
                share=0.6,
                entry_share=0.69,
            ),
            VoteView(strategy="eur-rsi-17", votes=False, direction=0, confidence=0.4, share=0.4),
        ),
        steps=(("method", "fixed_fraction"), ("wanted lots", "0.4271"), ("lots", "0.42")),
        signals=(
            SignalView(
                time_ns=NOW_NS - 4 * NS_PER_MINUTE,
                strategy="eur-ma-14",
                symbol="EURUSD",
                signal="BUY",
                confidence=0.75,
            ),
        ),
        result="closed by target at 1.08502: +35.70 with commission −2.94 and swap 0.00",
        parts={"eur-ma-14": 35.70},
        code="1f2e3d",
    )


def view(number: int) -> BacktestView:
    sharpe = math.nan if number == 3 else 1.1 - 0.3 * number
    return BacktestView(
        id=number,
        created_ns=NOW_NS - number * NS_PER_DAY,
        from_ns=1_514_764_800 * NS_PER_S,
        to_ns=1_530_403_200 * NS_PER_S,
        total_return_frac=0.0842 - 0.061 * (number - 1),
        sharpe_ratio=sharpe,
        max_drawdown_frac=0.031 + 0.02 * number,
        win_rate_frac=0.48,
        n_trades=1412 - 200 * number,
        symbols=SYMBOLS[: 4 - number],
        portfolio=("running", "portfolio", "tight-stops")[number - 1],
    )


def _backtests(_: BacktestsOf) -> Backtests:
    return Backtests(
        stored=(view(1), view(2), view(3)),
        portfolios=("portfolio.toml", "tight-stops.toml"),
        symbols=SYMBOLS[:4],
        data="/srv/bars",
    )


def _backtest(question: BacktestOf) -> Backtest:
    shown = view(question.id)
    start = 100_000.0
    return Backtest(
        view=shown,
        summary={
            "total_return_frac": shown.total_return_frac,
            "sharpe_ratio": None if math.isnan(shown.sharpe_ratio) else shown.sharpe_ratio,
            "max_drawdown_frac": shown.max_drawdown_frac,
            "trades_count": shown.n_trades,
            "net_profit_ccy": start * shown.total_return_frac,
            "refused": {"spread": 3},
        },
        books={"eur-trend": 3120.5 / question.id, "yen": -411.2},
        made_of={
            "code_version": "0.1.0+1f2e3d",
            "config_hash": f"c{question.id}",
            "data_hash": "d1",
            "digest": f"e{question.id}",
        },
        equity=tuple(
            (
                shown.from_ns + i * NS_PER_DAY,
                start + 50.0 * i / question.id - 900.0 * math.sin(i / 9.0),
            )
            for i in range(180)
        ),
        strategies=tuple(
            TestedStrategy(
                strategy=name, book="eur-trend", trades_count=40 + i, net_profit_ccy=310.5 - 200 * i
            )
            for i, name in enumerate(("eur-ma-14", "eur-rsi-17", "eur-donchian-breakout"))
        ),
        months=tuple(
            TestedMonth(
                month=f"2018-0{i}",
                return_frac=0.01 * (3 - i),
                trades_count=7 * i,
                net_profit_ccy=-9.5,
            )
            for i in range(1, 7)
        ),
        trades=tuple(
            TestedTrade(
                book="eur-trend",
                strategy="eur-ma-14+eur-rsi-17",
                symbol="EURUSD",
                direction="BUY" if i % 2 else "SELL",
                lots=0.42,
                entry_time=shown.from_ns + i * NS_PER_DAY,
                entry_price=1.0841,
                exit_time=shown.from_ns + i * NS_PER_DAY + 90 * NS_PER_MINUTE,
                exit_price=1.08501 + i * 0.0001,
                exit_reason=("target", "stop", "signal")[i % 3],
                profit_ccy=(31.5, -18.25, 4.75)[i % 3],
            )
            for i in range(9)
        ),
    )


def _strategy(question: StrategyOf) -> StrategyDetail:
    trades = tuple(
        TradeView(
            order=7000 + i,
            symbol="EURUSD",
            direction="BUY" if i % 2 else "SELL",
            lots=0.42,
            entry_ns=NOW_NS - (40 - 3 * i) * NS_PER_MINUTE,
            entry_price=1.0841,
            exit_ns=0 if i == 11 else NOW_NS - (38 - 3 * i) * NS_PER_MINUTE,
            exit_price=1.0850,
            reason="" if i == 11 else ("target", "stop", "signal")[i % 3],
            share_frac=0.69,
            profit_ccy=0.0 if i == 11 else (31.5, -18.25, 4.75)[i % 3],
        )
        for i in range(12)
    )
    made = [0.0]
    for trade in trades:
        made.append(made[-1] + trade.profit_ccy)
    return StrategyDetail(
        name=question.name,
        kind="rsi_reversion",
        symbol="EURUSD",
        timeframe="M5",
        book="eur-trend",
        params={"period": 14, "oversold": 30.0, "overbought": 70.0, "smooth": True},
        combine="vote, enters above 0.30",
        sizing="fixed_fraction 0.25 %",
        votes=tuple(
            VoteView(
                strategy=f"eur-{name}",
                votes=name != "rsi-17",
                direction=0,
                confidence=0.5,
                share=0.25,
            )
            for name in ("ma-14", "rsi-17", "sr-20", "boll-23", "donch-26", "macd-29")
        ),
        days_r=(0.5, -0.2, 0.9),
        signals=tuple(
            SignalView(
                time_ns=NOW_NS - (30 - 5 * i) * NS_PER_MINUTE,
                strategy=question.name,
                symbol="EURUSD",
                signal=("BUY", "SELL", "HOLD")[i % 3],
                confidence=0.6,
            )
            for i in range(6)
        ),
        trades=trades,
        equity=tuple((NOW_NS + i * NS_PER_MINUTE, value) for i, value in enumerate(made)),
        parity=(
            ParityScore(
                strategy=question.name,
                from_ns=NOW_NS - 36 * 60 * NS_PER_MINUTE,
                to_ns=NOW_NS - 12 * 60 * NS_PER_MINUTE,
                n_trades=48,
                n_alike=46,
                live_ccy=120.5,
                tested_ccy=131.25,
                gaps=(
                    Gap(
                        time_ns=NOW_NS - 20 * 60 * NS_PER_MINUTE,
                        symbol="EURUSD",
                        what="BUY 0.42 only in the backtest",
                        why="the order was not filled: REJECTED 10019 no money",
                        explained=True,
                    ),
                    Gap(
                        time_ns=NOW_NS - 14 * 60 * NS_PER_MINUTE,
                        symbol="EURUSD",
                        what="SELL entered 2 min later",
                        why="not explained",
                        explained=False,
                    ),
                ),
            ),
        ),
    )


DETAILS: dict[type[Any], Callable[[Any], Detail]] = {
    RulesOf: _rules,
    Correlations: _correlation,
    AuditOf: _audit,
    OrdersOf: _orders,
    RecordOf: _record,
    BacktestsOf: _backtests,
    BacktestOf: _backtest,
    StrategyOf: _strategy,
}
JOBS = (
    JobView(
        id=7,
        state="WAITING",
        title="running portfolio 2018-01-01 to 2018-07-01",
        by="alice",
        queued_ns=NOW_NS,
    ),
    JobView(
        id=6,
        state="RUNNING",
        title="tight-stops.toml 2018-01-01 to 2018-07-01",
        by="alice",
        queued_ns=NOW_NS,
        started_ns=NOW_NS,
        progress_frac=0.37,
        eta_s=41.0,
    ),
    JobView(
        id=5,
        state="FAILED",
        title="running portfolio 2020-01-01 to 2020-07-01",
        by="bob",
        queued_ns=NOW_NS,
        ended_ns=NOW_NS,
        text="EURUSD: no bar from 2020-01-01 to 2020-07-01",
    ),
)
