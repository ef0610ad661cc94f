"""What runs or decides in an engine belongs to its user or root: else it does not start."""

from engine.files.trust import require_trusted, trusted
from engine.hosts.files import candidates
from engine.settings.settings import Settings, demo_portfolio


def require_trusted_files(settings: Settings) -> None:
    """Refuse a configuration, portfolio or strategy that others could change or replace.

    State and run directory, compiled kernels and files of secrets are looked at where they are
    opened.

    Raises:
        ConfigError: option, path, mode, owner and what to run.
    """
    who = trusted()
    if settings.file is not None:
        require_trusted(settings.file, "configuration", who)
    if settings.portfolio_path != demo_portfolio():
        require_trusted(settings.portfolio_path, settings.where("portfolio"), who)
    directory = settings.strategies_path
    for path in (directory, *candidates(directory)):
        require_trusted(path, settings.where("strategies_dir"), who)
