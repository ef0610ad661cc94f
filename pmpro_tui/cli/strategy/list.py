"""`pmpro strategy list`: what runs, or which kinds there are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.model.errors import UserError
from pmpro_tui.cli.engine import connected_engine, newest_snapshot
from pmpro_tui.cli.output import Config, Json, Mode, print_json, print_line
from pmpro_tui.cli.own_strategies import Strategies, settings_with
from pmpro_tui.cli.tables import print_table

if TYPE_CHECKING:
    from engine.model.views.snapshot import Snapshot
    from pmpro_tui.checking.records import Kinds

_LOAD_S = 60.0

KindsOnly = Annotated[bool, typer.Option("--kinds", help="List all kinds with their parameters.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("list")(list_)


def list_(
    kinds: KindsOnly = False,
    strategies: Strategies = None,
    config: Config = None,
    mode: Mode = None,
    json: Json = False,
) -> None:
    """List the running engine's strategies, or all kinds."""
    if kinds:
        settings_with(config, mode, strategies)
        _show_kinds(known_kinds(config, mode, directory=strategies), json=json)
        return
    if strategies is not None:
        raise UserError("--strategies needs --kinds: a running engine has its own strategies")
    with connected_engine(config, mode) as client:
        snapshot = newest_snapshot(client)
    if json:
        print_json({"currency": snapshot.currency, "strategies": snapshot.strategies})
    else:
        _show(snapshot)


def known_kinds(config: Path | None, mode: str | None, *, directory: Path | None = None) -> "Kinds":
    """Return all kinds, those of users' files among them: read in a process of its own."""
    from engine.hosts.files import skipped_files, strategy_files
    from engine.hosts.private_places import private_places
    from engine.settings.settings import load_settings
    from pmpro_tui.checking.client import checkers
    from pmpro_tui.checking.records import Kinds

    settings = load_settings(config, mode=mode)
    directory = directory or settings.strategies_path
    files = [str(path) for path in strategy_files(directory)]
    memory_mb = settings.strategy_hosts.memory_max_mb
    hidden = private_places(settings)
    with checkers(deadline_s=_LOAD_S, memory_max_mb=memory_mb, hidden=hidden) as pair:
        known = pair.kinds(files, required=False)
    return Kinds(known.kinds, [*known.faults, *skipped_files(directory)])


def _show(snapshot: "Snapshot") -> None:
    print_table(
        f"{snapshot.mode} {snapshot.account} {snapshot.server}",
        (
            "strategy",
            "kind",
            "symbol",
            "book",
            "state",
            "signal",
            "confidence",
            "weight",
            "P&L today",
            "reason",
        ),
        [
            (
                s.name,
                s.kind,
                f"{s.symbol} {s.timeframe}",
                s.book,
                s.state,
                s.signal,
                f"{s.confidence:.2f}",
                f"{s.weight_frac:.1%}",
                f"{s.pnl_today_ccy:+z,.2f}",
                s.detail,
            )
            for s in snapshot.strategies
        ],
        least=("weight", "confidence", "kind", "P&L today", "book", "symbol"),
    )


def _show_kinds(known: "Kinds", *, json: bool) -> None:
    if json:
        print_json({"kinds": known.kinds, "faults": known.faults})
        return
    for info in known.kinds:
        where = f"  ({info.file})" if info.file else ""
        print_line(f"{info.kind}: {info.summary}{where}")
        print_table(
            "" if info.n_symbols == 1 else f"reads {info.n_symbols} symbols",
            ("parameter", "meaning", "default", "allowed"),
            [(p.name, p.description, p.default, p.allowed) for p in info.parameters],
            texts=("meaning", "allowed"),
        )
    for fault in known.faults:
        print_line(f"not loaded: {fault}")
