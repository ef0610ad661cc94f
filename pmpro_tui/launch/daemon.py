"""The engine's process: `python -m pmpro_tui.launch.daemon`, also run by `pmpro-tui --daemon`."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.child.output import open_file
from engine.files.trust import private_directory
from engine.model.errors import UserError
from engine.model.jobs import JobModules
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, from_datetime
from engine.settings.settings import Settings, load_settings
from pmpro_tui.cli.doctor.surroundings import require_files

if TYPE_CHECKING:
    from engine.replay.setup import Recorded

# Bars before the start, and bars to play: at 60× a demo of 60 days lasts a day.
WARM_UP_NS = 14 * NS_PER_DAY
REPLAYED_NS = 60 * NS_PER_DAY
# Children of the engine that research provides.
JOBS = JobModules(backtest="pmpro_tui.jobs.backtest", parity="pmpro_tui.jobs.parity")
_LOG_MAX_BYTES = 20_000_000


def run_engine(
    config: Path | None, *, demo: bool, data: Path | None, strategies: Path | None = None
) -> int:
    """Run the engine on this thread until SIGTERM; JSON lines on stdout; return the exit code."""
    require_files()
    settings = settings_for(config, demo=demo, data=data, strategies=strategies)
    from engine.runtime import daemon

    return daemon.run(settings, jobs=JOBS, recorded=recorded_prices(settings))


def settings_for(
    config: Path | None, *, demo: bool, data: Path | None, strategies: Path | None = None
) -> Settings:
    """Return the settings that `pmpro-tui`'s options mean.

    Raises:
        UserError: there is no directory `strategies`, or the configuration is wrong.
    """
    if strategies is not None and not strategies.is_dir():
        raise UserError(f"--strategies {strategies}: there is no such directory")
    return load_settings(
        config,
        mode="demo" if demo else None,
        overrides={"demo.data": data, "strategies_dir": strategies},
    )


def recorded_prices(settings: Settings) -> "Recorded | None":
    """Return the bars that the demo replays; None where prices are generated or real.

    It begins at `demo.start`, by default as soon as every symbol has bars enough to warm up.
    """
    if settings.mode != "demo" or settings.demo.data is None:
        return None
    from backtest.data.load import common_start, load_bars
    from engine.portfolio.compile import compile_portfolio
    from engine.portfolio.file import read_portfolio
    from engine.replay.setup import Recorded

    directory = settings.demo.data
    compiled = compile_portfolio(read_portfolio(settings.portfolio_path))
    symbols = [spec.name for spec in compiled.symbols]
    if settings.demo.start is not None:
        start_ns = from_datetime(settings.demo.start)
    else:
        start_ns = common_start(directory, symbols) + WARM_UP_NS
    period = start_ns - WARM_UP_NS, start_ns + REPLAYED_NS
    bars, notes, _ = load_bars(directory, compiled.symbols, *period)
    return Recorded(bars, start_ns - start_ns % NS_PER_MINUTE, tuple(notes))


def daemon_log(settings: Settings) -> tuple[Path, str]:
    """Return the detached engine's log, made ready, a long one set aside; and "".

    Where the disk does not let it be: a place that takes everything, and why.
    """
    folder = settings.state_path / "logs"
    path = folder / "daemon.log"
    try:
        private_directory(settings.state_path)
        private_directory(folder)
        if path.exists() and path.stat().st_size > _LOG_MAX_BYTES:
            path.replace(path.with_suffix(".log.1"))
        if path.exists() and not path.is_file():
            return Path(os.devnull), f"{path} is no file"
        open_file(path).close()
    except OSError as error:
        return Path(os.devnull), f"{error.filename or path} cannot be written: {error.strerror}"
    return path, ""


def main() -> None:
    """Run as the console's detached child: same options, errors as one line on stderr."""
    from pmpro_tui.launch import tui

    sys.argv.append("--daemon")
    tui.main()


if __name__ == "__main__":
    main()
