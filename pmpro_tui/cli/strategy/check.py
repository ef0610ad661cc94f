"""`pmpro strategy check`: is a strategy the pure function of closed bars that it must be?

Users' code runs in child processes alone: what it does to them becomes one line.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.files.places import absolute
from engine.model.errors import ConfigError, UserError
from engine.model.near import meant
from pmpro_tui.cli.backtest.options import Source, parse_time
from pmpro_tui.cli.output import Config, Json, Mode, print_json, print_line
from pmpro_tui.cli.own_strategies import Strategies, settings_with
from pmpro_tui.cli.strategy.options import Others, Param, parse_param
from pmpro_tui.cli.tables import print_table

if TYPE_CHECKING:
    from engine.model.portfolio import Portfolio
    from engine.settings.settings import Settings
    from pmpro_tui.checking.client import Checkers
    from pmpro_tui.checking.records import BarsWanted, CheckReport, Job, Subject

# A process's share of strategies of a large portfolio: its deadline is shared by so many.
_SHARING = 50
_SPENT = 0.25
"""Of the deadline, what the slowest checks may take: the rest is compiling and loading bars."""

What = Annotated[
    str,
    typer.Argument(metavar="NAME|FILE.py", help="A strategy of the portfolio, a kind, or a file."),
]
Kind = Annotated[str, typer.Option("--kind", help="Check only this kind of the file.")]
Symbol = Annotated[
    str,
    typer.Option("--symbol", help="Symbol to check on. Default: the strategy's own, else EURUSD."),
]
TimeframeName = Annotated[
    str, typer.Option("--timeframe", help="M1, M5, … D1. Default: the strategy's own, else M1.")
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Directory of bar files. Default: generated bars."),
]
From = Annotated[str, typer.Option("--from", metavar="D", help="Open of the first bar, UTC.")]
To = Annotated[str, typer.Option("--to", metavar="D", help="End: bars open before this time, UTC.")]
Seed = Annotated[
    int, typer.Option("--seed", min=0, help="Seed of the generated bars and the random cuts.")
]
Deadline = Annotated[
    float,
    typer.Option(
        "--deadline", min=1.0, metavar="S", help="Seconds that the checks of a strategy may take."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


def check(
    what: What,
    kind: Kind = "",
    symbol: Symbol = "",
    other: Others = None,
    timeframe: TimeframeName = "",
    param: Param = None,
    data: DataDir = None,
    source: Source = None,
    from_: From = "",
    to: To = "",
    seed: Seed = 1,
    deadline: Deadline = 120.0,
    strategies: Strategies = None,
    config: Config = None,
    mode: Mode = None,
    json: Json = False,
) -> None:
    """Check a strategy for lookahead, a short warm-up, randomness and broken contracts."""
    from engine.hosts.private_places import private_places
    from pmpro_tui.checking.client import checkers
    from pmpro_tui.checking.records import BarsWanted

    settings = settings_with(config, mode, strategies)
    wanted = BarsWanted(
        data="" if data is None else str(absolute(data)),
        source=source,
        from_ns=parse_time("--from", from_) if from_ else None,
        to_ns=parse_time("--to", to) if to else None,
        seed=seed,
    )
    given: dict[str, Any] = {
        "symbol": symbol,
        "others": other or [],
        "timeframe": timeframe,
        "params": dict(parse_param(text) for text in param or []),
    }
    given = {key: value for key, value in given.items() if value}
    memory_mb = settings.strategy_hosts.memory_max_mb
    with (
        _told(quiet=json) as told,
        checkers(
            deadline_s=deadline, memory_max_mb=memory_mb, hidden=private_places(settings)
        ) as pair,
    ):
        subjects, files = _subjects(pair, settings, what, kind, given)
        jobs = [_job(settings, subject, files, wanted, deadline) for subject in subjects]
        reports = [pair.check(job, told) for job in jobs]
    _show(reports, json=json)
    if any(report.failures for report in reports):
        raise typer.Exit(1)


@contextmanager
def _told(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show what is under way on stderr where it is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status("loading") as status:
        yield lambda text: status.update(escape(text))


def _subjects(
    pair: "Checkers", settings: "Settings", what: str, kind: str, given: dict[str, Any]
) -> tuple[list["Subject"], list[str]]:
    """Return what is to be checked, and the files that may define it."""
    from pmpro_tui.checking.records import Subject

    if what.endswith(".py") or os.sep in what:
        file = str(absolute(Path(what)))
        infos = pair.kinds([file], required=True).kinds
        found = [info.kind for info in infos if info.file == file]
        if kind and kind not in found:
            raise UserError(f"{what} defines {', '.join(found)}, not {kind!r}{meant(kind, found)}")
        return [Subject(kind=name, **given) for name in ([kind] if kind else found)], [file]
    if kind:
        raise UserError("--kind needs a FILE.py: name the kind without the option, or a strategy")
    for spec in _portfolio(settings, needed=False).strategy:
        if spec.name == what:
            own = {
                "name": spec.name,
                "symbol": spec.symbol,
                "others": spec.others,
                "timeframe": spec.timeframe,
            }
            params = {**spec.params, **given.get("params", {})}
            subject = Subject(kind=spec.kind, **{**own, **given, "params": params})
            return [subject], _defining(pair, settings, spec.kind, what)
    return [Subject(kind=what, **given)], _defining(pair, settings, what, what)


def _defining(pair: "Checkers", settings: "Settings", kind: str, what: str) -> list[str]:
    """Return the users' files that are needed for a kind: none for one that is built in."""
    from engine.hosts.files import skipped_files, strategy_files

    if any(info.kind == kind for info in pair.kinds([], required=False).kinds):
        return []
    directory = settings.strategies_path
    files = [str(path) for path in strategy_files(directory)]
    known = pair.kinds(files, required=False)
    for info in known.kinds:
        if info.kind == kind:
            return [info.file]
    portfolio = _portfolio(settings, needed=True)  # says why a name may be unknown
    kinds = [info.kind for info in known.kinds]
    hint = meant(what, [*(spec.name for spec in portfolio.strategy), *kinds]) or ";"
    left_out = [*known.faults, *skipped_files(directory)]
    faults = f"; {'; '.join(left_out)}" if left_out else ""
    raise UserError(
        f"{what!r} is no strategy of {settings.portfolio_path} and no kind of pmpro or "
        f"{directory}{hint} kinds: {', '.join(kinds)}{faults}"
    )


def _portfolio(settings: "Settings", *, needed: bool) -> "Portfolio":
    """Return the portfolio file; a kind can be checked without one."""
    from engine.model.portfolio import Portfolio
    from engine.portfolio.file import read_portfolio

    try:
        return read_portfolio(settings.portfolio_path)
    except ConfigError:
        if needed:
            raise
        return Portfolio(server_clock=settings.terminal.server_clock)


def _job(
    settings: "Settings",
    subject: "Subject",
    files: list[str],
    wanted: "BarsWanted",
    deadline_s: float,
) -> "Job":
    from engine.model.symbols import DEFAULT_SYMBOLS
    from engine.portfolio.membership import symbol_spec
    from pmpro_tui.checking.records import Job

    portfolio = _portfolio(settings, needed=False)
    names = dict.fromkeys([*DEFAULT_SYMBOLS, *portfolio.symbols])
    return Job(
        subject=subject,
        files=files,
        wanted=wanted,
        specs={name: symbol_spec(portfolio, name) for name in names},
        server_clock=portfolio.server_clock,
        spend_s=_SPENT * deadline_s,
        deadline_share_s=settings.strategy_hosts.deadline_s / _SHARING,
    )


def _show(reports: list["CheckReport"], *, json: bool) -> None:
    if json:
        documents = [
            {"strategy": r.strategy, "findings": r.findings, "ok": not r.failures} for r in reports
        ]
        print_json({"ok": not any(r.failures for r in reports), "strategies": documents})
        return
    for report in reports:
        subject = report.strategy
        params = " ".join(f"{key}={value}" for key, value in subject.params.items())
        print_line(f"{subject.name}: {subject.kind} {params}, warm-up {subject.warmup}")
        print_table(
            f"{' '.join(subject.symbols)} {subject.timeframe}, {subject.bars}, "
            f"{subject.first} to {subject.last}",
            ("check", "verdict", "seen, and what to do"),
            [(f.check, f.status, f.text) for f in report.findings],
        )
        n_failed = len(report.failures)
        n_warned = sum(f.status == "warn" for f in report.findings)
        verdict = f"{n_failed} failed" if n_failed else "none failed"
        print_line(f"{len(report.findings)} checks, {verdict}, {n_warned} warned")
