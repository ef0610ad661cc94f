"""Checks of strategies in this process: the child's work, and what tests of a strategy call."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from engine.model.errors import StrategyError
from engine.model.server_clock import ServerClock
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import iso_utc
from pmpro_tui.checking.bars import series_for
from pmpro_tui.checking.records import (
    BarsWanted,
    Begun,
    Digest,
    Found,
    Job,
    KindInfo,
    Kinds,
    ParameterInfo,
    Report,
    Subject,
    Value,
)
from strategies.base import Columns, Strategy
from strategies.checker import Means, check, output_digest
from strategies.loader import load_file
from strategies.registry import KINDS, create, kind_of, parameters


def check_file(
    path: Path | str,
    *,
    kind: str = "",
    symbol: str = "EURUSD",
    timeframe: str = "M1",
    params: Mapping[str, Value] | None = None,
    data: Path | str = "",
    seed: int = 1,
) -> list[Report]:
    """Return a report of each kind that a file defines, or of `kind` alone, for use in tests.

    The file is imported here. Without `data`, a directory of bar files, bars are generated.

    Raises:
        UserError: the file, a parameter or the data is wrong.
    """
    found = load_file(Path(path).resolve())
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


def _report(job: Job) -> Report:
    begun, *rest = run_check(job)
    assert isinstance(begun, Begun)
    return Report(strategy=begun, findings=[f.finding for f in rest if isinstance(f, Found)])


def run_check(job: Job) -> Iterator[Begun | Found | Digest]:
    """Yield what is checked, each finding once known, and the output's digest."""
    strategy, series, from_ns = _prepare(job)
    yield _begun(job, strategy, series, from_ns)
    means = Means(
        np.random.default_rng(job.wanted.seed),
        time.perf_counter,
        job.spend_s,
        job.deadline_share_s,
    )
    broken = False
    for finding in check(strategy, series, means, from_ns):
        broken |= finding.check == "contract" and finding.status == "fail"
        yield Found(finding)
    yield Digest("" if broken else output_digest(strategy, series, from_ns))


def run_digest(job: Job) -> Digest:
    """Return the digest of what a strategy says."""
    strategy, series, from_ns = _prepare(job)
    try:
        return Digest(output_digest(strategy, series, from_ns))
    except StrategyError:
        return Digest("")


def load_kinds(files: list[str], *, required: bool) -> Kinds:
    """Load files and return all kinds.

    Raises:
        StrategyError: a file that is required cannot be loaded.
    """
    owner: dict[str, str] = {}
    faults = []
    for file in files:
        try:
            owner |= dict.fromkeys(load_file(Path(file)), file)
        except StrategyError as error:
            if required:
                raise
            faults.append(str(error))
    return Kinds([_kind_info(kind, owner.get(kind, "")) for kind in KINDS], faults)


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


def _prepare(job: Job) -> tuple[Strategy, list[Columns], int]:
    """Return the strategy with the bars of its inputs and where their history ends."""
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
    strategy = create(
        subject.kind,
        subject.params,
        subject.symbol,
        subject.timeframe,
        job.specs[subject.symbol].point,
        subject.name,
        others,
    )
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
