"""The engine: one thread decides, the others carry. Start, run until told to stop, stop.

Threads: the engine thread (`run`), the gateway's reader, control clients, the database keeper and
its writer. Nothing but the engine thread touches the trader, except flags that reduce risk.
"""

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog

from engine.child.output import NO_LOG, OutputState
from engine.decision import read
from engine.decision.state import write_limits
from engine.execution.journal import Journal
from engine.hosts.contract import Hosts
from engine.hosts.files import FileWatch, strategy_files
from engine.hosts.pool import StrategyHosts
from engine.hosts.private_places import private_places
from engine.hosts.running_code import RunningCode
from engine.hosts.trusted_files import require_trusted_files
from engine.model.bars import Bars
from engine.model.broker import AccountState, MarketUpdate
from engine.model.errors import BrokerError, ConfigError, PmproError, StrategyError
from engine.model.jobs import JobModules
from engine.model.seldom import Seldom
from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE
from engine.model.views.snapshot import LogView, Snapshot
from engine.notify.service import AlertService
from engine.notify.views import AlertsView
from engine.portfolio.compile import CompiledPortfolio, compile_portfolio, points
from engine.portfolio.running import read_running, write_removed, write_running
from engine.replay.setup import Recorded, load_history, load_strategies
from engine.replay.warm import warm_core
from engine.runtime.accepted import Keeper, obey_accepted
from engine.runtime.alerts import start_alerts
from engine.runtime.audit_heads import AuditHeads
from engine.runtime.clients import Front
from engine.runtime.commands import Commands
from engine.runtime.database import DatabaseKeeper
from engine.runtime.failures import Failures
from engine.runtime.inbox import Inbox
from engine.runtime.parity import Parity, PastBars
from engine.runtime.reloads import SOURCE as STRATEGIES
from engine.runtime.reloads import Reloads
from engine.runtime.state_dir import StateDir
from engine.runtime.terminal_start import host_config, patiently, verify_account, verify_clock
from engine.runtime.vitals import Vitals
from engine.settings.settings import Settings
from engine.terminal.gateway import Deadlines, Gateway
from engine.trading.changes import ChangeMeans, Changes, add_portfolio_rows
from engine.trading.events import EventLog
from engine.trading.missed import split_missed, unpack
from engine.trading.restart import book_numbers, doubt_unless_balanced, reconcile, restore
from engine.trading.trader import Trader
from engine.views import rows as batch_rows
from engine.views.snapshot import Publisher, View

log = structlog.get_logger(__name__)
T = TypeVar("T")

TICK_S = 0.25
# How long a thread that runs Python may let another one wait: the writer's long stretches must
# not hold orders up. Python's own 5 ms would be met several times on the way to an order.
SWITCH_S = 0.0002
BROKER_LOOK_S = 1.0
UNKNOWN_LOOK_S = 5.0
HOSTS_MAX = 4
# Longer away than this, and strategies start anew instead of living through every missed bar.
CATCH_UP_MAX_NS = 3 * NS_PER_DAY


class StoppedEarly(PmproError):
    """It was told to stop before it traded."""


class Engine:
    """One engine on one state directory.

    `jobs`: the modules of its children; `recorded`: bars for the demo's simulated terminal;
    `log`: how its log is taken; `say`: told in
    a line, beside the log, that it is not.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        recorded: Recorded | None = None,
        files: Sequence[Path] = (),
        jobs: JobModules = JobModules(),  # noqa: B008  (a tuple of two texts)
        on_step: Callable[[str], None] = lambda text: None,
        log: Callable[[], OutputState] = lambda: NO_LOG,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.settings = settings
        self._files = files
        self._job_modules = jobs
        self.events = EventLog(lambda: self._market_ns or time.time_ns())
        self._recorded = recorded
        self._on_step = on_step
        self._market_ns = 0
        self._market_seen_s = time.monotonic()
        self._inbox = Inbox()
        self._stop = threading.Event()
        self._stop_reason = ""
        self._trader: Trader | None = None
        self._gateway: Gateway | None = None
        self._hosts: StrategyHosts | None = None
        self._changes: Changes | None = None
        self._files_watch: FileWatch | None = None
        self._journal: Journal | None = None
        self._state: StateDir | None = None
        self._front: Front | None = None
        self._commands: Commands | None = None
        self._database: DatabaseKeeper | None = None
        self._heads: AuditHeads | None = None
        self._code = RunningCode(lambda: {} if self._hosts is None else self._hosts.files)
        # Why what lies on the disk or in the database is not what runs, by what it is.
        self._mismatches: dict[str, str] = {}
        self._alerts: AlertService | None = None
        self._parity: Parity | None = None
        self._publisher = Publisher(
            settings,
            self.events,
            lambda: AlertsView() if self._alerts is None else self._alerts.seen,
        )
        self._connected = False
        self._doubt = ""
        self._looked_s = self._settled_s = 0.0
        self._troubles = Seldom()
        self._failures = Failures(self.events, lambda: self._trader)
        self._log_state = log
        # Since when the engine's thread is in this turn; 0.0 while it is in none.
        self._turn_since_s = 0.0
        self._vitals = Vitals(
            self.events, log=log, turn_s=lambda: self.turn_s, feed_s=self._feed_s, say=say
        )

    # ---- life

    def start(self) -> None:
        """Bring everything up to the first batch; on an error nothing is left running.

        Raises:
            PmproError: one line saying what is wrong.
        """
        try:
            self._start()
        except BaseException as e:
            alert = isinstance(e, PmproError) and not isinstance(e, StoppedEarly)
            if self._alerts is not None and alert:
                self.events.add("critical", "engine", f"not started: {e}")
            self.close()
            raise

    def _start(self) -> None:
        sys.setswitchinterval(SWITCH_S)
        self._vitals.start()
        settings = self.settings
        require_trusted_files(settings)
        portfolio, remark = read_running(settings.portfolio_path, settings.state_path)
        verify_clock(settings, portfolio)
        compiled = compile_portfolio(portfolio)
        self._state = StateDir(settings.state_path)
        self._journal = Journal(self._state.journal)
        self._alerts = start_alerts(settings, self._state, self.events)
        self._listen(self._state, self._alerts)
        if remark:
            self.events.add("warning", "engine", remark)
        for note in self._recorded.notes if self._recorded is not None else ():
            self.events.add("warning", "data", note)
        if self._state.remark:
            self.events.add("error", "log", self._state.remark)
        self._start_database(self._state)
        self._step("loading kernels")
        warm_core()
        self._step("starting the strategy hosts")
        self._hosts = StrategyHosts(
            compiled.strategies,
            points(compiled.symbols),
            settings.terminal.server_clock,
            n_hosts=settings.strategy_hosts.count or min(HOSTS_MAX, os.cpu_count() or 1),
            deadline_s=settings.strategy_hosts.deadline_s,
            memory_max_mb=settings.strategy_hosts.memory_max_mb,
            log_dir=self._state.logs,
            files=[*self._files, *strategy_files(settings.strategies_path)],
            hidden=private_places(settings),
            fetch=self._fetch_bars,
            fault=self._code_fault,
        )
        try:
            load_strategies(self._hosts)
        except StrategyError as e:
            raise StrategyError(f"{settings.portfolio_path}: {e}") from None
        self._step("connecting the terminal")
        gateway = self._open_gateway(compiled, self._state)
        account = gateway.connect()
        verify_account(settings, account, compiled.portfolio)
        self._step("reading history")
        trader = self._make_trader(compiled, gateway, account)
        self._begin_trading(trader, gateway, compiled)
        self._changes = Changes(
            self._hosts,
            self._journal,
            self.events,
            ChangeMeans(
                specify=partial(_specified, gateway),
                watch=gateway.watch,
                keep=partial(
                    write_running, file=settings.portfolio_path, state=settings.state_path
                ),
                keep_removed=partial(write_removed, state=settings.state_path),
            ),
        )
        self._watch_files(self._hosts)
        self._parity = self._make_parity(self._hosts)
        self._trader = trader
        self._publisher.ready(account, trader)
        gc.freeze()  # what lives as long as the engine need not be looked through again
        self._step("trading")

    def run(self) -> None:
        """Decide until `stop` is called, on the calling thread."""
        while not self._stop.is_set():
            self._turn_since_s = time.monotonic()
            try:
                self._turn()
            except Exception as e:  # border: thread; each step of a turn has its own
                self._failures.note("a turn", e)

        self._turn_since_s = 0.0

    @property
    def turn_s(self) -> float:
        """How long the engine's thread has been in its turn; any thread."""
        since_s = self._turn_since_s
        return time.monotonic() - since_s if since_s else 0.0

    def _feed_s(self) -> float:
        """Return how long a connected host has sent nothing; any thread.

        What the engine's thread had no time to take is not the host's silence.
        """
        silent_s = time.monotonic() - self._market_seen_s - self.turn_s
        return max(0.0, silent_s) if self._connected and self._trader is not None else 0.0

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stop.is_set()

    def stop(self, reason: str) -> None:
        """Ask the engine thread to end; any thread."""
        self._stop_reason = self._stop_reason or reason
        self._stop.set()

    def abandon(self) -> None:
        """Tell what would outlive this process to end by itself; waits for nothing."""
        if self._database is not None:
            self._database.abandon()

    def close(self) -> None:
        """Settle, save, flush and end every child; what is held stays protected at the broker."""
        self._publisher.state = "STOPPING"
        self._vitals.close()
        if self._trader is not None:
            self._finish(self._trader)
        for part in (self._files_watch, self._front, self._parity, self._hosts, self._gateway):
            if part is not None:
                _end(part.close)
        for working in (self._database, self._alerts):
            if working is not None:
                _end(working.stop)
        for held in (self._journal, self._state):
            if held is not None:
                _end(held.close)

    def _finish(self, trader: Trader) -> None:
        _end(partial(_look_once_more, trader))
        _end(partial(batch_rows.add_positions_row, trader))
        if self._commands is not None:
            _end(partial(self._commands.write_down, everything=True))
        trader.recorder.audit("COMMAND", {"command": "stop", "reason": self._stop_reason})
        _end(trader.save)
        self._trader = None

    def _step(self, text: str) -> None:
        """Tell of a step of the start.

        Raises:
            StoppedEarly: it is not to be taken.
        """
        if self._stop.is_set():
            raise StoppedEarly(f"told to stop while it started: {self._stop_reason}")
        self._on_step(text)
        self.events.add("info", "engine", text)

    # ---- parts

    def _listen(self, state: StateDir, alerts: AlertService) -> None:
        assert self._journal is not None
        front = Front(
            self.settings,
            state,
            self.events,
            module=self._job_modules.backtest,
            database=self._database_url,
        )
        self._front = front
        self._commands = Commands(
            self._inbox,
            trader=lambda: self._trader,
            hosts=lambda: self._hosts,
            set_speed=self._set_speed,
            stop=self.stop,
            changes=lambda: self._changes,
            launches=front.launches,
            acknowledge=alerts.ack,
            keep=Keeper(self._journal).keep,
            turn_s=lambda: self.turn_s,
        )
        front.start(self._commands, snapshot=self.snapshot, picture=lambda: self._publisher.picture)

    def _start_database(self, state: StateDir) -> None:
        assert self._journal is not None
        url = self.settings.database_url()
        self._heads = AuditHeads(state.audit_head, self.events.add, time.time_ns)
        self._database = DatabaseKeeper(
            state.journal,
            url=None if url is None else url.get_secret_value(),
            data_dir=state.path / "postgresql",
            run_dir=self.settings.run_path,
            on_damage=self._journal.found_damage,
            heads=self._heads,
            on_mismatch=partial(self._mismatch, "schema"),
            on_reject=lambda level, text: self.events.add(level, "database", text),
        )
        self._database.start()

    def _open_gateway(self, compiled: CompiledPortfolio, state: StateDir) -> Gateway:
        terminal = self.settings.terminal
        config = host_config(self.settings, compiled, state.path, self._recorded)
        deadlines = Deadlines(read_s=terminal.call_deadline_s, order_s=terminal.order_deadline_s)
        self._gateway = Gateway(config, deadlines, on_market=self._inbox.market)
        self._gateway.start()
        return self._gateway

    def _make_trader(
        self, compiled: CompiledPortfolio, gateway: Gateway, account: AccountState
    ) -> Trader:
        assert self._journal is not None
        assert self._hosts is not None
        trader = Trader(
            self._patiently(gateway, partial(_specified, gateway, compiled)),
            terminal=gateway,
            hosts=self._hosts,
            journal=self._journal,
            clock=ServerClock(self.settings.terminal.server_clock),
            events=self.events,
            account=account.login,
            balance_ccy=account.balance_ccy,
            book_numbers=book_numbers(self._journal, compiled),
            now_ns=lambda: self._market_ns,
        )
        write_limits(trader.core, {"leverage": account.leverage})
        if account.stop_out_frac is not None:
            write_limits(trader.core, {"stop_out_frac": account.stop_out_frac})
        return trader

    def _begin_trading(self, trader: Trader, gateway: Gateway, compiled: CompiledPortfolio) -> None:
        """Restore, reconcile, warm the strategies up and have the market watched."""
        assert self._journal is not None
        assert self._hosts is not None
        lost = restore(trader, self._journal)
        obey_accepted(trader, self._journal)
        now_ns = self._patiently(gateway, partial(self._terminal_now_ns, gateway))
        self._market_ns = now_ns
        since_ns = now_ns - now_ns % NS_PER_MINUTE
        saved_ns = read.account(trader.core).batch_ns
        if saved_ns and since_ns - saved_ns <= CATCH_UP_MAX_NS:
            since_ns = min(saved_ns, since_ns)
        needed = self._hosts.m1_bars_needed(since_ns)
        history = self._patiently(gateway, partial(load_history, gateway, needed, since_ns, now_ns))
        trader.take_history(history)
        faults = self._hosts.start(history, since_ns)
        for name, fault in faults.items():
            trader.quarantine_member(name, fault)
        complaints = lost + self._patiently(gateway, partial(reconcile, trader, self._journal))
        doubt_unless_balanced(trader, complaints)
        add_portfolio_rows(trader)
        trader.code = self._code.name()
        started = {"command": "start", "unbalanced": complaints}
        runs = {"code": trader.code, "runs": self._code.parts()}
        trader.recorder.audit("COMMAND", started | runs)
        trader.save()
        names = [spec.name for spec in compiled.symbols]
        self._patiently(gateway, partial(gateway.watch, names, since_ns))

    def _patiently(self, gateway: Gateway, ask: Callable[[], T]) -> T:
        say = partial(self.events.add, "warning", "terminal")
        return patiently(gateway, ask, wait=self._stop.wait, say=say)

    def _watch_files(self, hosts: StrategyHosts) -> None:
        reloads = Reloads(hosts, self._inbox, self.events, lambda: self._trader, self._code)
        self._files_watch = FileWatch(
            self.settings.strategies_path,
            hosts.files,
            reloads.take,
            partial(self.events.add, "warning", STRATEGIES),
        )
        self._files_watch.start()

    def _code_fault(self) -> str:
        """Return why no process of this program may be started now; any thread."""
        fault = self._code.fault()
        self._mismatch("program", fault)
        return fault

    def _mismatch(self, what: str, reason: str) -> None:
        """Note that something is not what runs, or "" that it is; any thread."""
        others = {k: v for k, v in self._mismatches.items() if k != what}
        self._mismatches = others | ({what: reason} if reason else {})

    def _hold_mismatches(self, trader: Trader) -> None:
        """Have nothing entered while something is not what runs."""
        found, held = self._mismatches, trader.pauses.mismatches
        if found == held:
            return
        trader.pauses.mismatches = found
        for what, reason in found.items():
            if held.get(what) != reason:
                self.events.add("critical", "engine", f"no entries: {reason}")
                trader.doubt(reason)

    def _make_parity(self, hosts: Hosts) -> Parity:
        return Parity(
            self.settings.state_path,
            module=self._job_modules.parity,
            past=PastBars(hosts.m1_bars_needed, hosts.kept, self._fetch_bars),
            files=lambda: hosts.files,
            database=self._database_url,
            tell=lambda level, text: self.events.add(level, "parity", text),
            hidden=private_places(self.settings),
        )

    def _database_url(self) -> str:
        return "" if self._database is None else self._database.url

    def _fetch_bars(self, needed: Mapping[str, int], before_ns: int) -> dict[str, Bars]:
        """Return closed bars for strategies that are added; any thread."""
        assert self._gateway is not None
        return load_history(self._gateway, needed, before_ns, self._market_ns)

    def _terminal_now_ns(self, gateway: Gateway) -> int:
        if self.settings.terminal.module == "simulated":
            return int(gateway.control({"op": "state"})["now_ns"])
        return time.time_ns()

    # ---- the engine thread

    def _turn(self) -> None:
        work = self._inbox.take(TICK_S)
        trader = self._trader
        if trader is None:
            return
        step = self._failures.step
        with step("comparing the code that runs"):
            self._hold_mismatches(trader)
        for job in work.jobs:
            with step("a command"):
                job()
        with step("saving"):
            wrote = self._commands is not None and self._commands.write_down()
            if (work.jobs or wrote) and trader.recorder.waits:  # once a turn, however many
                trader.save()
        if work.batches:
            self._take_batches(trader, work.batches)
        if work.update is not None:
            with step("marking at new quotes"):
                self._see(work.update)
                trader.watch(work.update)
        with step("looking at the terminal"):
            self._look(trader)
        with step("pursuing the goals"):
            trader.pursue()
        with step("changing the portfolio"):
            if self._changes is not None:
                self._changes.finish(trader)
        with step("making the snapshot"):
            self._publisher.publish(trader, self._view())

    def _see(self, update: MarketUpdate) -> None:
        if update.connected != self._connected:
            self._connected = update.connected
            word = "connected" if update.connected else "lost"
            self.events.add("info" if update.connected else "error", "terminal", word)
        if update.connected and update.doubt != self._doubt:
            self._doubt = update.doubt
            text = f"no entries: {update.doubt}" if update.doubt else "server clock measured"
            self.events.add("warning" if update.doubt else "info", "terminal", text)
        self._market_ns = max(self._market_ns, update.market_ns)
        self._market_seen_s = time.monotonic()

    def _take_batches(self, trader: Trader, batches: Sequence[MarketUpdate]) -> None:
        """Take batches; what can wait, rows for the database and garbage, waits for the orders."""
        database = self._database
        if database is not None:
            database.rest()
        gc.disable()
        try:
            for update in batches:
                late = update is not batches[-1]
                with self._failures.step("a late batch" if late else "a batch"):
                    self._take_batch(trader, update, late=late)
        finally:
            gc.enable()
            if database is not None:
                database.wake()

    def _take_batch(self, trader: Trader, update: MarketUpdate, *, late: bool) -> None:
        began_s = time.monotonic()
        self._see(update)
        missed, update = split_missed(update)
        if late:  # a newer batch waits: its quotes decide, this one's are gone
            missed.append((update.batch_ns, unpack(update)))
        for batch_ns, closed in missed:
            trader.catch_up(batch_ns, closed)
        if missed:
            trader.say_missed([batch_ns for batch_ns, _ in missed])
        if not late:
            trader.on_batch(update)
            with self._failures.step("writing a batch down"):
                self._publisher.keep_equity(trader)
                batch_rows.add_batch_rows(trader)
                if self._parity is not None:
                    self._parity.after_batch(trader)
        self._publisher.latency_ms = 1000.0 * (time.monotonic() - began_s)

    def _look(self, trader: Trader) -> None:
        """Ask the terminal what it did by itself, and after unknown outcomes."""
        now_s = time.monotonic()
        try:
            if now_s - self._looked_s >= BROKER_LOOK_S:
                self._looked_s = now_s
                trader.positions.book_broker_closes()
                trader.unseen = ""
            if now_s - self._settled_s >= UNKNOWN_LOOK_S:
                self._settled_s = now_s
                trader.settle_unknown()
        except BrokerError as e:
            trader.unseen = str(e)
            if self._troubles.due(trader.unseen) is not None:  # else it would fill the events
                self.events.add("error", "engine", trader.unseen)

    def simulate(self, message: dict[str, Any]) -> dict[str, Any]:
        """Pass a control message to the demo's simulated terminal; return its state.

        Raises:
            ConfigError: this is no demo.
        """
        if self.settings.mode != "demo" or self._gateway is None:
            raise ConfigError("only the demo's market can be controlled")
        return self._gateway.control(message)

    def _set_speed(self, speed: float) -> None:
        self.simulate({"op": "set_speed", "speed": speed})
        self._publisher.speed = speed

    # ---- what consoles see

    def snapshot(self) -> Snapshot:
        """Return the newest snapshot; any thread."""
        return self._publisher.snapshot

    def _view(self) -> View:
        assert self._gateway is not None
        assert self._front is not None
        return View(
            market_ns=self._market_ns,
            data_age_s=time.monotonic() - self._market_seen_s,
            connected=self._connected,
            journal_backlog=0 if self._journal is None else self._journal.backlog(),
            database="off" if self._database is None else self._database.status,
            audit_head="" if self._heads is None else self._heads.newest,
            terminal=msgspec.structs.replace(self._gateway.health(), doubt=self._doubt),
            control=self._front.control(),
            jobs=self._front.jobs(),
            log=_log_view(self._log_state()),
        )


def _end(what: Callable[[], object]) -> None:
    try:
        what()
    except Exception:  # border: what cannot be ended keeps nothing else going
        log.exception("not_ended", what=getattr(what, "__qualname__", str(what)))


def _look_once_more(trader: Trader) -> None:
    try:
        trader.settle_unknown()
        trader.positions.book_broker_closes()
    except BrokerError as e:
        log.warning("stopping_without_the_terminal", error=str(e))


def _log_view(state: OutputState) -> LogView:
    return LogView(name=state.name, trouble=state.trouble, n_dropped=state.n_dropped)


def _specified(gateway: Gateway, compiled: CompiledPortfolio) -> CompiledPortfolio:
    """Return the portfolio with the terminal's own specifications."""
    known = {spec.name: spec for spec in compiled.symbols}
    return compiled.with_symbols(gateway.symbols(list(known), known=known))
