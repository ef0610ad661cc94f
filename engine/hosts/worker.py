"""One strategy host as its engine sees it: asked, and when it is lost, who is to blame."""

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from engine.child.parent import Child, ChildAstray, ChildError, ChildTimeout
from engine.hosts.protocol import (
    MEMORY_EXIT,
    Adopt,
    Evaluations,
    Feed,
    InputNeed,
    Load,
    Progress,
    Request,
    Warm,
    file_index,
    pack_bars,
)
from engine.model.bars import Bars
from engine.model.errors import PmproError
from engine.model.portfolio import StrategySpec

START_TIMEOUT_S = 300.0
"""A first start may have to compile every kernel."""

FORGED = "answered what it was not asked"

ANSWER_MAX_BYTES = 64_000_000

LOG_NAME = "strategy-hosts.log"

# Creating strategies and filling their windows, all of a host's.
LOAD_TIMEOUT_S = 30.0

_NEVER_NS = -(2**63)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Evaluations).decode


class WorkerLost(PmproError):
    """The host ended or was killed; `culprit` is the strategy that it was busy with, "" for none.

    `file` is the user's file that it was loading. `forged`: it answered what it was not asked,
    which no code but the user's would do.
    """

    def __init__(
        self, reason: str, culprit: str = "", file: str = "", *, forged: bool = False
    ) -> None:
        super().__init__(reason)
        self.culprit = culprit
        self.file = file
        self.forged = forged


class Worker:
    """A host process; `inputs` are those of the strategies it has, `built_in` pmpro's own kinds."""

    def __init__(
        self, number: int, log_dir: Path, memory_max_mb: int, hidden: Sequence[Path] = ()
    ) -> None:
        self.inputs: dict[str, list[InputNeed]] = {}
        self.built_in: frozenset[str] = frozenset()
        self._last_open_ns: dict[str, int] = {}
        self._log_dir = log_dir
        self._memory_max_mb = memory_max_mb
        self._order: list[str] = []
        self._files: list[str] = []
        self._hidden = [str(path) for path in hidden]
        try:
            self._path, self._progress = _progress_file(log_dir, f"strategy-host-{number}.progress")
            # The one place where its strategies may write.
            self._scratch = self._path.with_suffix(".scratch")
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch.mkdir(mode=0o700)
            self.child = Child(
                "engine.hosts.child",
                [str(self._path)],
                name=f"strategy-host-{number}",
                log_path=log_dir / LOG_NAME,
                env={"TMPDIR": str(self._scratch)},
                others=True,
                max_frame=ANSWER_MAX_BYTES,
            )
        except OSError as error:
            raise WorkerLost(f"cannot be started: {error}") from None

    @property
    def alive(self) -> bool:
        """Tell whether the process has not ended."""
        return self.child.alive

    def warm(self) -> None:
        """Have everything imported and compiled, and the process bounded."""
        request = Warm(self._memory_max_mb, str(self._scratch), self._hidden)
        self.built_in = frozenset(self.ask(request, START_TIMEOUT_S).kinds[""])

    def load(
        self,
        strategies: Sequence[StrategySpec],
        points: Mapping[str, float],
        server_clock: str,
        files: Mapping[str, bytes],
        bad_files: Mapping[str, str],
    ) -> Evaluations:
        """Create the strategies; those that cannot be are among the faults."""
        self._order = [spec.name for spec in strategies]
        self._files = list(files)
        request = Load(list(strategies), dict(points), server_clock, dict(files), dict(bad_files))
        reply = self.ask(request, LOAD_TIMEOUT_S)
        self.inputs = reply.inputs
        return reply

    def feed(self, batch_ns: int, history: Mapping[str, Bars]) -> Evaluations:
        """Fill the windows, a symbol at a time: bars may be many."""
        symbols = list(history)
        for symbol in symbols[:-1]:
            part = pack_bars({symbol: history[symbol]})
            self.ask(Feed(batch_ns, part, last=False), LOAD_TIMEOUT_S)
        part = pack_bars({symbol: history[symbol] for symbol in symbols[-1:]})
        reply = self.ask(Feed(batch_ns, part), LOAD_TIMEOUT_S)
        for name in reply.faults:
            self.inputs.pop(name, None)
        for symbol, bars in history.items():
            if len(bars):
                self._last_open_ns[symbol] = int(bars["time_ns"][-1])
        return reply

    def adopt(self, names: Sequence[str], batch_ns: int, missed: Mapping[str, Bars]) -> None:
        """Have it keep these strategies alone, and take the bars that it missed until now."""
        self.ask(Adopt(list(names), batch_ns, pack_bars(missed)), LOAD_TIMEOUT_S)
        self.inputs = {name: needs for name, needs in self.inputs.items() if name in names}

    def fed_until_ns(self) -> dict[str, int]:
        """Return the open of the last bar it was fed of each symbol that its strategies read."""
        symbols = {need.symbol for needs in self.inputs.values() for need in needs}
        return {symbol: self._last_open_ns.get(symbol, _NEVER_NS) for symbol in symbols}

    def ask(self, request: Request, timeout_s: float) -> Evaluations:
        """Return the answer to a request.

        Raises:
            WorkerLost: there is none; the process has been killed.
        """
        self.send(_encode(request), timeout_s)
        return self.collect(time.monotonic() + timeout_s)

    def send(self, body: bytes, timeout_s: float) -> None:
        """Send an encoded request; `collect` its answer before the next one."""
        try:
            self.child.send(body, timeout_s=timeout_s)
        except ChildError as error:
            raise self._lost(error) from None

    def collect(self, deadline_s: float) -> Evaluations:
        """Return the answer to the request sent before; the deadline is monotonic."""
        try:
            body = self.child.collect(timeout_s=max(0.0, deadline_s - time.monotonic()))
        except ChildError as error:
            raise self._lost(error) from None
        try:
            return _decode(body)
        except (msgspec.MsgspecError, RecursionError):
            self.child.kill()
            raise WorkerLost(f"{self.child.name}: its answer is none", forged=True) from None

    def close(self) -> None:
        """End the process; it holds nothing that a gentle end would save."""
        self.child.kill()
        self.child.close()
        self._progress.close()
        self._path.unlink(missing_ok=True)
        shutil.rmtree(self._scratch, ignore_errors=True)
        if self._path.parent != self._log_dir:
            self._path.parent.rmdir()

    def _lost(self, error: ChildError) -> WorkerLost:
        if isinstance(error, ChildAstray):
            return WorkerLost(str(error), forged=True)
        progress = self._progress
        if isinstance(error, ChildTimeout):
            index = progress.slowest(time.monotonic())
        else:
            index = progress.running() if progress.blamed() < 0 else progress.blamed()
        self.child.kill()
        reason = str(error)
        if self.child.exit_code == MEMORY_EXIT:
            reason = f"holds most of the {self._memory_max_mb} MB that a host may take"
        if 0 <= index < len(self._order):
            return WorkerLost(reason, culprit=self._order[index])
        if index < -1 and file_index(index) < len(self._files):
            return WorkerLost(reason, file=self._files[file_index(index)])
        return WorkerLost(reason)


def _progress_file(log_dir: Path, name: str) -> tuple[Path, Progress]:
    """Return a new progress file: beside the logs, or elsewhere where that disk is full."""
    path = log_dir / name
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
        return path, Progress(path, create=True)
    except OSError:
        path = Path(tempfile.mkdtemp(prefix="pmpro-")) / name
        return path, Progress(path, create=True)


def encoded(request: Request) -> bytes:
    """Return a request as it is sent."""
    return _encode(request)
