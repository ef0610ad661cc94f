"""Checks of strategies in this process: the child's work, and what tests of a strategy call."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np

from engine.model.errors import StrategyError
from engine.model.server_clock import ServerClock
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import iso_utc
from pmpro_tui.checking.bars import series_for
from pmpro_tui.checking.records import (
    AskAnswers,
    BarsWanted,
    Begun,
    CheckReport,
    Found,
    Job,
    KindInfo,
    Kinds,
    ParameterInfo,
    Said,
    Subject,
    Value,
)
from strategies.base import Columns, Strategy
from strategies.checker import Cut, Means, answers, check, cuts_of, own_file
from strategies.checks.sources import sources
from strategies.checks.watch import CodeWatch, loading
from strategies.loader import load_file
from strategies.registry import KINDS, create, kind_of, parameters

_SLOW_TO_IMPORT = ("pandas", "numba", "talib", "scipy", "sklearn")

_loading = CodeWatch()
_files: set[str] = set()


def check_file(
    path: Path | str,
    *,
    kind: str = "",
    symbol: str = "EURUSD",
    timeframe: str = "M1",
    params: Mapping[str, Value] | None = None,
    data: Path | str = "",
    seed: int = 1,
) -> list[CheckReport]:
    """Return a report of each kind that a file defines, or of `kind` alone, for use in tests.

    The file is imported here. Without `data`, a directory of bar files, bars are generated.

    Raises:
        UserError: the file, a parameter or the data is wrong.
    """
    found = _load(Path(path).resolve())
    if kind and kind not in found:
        raise StrategyError(f"{path} defines {', '.join(found)}, not {kind!r}")
    return [
        _report(
            Job(
                subject=Subject(
                    kind=name, symbol=symbol, timeframe=timeframe, params=dict(params or {})
                ),
                files=[],
                wanted=BarsWanted(data=str(data), seed=seed),
                specs=DEFAULT_SYMBOLS,
            )
        )
        for name in ([kind] if kind else dict.fromkeys(found))
    ]


def _report(job: Job) -> CheckReport:
    begun, *rest = run_check(job)
    assert isinstance(begun, Begun)
    return CheckReport(strategy=begun, findings=[f.finding for f in rest if isinstance(f, Found)])


def run_check(job: Job) -> Iterator[Begun | Found | Said]:
    """Yield what is checked, each finding once known, and what the strategy says."""
    with sources():
        yield from _run_check(job)


def _run_check(job: Job) -> Iterator[Begun | Found | Said]:
    watch = CodeWatch()
    strategy, series, from_ns = _prepare(job, watch.run_slowly)
    yield _begun(job, strategy, series, from_ns)
    others = _files - {own_file(strategy)}
    watch.hear_of(use for use in _loading.uses.values() if use.path not in others)
    means = Means(
        np.random.default_rng(job.wanted.seed),
        time.perf_counter,
        job.spend_s,
        job.deadline_share_s,
    )
    broken = False
    for finding in check(strategy, series, means, from_ns, watch):
        broken |= finding.check == "contract" and finding.status == "fail"
        yield Found(finding)
    if broken:
        yield Said("")
        return
    cuts = cuts_of(strategy, series, from_ns)
    said = answers(strategy, series, from_ns, cuts)
    ends = [iso_utc(int(series[0].time_ns[cut.stop - 1])) for cut in cuts]
    yield Said(said.whole, [(cut.start, cut.stop) for cut in cuts], said.cuts, ends)


def run_answers(ask: AskAnswers) -> Said:
    """Return what a strategy says in this process."""
    strategy, series, from_ns = _prepare(ask.job)
    cuts = [Cut(*cut) for cut in ask.cuts]
    try:
        said = answers(strategy, series, from_ns, cuts, backwards=ask.backwards)
    except StrategyError:
        return Said("")
    return Said(said.whole, ask.cuts, said.cuts)


def load_kinds(files: list[str], *, required: bool) -> Kinds:
    """Load files and return all kinds.

    Raises:
        StrategyError: a file that is required cannot be loaded.
    """
    owner: dict[str, str] = {}
    faults = []
    for file in files:
        try:
            owner |= dict.fromkeys(_load(Path(file)), file)
        except StrategyError as error:
            if required:
                raise
            faults.append(str(error))
    return Kinds([_kind_info(kind, owner.get(kind, "")) for kind in KINDS], faults)


def _load(path: Path) -> list[str]:
    """Load a file and hear what it does."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        text = path.read_text(encoding="utf-8")
        for name in (name for name in _SLOW_TO_IMPORT if name in text):
            with contextlib.suppress(ImportError):
                import_module(name)  # here, as it takes longer where every call is heard
    _files.add(str(path))
    with sources(), loading(_loading):
        return _loading.run_slowly(load_file, path)


def _kind_info(kind: str, file: str) -> KindInfo:
    cls = KINDS[kind]
    module = sys.modules.get(cls.__module__)
    text = (getattr(module, "__doc__", "") or cls.__doc__ or "").strip()
    return KindInfo(
        kind=kind,
        file=file,
        n_symbols=cls.n_symbols,
        summary=text.split("\n", maxsplit=1)[0],
        parameters=[
            ParameterInfo(
                name=p.name,
                type=p.type.__name__,
                default=p.default,
                low=p.low,
                high=p.high,
                choices=p.choices,
                unit=p.unit,
                description=p.description,
                allowed=p.allowed,
            )
            for p in parameters(cls.params_type)
        ],
    )


def _prepare(
    job: Job, run: Callable[[Callable[[], Strategy]], Strategy] = lambda make: make()
) -> tuple[Strategy, list[Columns], int]:
    """Return the strategy, made by `run`, with the bars of its inputs and where history ends."""
    subject = job.subject
    faults = load_kinds(job.files, required=False).faults
    if subject.kind not in KINDS and faults:
        raise StrategyError("; ".join(faults))
    others = subject.others or _others(subject, job)
    for symbol in (subject.symbol, *others):
        if symbol not in job.specs:
            raise StrategyError(
                f"symbol {symbol!r} is unknown: describe it in [symbols] of the portfolio file"
            )
    point = job.specs[subject.symbol].point
    where = (subject.symbol, subject.timeframe, point, subject.name, others)
    strategy = run(partial(create, subject.kind, subject.params, *where))
    return strategy, *series_for(strategy, job.wanted, job.specs, ServerClock(job.server_clock))


def _others(subject: Subject, job: Job) -> list[str]:
    """Return as many further symbols as the kind asks for."""
    usual = [name for name in job.specs if name != subject.symbol]
    return usual[: kind_of(subject.kind).n_symbols - 1]


def _begun(job: Job, strategy: Strategy, series: list[Columns], from_ns: int) -> Begun:
    bars = series[0]
    first = int(np.searchsorted(bars.time_ns, from_ns))
    if first >= bars.n:
        raise StrategyError(
            f"{strategy.symbol} {strategy.timeframe.name}: no closed bar to check on: "
            "give an earlier --from or a later --to"
        )
    wanted = job.wanted
    return Begun(
        name=strategy.name,
        kind=strategy.kind,
        symbols=list(strategy.symbols),
        timeframe=strategy.timeframe.name,
        params={p.name: getattr(strategy.params, p.name) for p in parameters(strategy.params_type)},
        warmup=strategy.warmup,
        bars=wanted.data or f"generated, seed {wanted.seed}",
        first=iso_utc(int(bars.time_ns[first])),
        last=iso_utc(int(bars.time_ns[-1])),
    )


def lower_priority() -> None:
    """Let the engine and its hosts go first."""
    if hasattr(os, "nice"):
        os.nice(10)
