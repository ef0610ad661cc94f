"""Backtests that consoles launch: one niced child at a time, a few that wait, all bounded.

The engine's process never computes long itself. A job ends with the engine: its child's pipe
closes, and the child with it.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import structlog

from engine.child.parent import Child, ChildError, ChildFailed
from engine.files.text_files import read_toml
from engine.hosts.files import read_files, strategy_files
from engine.model.errors import ConfigError, PmproError, Refused, UserError
from engine.model.jobs import BacktestSpec, JobView
from engine.model.near import meant
from engine.model.portfolio import Portfolio
from engine.model.times import utc_minute
from engine.portfolio.file import read_portfolio
from engine.settings.settings import Settings

log = structlog.get_logger(__name__)

WAITING_MAX = 8
KEPT = 30
JOB_MAX_S = 6 * 3600.0


class BacktestRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is told. `database`: a URL to store the result at, "" for nowhere.

    `files` are the operator's strategies in the directory `strategies`, content by path.
    """

    spec: BacktestSpec
    portfolio: Portfolio
    data: str
    strategies: str
    database: str = ""
    files: dict[str, bytes] = {}


class JobProgress(msgspec.Struct, frozen=True, kw_only=True):
    """What the child tells: how far it is; at the end the result in short."""

    progress_frac: float
    text: str = ""
    result_id: int = 0


class _Job:
    """A job's state, changed under the lock of `Jobs`."""

    def __init__(self, view: JobView, request: BacktestRequest) -> None:
        self.view = view
        self.request = request
        self.child: Child | None = None
        self.started_s = 0.0

    def become(self, **changes: object) -> None:
        self.view = msgspec.structs.replace(self.view, **changes)


class Jobs:
    """All jobs of one engine's life; any thread.

    Args:
        log_dir: where the child's stderr goes.
        module: the child's, "" where backtests cannot be launched.
        database: the URL to store results at, "" while there is none.
        on_end: told in words what became of a job, with a log level.
        now_ns: the box's clock.
        hidden: what the child may not read: it runs strategies' code.
    """

    def __init__(
        self,
        log_dir: Path,
        *,
        module: str,
        hidden: Sequence[Path] = (),
        database: Callable[[], str],
        on_end: Callable[[str, str], None],
        now_ns: Callable[[], int],
    ) -> None:
        self._log_dir = log_dir
        self._module = module
        self._hidden = hidden
        self._database = database
        self._on_end = on_end
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._jobs: deque[_Job] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._last_id = 0

    def launch(
        self, spec: BacktestSpec, portfolio: Portfolio, data: Path, strategies: Path, by: str
    ) -> JobView:
        """Queue a backtest on the bars in `data`; `strategies` may hold kinds of one's own.

        Raises:
            Refused: too many wait already.
        """
        if not self._module:
            raise Refused("this engine was started without backtests")
        title = _title(spec)
        request = BacktestRequest(
            spec=spec, portfolio=portfolio, data=str(data), strategies=str(strategies)
        )
        with self._lock:
            n_waiting = sum(job.view.state == "WAITING" for job in self._jobs)
            if n_waiting >= WAITING_MAX or self._closed:
                raise Refused(f"{n_waiting} backtests wait already: cancel one, or wait")
            self._last_id += 1
            view = JobView(
                id=self._last_id, state="WAITING", title=title, by=by, queued_ns=self._now_ns()
            )
            self._jobs.append(_Job(view, request))
            self._forget()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
                self._thread.start()
            return view

    def cancel(self, job_id: int, by: str) -> JobView:
        """End a job, at once.

        Raises:
            UserError: there is none.
            Refused: it has ended.
        """
        with self._lock:
            job = next((job for job in self._jobs if job.view.id == job_id), None)
            if job is None:
                raise UserError(f"there is no job {job_id}")
            if job.view.state not in ("WAITING", "RUNNING"):
                raise Refused(f"job {job_id} is {job.view.state} already")
            job.become(state="CANCELLED", ended_ns=self._now_ns(), text=f"by {by}")
            child = job.child
        if child is not None:
            child.kill()
        return job.view

    def views(self) -> tuple[JobView, ...]:
        """Return the jobs, newest first."""
        with self._lock:
            return tuple(_timed(job) for job in reversed(self._jobs))

    def close(self) -> None:
        """End everything."""
        with self._lock:
            self._closed = True
            open_ids = [j.view.id for j in self._jobs if j.view.state in ("WAITING", "RUNNING")]
        for job_id in open_ids:
            try:
                self.cancel(job_id, "the engine's stop")
            except PmproError:  # it ended by itself
                continue

    def _forget(self) -> None:
        while len(self._jobs) > KEPT and self._jobs[0].view.state not in ("WAITING", "RUNNING"):
            self._jobs.popleft()

    def _next(self) -> _Job | None:
        with self._lock:
            for job in self._jobs:
                if job.view.state == "WAITING":
                    job.become(state="RUNNING", started_ns=self._now_ns())
                    job.started_s = time.monotonic()
                    return job
            self._thread = None
            return None

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._carry_out(job)
            except Exception as error:  # border: thread
                log.exception("job_failed", job=job.view.id)
                self._end(job, "FAILED", f"{type(error).__name__}: {error}")

    def _carry_out(self, job: _Job) -> None:
        child = Child(
            self._module,
            [job.request.data, *map(str, self._hidden)],
            name="backtest",
            log_path=self._log_dir / "backtests.log",
            others=True,
        )
        last = JobProgress(progress_frac=0.0)

        def on_frame(frame: bytes) -> None:
            nonlocal last
            last = msgspec.json.decode(frame, type=JobProgress)
            with self._lock:
                job.become(progress_frac=last.progress_frac)

        try:
            with self._lock:
                job.child = child
                if job.view.state != "RUNNING":  # cancelled before there was a child to kill
                    return
            request = msgspec.structs.replace(
                job.request,
                database=self._database(),
                files=read_files(strategy_files(Path(job.request.strategies))),
            )
            child.call(msgspec.json.encode(request), timeout_s=JOB_MAX_S, on_frame=on_frame)
            with self._lock:
                job.become(result_id=last.result_id)
            self._end(job, "DONE", last.text)
        except ChildError as error:
            self._end(job, "FAILED", why_failed(error, self._log_dir / "backtests.log"))
        finally:
            child.close()

    def _end(self, job: _Job, state: str, text: str) -> None:
        with self._lock:
            if job.view.state != "RUNNING":
                return
            job.become(state=state, ended_ns=self._now_ns(), text=text)
        level = "info" if state == "DONE" else "warning"
        self._on_end(level, f"{job.view.title}: {state} {text}".strip())


def why_failed(error: ChildError, log_path: Path) -> str:
    """Return why a child's work failed: its own words, or where to look."""
    if isinstance(error, ChildFailed):
        return str(error).rpartition("JobFailed: ")[2]
    return f"{error}: see {log_path}"


def _timed(job: _Job) -> JobView:
    """Return the view with how long it will still take, by its pace so far."""
    done = job.view.progress_frac
    if job.view.state != "RUNNING" or not done > 0.0:
        return job.view
    took_s = time.monotonic() - job.started_s
    eta_s = took_s * (1.0 - done) / done if done < 1.0 else math.nan
    return msgspec.structs.replace(job.view, eta_s=eta_s)


def _title(spec: BacktestSpec) -> str:
    """Return what is tested, in words: two that differ are told apart."""
    changes = spec.variant
    parts = [f"{spec.portfolio or 'running portfolio'} {spec.from_day} to {spec.to_day}"]
    if changes.symbols:
        parts.append(" ".join(changes.symbols))
    if changes.commission_per_lot_ccy is not None:
        parts.append(f"commission {changes.commission_per_lot_ccy:g}")
    if changes.spread_points is not None:
        parts.append(f"spread {changes.spread_points:g}")
    return ", ".join(parts)


FILES_MAX = 100


class Launches:
    """Turns `backtest` and `cancel` into jobs."""

    def __init__(self, jobs: Jobs, settings: Settings) -> None:
        self._jobs = jobs
        self._directory = settings.portfolio_path.parent
        self._strategies = settings.strategies_path
        self.data = settings.backtest.data or settings.demo.data

    def cancel(self, job: str, by: str) -> str:
        """End the job of that number; return what was done.

        Raises:
            UserError: there is none.
            Refused: it has ended.
        """
        if not job.isdecimal():
            raise UserError(f"{job!r} is no number of a job")
        return f"cancelled {self._jobs.cancel(int(job), by).title}"

    def launch(self, text: str, running: Portfolio, by: str) -> str:
        """Launch the backtest that the JSON of a `BacktestSpec` asks for; return what was done.

        Raises:
            UserError: it cannot be done as it is asked for.
            Refused: too many wait.
        """
        if self.data is None:
            raise UserError("no bars to test on: set backtest.data in the configuration")
        spec = _spec(text)
        portfolio = self._portfolio(spec.portfolio) if spec.portfolio else running
        view = self._jobs.launch(spec, portfolio, self.data, self._strategies, by)
        return f"backtest {view.id} queued: {view.title}"

    def portfolios(self) -> tuple[str, ...]:
        """Return the portfolio files beside the running one's, by name."""
        files = sorted(self._directory.glob("*.toml"))[:FILES_MAX]
        return tuple(path.name for path in files if _is_portfolio(path))

    def _portfolio(self, name: str) -> Portfolio:
        # From the list alone: no path of an operator's choice is read.
        if name not in self.portfolios():
            hint = meant(name, self.portfolios())
            raise UserError(f"there is no portfolio {name!r} beside the running one{hint}")
        return read_portfolio(self._directory / name)


def _spec(text: str) -> BacktestSpec:
    try:
        spec = msgspec.json.decode(text, type=BacktestSpec)
    except msgspec.MsgspecError as error:
        raise UserError(f"no backtest: {error}") from None
    if _minute(spec.from_day) >= _minute(spec.to_day):
        raise UserError(f"{spec.from_day} must be before {spec.to_day}")
    return spec


def _minute(text: str) -> int:
    try:
        return utc_minute(text)
    except ValueError as error:
        raise UserError(f"{text[:40]!r} {error}") from None


def _is_portfolio(path: Path) -> bool:
    try:
        return path.is_file() and "strategy" in read_toml(path)
    except ConfigError:
        return False
