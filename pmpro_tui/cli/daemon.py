"""The engine's process: `python -m pmpro_tui.cli.daemon`, also run by `pmpro-tui --daemon`."""

import sys
from collections.abc import Mapping
from pathlib import Path

from engine.model.bars import Bars
from engine.runtime.settings import Settings, load_settings

_ALWAYS_NS = (0, 2**62)


def run_engine(config: Path | None, *, demo: bool, data: Path | None) -> int:
    """Run the engine on this thread until SIGTERM; JSON lines on stdout; return the exit code."""
    settings = settings_for(config, demo=demo, data=data)
    from engine.runtime import daemon

    return daemon.run(settings, prices=recorded_prices(settings))


def settings_for(config: Path | None, *, demo: bool, data: Path | None) -> Settings:
    """Return the settings that `pmpro-tui`'s options mean."""
    return load_settings(config, mode="demo" if demo else None, overrides={"demo.data": data})


def recorded_prices(settings: Settings) -> Mapping[str, Bars] | None:
    """Return the bars that the demo replays; None where prices are generated or real."""
    if settings.mode != "demo" or settings.demo.data is None:
        return None
    from backtest.data import load_bars
    from engine.portfolio.file import read_portfolio

    portfolio = read_portfolio(settings.portfolio_path)
    symbols = dict.fromkeys(strategy.symbol for strategy in portfolio.strategy)
    return load_bars(settings.demo.data, symbols, *_ALWAYS_NS)


def main() -> None:
    """Run as the console's detached child: same options, errors as one line on stderr."""
    from pmpro_tui.cli import tui

    sys.argv.append("--daemon")
    tui.main()


if __name__ == "__main__":
    main()
