"""Live beside a backtest of the same hours, once a server day, judged by a niced child.

At a day's first batch live's state is kept, also on disk: a restart does not lose it. When the day
has ended the child goes on from that state over the terminal's bars and compares. A change of the
portfolio or of a strategy's file ends the hours too, at the last batch before it: strategies are
compared while they are the same.
"""

import contextlib
import queue
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import structlog

from engine.child.parent import Child, ChildError
from engine.decision import read
from engine.decision.saved import dump_core
from engine.decision.state import read_limits
from engine.model.bars import Bars
from engine.model.errors import DataError, PmproError
from engine.model.live_day import ParityRequest, ParityStart, RefusedRun
from engine.model.portfolio import Portfolio
from engine.model.times import NS_PER_MINUTE, iso_utc
from engine.runtime.jobs import why_failed
from engine.trading.trader import Trader

log = structlog.get_logger(__name__)

# By name: the engine imports nothing of research, its child does.
NAME = "parity.msgpack"
SHORTEST_NS = 60 * NS_PER_MINUTE
"""Fewer hours say little: they are not judged."""
CHILD_MAX_S = 1800.0
BARS_MAX = 4_000_000
CLOSE_WAIT_S = 2.0
_WAITING_MAX = 4


class ParityNotice(msgspec.Struct, frozen=True, kw_only=True):
    """What the child tells: the outcome in words and how loud it is."""

    level: str
    text: str


class PastBars:
    """Where bars of past hours come from: warm-up that is kept, and the terminal.

    `needed(at_ns)`: M1 bars a symbol before a time that no strategy is warming after it;
    `kept(symbol)`: bars that are in memory; `fetch(counts, before_ns)`: the terminal's last ones
    that opened before a time.
    """

    def __init__(
        self,
        needed: Callable[[int], dict[str, int]],
        kept: Callable[[str], Bars],
        fetch: Callable[[Mapping[str, int], int], Mapping[str, Bars]],
    ) -> None:
        self.needed = needed
        self._kept = kept
        self._fetch = fetch

    def bars(self, start: ParityStart, to_ns: int) -> Iterator[tuple[str, Bars]]:
        """Yield each symbol's bars that a backtest of the batches up to `to_ns` needs.

        Raises:
            DataError: that would be too many.
            BrokerError: the terminal does not answer.
        """
        minutes = (to_ns - start.from_ns) // NS_PER_MINUTE + 1
        needed = start.needed
        symbols = [spec.name for spec in start.symbols]
        if sum(needed.get(name, 0) + minutes for name in symbols) > BARS_MAX:
            raise DataError(f"its strategies need more than {BARS_MAX:,} bars")
        for name in symbols:
            kept = self._kept(name)
            before = kept[: int(np.searchsorted(kept["time_ns"], start.from_ns))]
            enough = len(before) >= needed.get(name, 0)
            count = minutes if enough else minutes + needed[name]
            found = self._fetch({name: count}, to_ns + NS_PER_MINUTE)[name]
            if enough:
                found = found[found["time_ns"] >= start.from_ns]
                found = np.concatenate([before, found]) if len(before) else found
            yield name, found


class Ended(NamedTuple):
    """Hours to be judged: where they began, the last batch, and what live's rules refused."""

    start: ParityStart
    to_ns: int
    refused: tuple[RefusedRun, ...] = ()


class Parity:
    """Begins, ends and has judged. `after_batch` is the engine thread's, the rest its own.

    Args:
        state: the state directory.
        module: the child's that compares, "" where nothing is compared.
        past: where the bars come from.
        files: the users' strategy files, content by path.
        database: the URL that has live's trades, "" while there is none.
        tell: told what came of it, with a log level.
        hidden: what the child may not read: it runs strategies' code.
    """

    def __init__(
        self,
        state: Path,
        *,
        module: str,
        past: PastBars,
        files: Callable[[], dict[str, bytes]],
        database: Callable[[], str],
        tell: Callable[[str, str], object],
        hidden: Sequence[Path] = (),
    ) -> None:
        self._path = state / NAME
        self._module = module
        self._log_path = state / "logs" / "parity.log"
        self._past = past
        self._files = files
        self._database = database
        self._tell = tell
        self._hidden = [str(path) for path in hidden]
        self._work: queue.Queue[ParityStart | Ended | None] = queue.Queue(_WAITING_MAX)
        self._child: Child | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._start = self._read()
        self._last_ns = 0
        self._ended: Ended | None = None
        self._thread = threading.Thread(target=self._run, name="parity", daemon=True)
        self._thread.start()

    # ---- the engine's thread

    def after_batch(self, trader: Trader) -> None:
        """Begin, end and hand over what is compared; on most batches two comparisons."""
        if self._ended is not None:  # the bar that opened at its last batch has closed
            self._put(self._ended)
            self._ended = None
        account, portfolio = read.account(trader.core), trader.compiled.portfolio
        at_ns, server_day = account.batch_ns, account.server_day
        last_ns, self._last_ns = self._last_ns, at_ns
        same, start = self._are_same(portfolio), self._start
        if start is not None:
            if same and server_day == start.server_day:
                return
            to_ns = at_ns if same else last_ns or at_ns
            if SHORTEST_NS <= to_ns - start.from_ns <= 7 * 24 * SHORTEST_NS:
                self._ended = Ended(start, to_ns, trader.refusals.since(start.from_ns))
            self._start = None
        if read.unsettled_slots(trader.core):
            return  # what an order became of is part of the state to begin with: the next batch
        self._start = ParityStart(
            server_day=server_day,
            from_ns=at_ns,
            portfolio=portfolio,
            files=self._files(),
            symbols=list(trader.compiled.symbols),
            needed=self._past.needed(at_ns),
            core=dump_core(trader.core, trader.names),
            limits=read_limits(trader.core),
        )
        self._put(self._start)

    def _are_same(self, portfolio: Portfolio) -> bool:
        """Tell whether the strategies are those that the hours began with."""
        start, files = self._start, self._files()
        if start is None or (start.portfolio is portfolio and start.files is files):
            return start is not None
        if start.portfolio != portfolio or start.files != files:
            return False
        # After a restart they are equal and others: once compared is enough.
        self._start = msgspec.structs.replace(start, portfolio=portfolio, files=files)
        return True

    def _put(self, work: "ParityStart | Ended") -> None:
        try:
            self._work.put_nowait(work)
        except queue.Full:
            log.warning("parity_skipped")

    # ---- a thread of its own

    def close(self) -> None:
        """End what is under way."""
        with self._lock:
            self._closed = True
            child = self._child
        if child is not None:
            child.kill()
        with contextlib.suppress(queue.Full):  # else it ends when all that waits is done
            self._work.put_nowait(None)
        self._thread.join(CLOSE_WAIT_S)  # the next engine begins with what is written here

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                if isinstance(work, ParityStart):
                    self._write(work)
                elif not self._closed:
                    self._judge(work)
            except PmproError as error:
                self._say("warning", f"{_hours(work)}: not compared: {error}")
            except Exception as error:  # border: thread
                log.exception("parity_failed")
                self._say("error", f"not compared: {type(error).__name__}: {error}")
            if self._closed and self._work.empty():
                return

    def _say(self, level: str, text: str) -> None:
        if not self._closed:
            self._tell(level, text)

    def _judge(self, work: Ended) -> None:
        start, to_ns, refused = work
        url = self._database()
        if not url:
            raise DataError("the database is away")
        with tempfile.TemporaryDirectory(prefix="parity-", dir=self._path.parent) as name:
            files = {}
            # One symbol at a time: all of them together would be in memory three times.
            for number, (symbol, bars) in enumerate(self._past.bars(start, to_ns)):
                files[symbol] = str(Path(name, str(number)))
                bars.tofile(files[symbol])
            request = ParityRequest(
                start=start, to_ns=to_ns, bars=files, refused=refused, database=url
            )
            told = self._ask(msgspec.msgpack.encode(request), name)
        self._say(told.level, f"{_hours(work)}: {told.text}")

    def _ask(self, request: bytes, bars: str) -> ParityNotice:
        """Have a child judge; it finds the bars in a directory.

        Raises:
            DataError: it could not, and why.
        """
        if not self._module:
            raise DataError("this engine was started without a comparison")
        child = Child(
            self._module,
            [bars, *self._hidden],
            name="parity",
            log_path=self._log_path,
            others=True,
        )
        try:
            with self._lock:
                self._child = child
                if self._closed:
                    raise DataError("the engine stops")
            answer = child.call(request, timeout_s=CHILD_MAX_S)
            return msgspec.msgpack.decode(answer, type=ParityNotice)
        except ChildError as error:
            raise DataError(why_failed(error, self._log_path)) from None
        finally:
            with self._lock:
                self._child = None
            child.close()

    # ---- on disk

    def _write(self, start: ParityStart) -> None:
        new = self._path.with_suffix(".new")
        new.touch(mode=0o600)  # it holds strategies' code
        new.write_bytes(msgspec.msgpack.encode(start))
        new.replace(self._path)

    def _read(self) -> ParityStart | None:
        """Return the state that was kept; None if there is none, or another version's."""
        try:
            return msgspec.msgpack.decode(self._path.read_bytes(), type=ParityStart)
        except (OSError, msgspec.MsgspecError):
            return None


def _hours(work: "ParityStart | Ended") -> str:
    if isinstance(work, ParityStart):
        return f"from {iso_utc(work.from_ns)[:16]}"
    return f"{iso_utc(work.start.from_ns)[:16]} to {iso_utc(work.to_ns)[:16]}"
