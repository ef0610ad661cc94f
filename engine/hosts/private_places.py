"""What processes that run strategies' code may not read: secrets, journals, databases."""

from pathlib import Path

from engine.settings.settings import Settings

_MODES = ("demo", "paper", "live")
# Of an embedded server that was started as root.
_CLUSTERS = Path("/var/lib/pmpro/clusters")


def private_places(settings: Settings) -> list[Path]:
    """Return files of secrets, and the state directories of all engines of this configuration."""
    secrets = (
        settings.terminal.password_file,
        settings.terminal.token_file,
        settings.database.url_file,
        settings.alerts.urls_file,
        settings.control.tokens_file,
    )
    root = settings.state_root
    states = [] if not root.is_dir() else [p for p in root.iterdir() if _is_state(p.name)]
    return [
        *(path for path in secrets if path is not None),
        settings.state_path,
        *states,
        _CLUSTERS,
    ]


def _is_state(name: str) -> bool:
    return name.partition("-")[0] in _MODES
