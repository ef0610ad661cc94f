"""Backtests as commands: what may be launched, checked before anything waits for it."""

from pathlib import Path

import msgspec

from engine.model.errors import ConfigError, UserError
from engine.model.jobs import BacktestSpec
from engine.model.near import meant
from engine.model.portfolio import Portfolio
from engine.model.snapshot import Command
from engine.model.text_files import read_toml
from engine.model.times import utc_minute
from engine.portfolio.file import read_portfolio
from engine.runtime.jobs import Jobs
from engine.runtime.settings import Settings

FILES_MAX = 100


class Launches:
    """Turns `backtest` and `cancel` into jobs."""

    def __init__(self, jobs: Jobs, settings: Settings) -> None:
        self._jobs = jobs
        self._directory = settings.portfolio_path.parent
        self._strategies = settings.strategies_path
        self.data = settings.backtest.data or settings.demo.data

    def carry_out(self, command: Command, running: Portfolio, by: str) -> str:
        """Launch or cancel; return what was done.

        Raises:
            UserError: it cannot be done as it is asked for.
            Refused: too many wait.
        """
        if command.name == "cancel":
            if not command.target.isdecimal():
                raise UserError(f"{command.target!r} is no number of a job")
            return f"cancelled {self._jobs.cancel(int(command.target), by).title}"
        if self.data is None:
            raise UserError("no bars to test on: set backtest.data in the configuration")
        spec = _spec(command.text)
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
