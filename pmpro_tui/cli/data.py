"""`pmpro data generate`: bar files of generated prices, to try backtests without data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.model.errors import UserError
from engine.model.near import meant
from pmpro_tui.cli.app import App
from pmpro_tui.cli.backtest.options import From, To, parse_period
from pmpro_tui.cli.output import Config, Json, Mode, print_json, print_line

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.model.bars import Bars

app = App()

Directory = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Directory of the files; created if it does not exist."),
]
Symbols = Annotated[
    list[str] | None,
    typer.Option(
        "--symbol",
        metavar="S",
        help="Only this symbol; repeat for more. Default: the portfolio's symbols.",
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", help="Seed of the prices; equal seeds give equal prices.")
]


@app.callback()
def data() -> None:
    """Write files of bars."""


@app.command()
def generate(
    directory: Directory,
    from_: From = "2024-09-01",
    to: To = "2025-04-01",
    symbol: Symbols = None,
    seed: Seed = 1,
    config: Config = None,
    mode: Mode = None,
    json: Json = False,
) -> None:
    """Write one-minute bars of generated prices, one file per symbol, like the demo's."""
    from engine.portfolio.compile import compile_portfolio
    from engine.portfolio.file import read_portfolio
    from engine.settings.settings import load_settings
    from engine.terminal.simulated.prices.generated import GeneratedSource

    first, last = parse_period(from_, to)
    compiled = compile_portfolio(read_portfolio(load_settings(config, mode=mode).portfolio_path))
    specs = [spec for spec in compiled.symbols if not symbol or spec.name in symbol]
    if missing := set(symbol or ()) - {spec.name for spec in specs}:
        known = ", ".join(spec.name for spec in compiled.symbols)
        hint = meant(min(missing), [spec.name for spec in compiled.symbols]) or ":"
        raise UserError(f"the portfolio has no symbol {min(missing)!r}{hint} {known}")
    source = GeneratedSource(seed, specs)
    period = "-".join(text[:10].replace("-", "") for text in (from_, to))
    paths = [directory / f"{spec.name}_M1_{period}_generated.parquet" for spec in specs]
    for path in paths:
        if path.exists():
            raise UserError(f"{path} exists: move it away, or name another directory")
    _make(directory)
    for spec, path in zip(specs, paths, strict=True):
        _write(path, _table(source.bars(spec.name, first, last)))
        if not json:
            print_line(f"wrote {path}")
    if json:
        print_json({"files": [str(path) for path in paths]})


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {directory}: {error.strerror}") from None


def _table(bars: "Bars") -> "pa.Table":
    import pyarrow as pa

    columns = {"time": pa.array(bars["time_ns"], pa.timestamp("ns", "UTC"))}
    prices = {name: pa.array(bars[name]) for name in ("open", "high", "low", "close", "volume")}
    return pa.table({**columns, **prices, "spread": pa.array(bars["spread"])})


def _write(path: Path, table: "pa.Table") -> None:
    """Write a file whole or not at all."""
    import pyarrow.parquet as pq

    draft = path.with_name(f".{path.name}.draft")
    try:
        pq.write_table(table, draft)
        draft.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        draft.unlink(missing_ok=True)
