"""The operator's own strategy files: found and read, never imported in the engine's process."""

from pathlib import Path


def strategy_files(directory: Path) -> list[Path]:
    """Return the Python files in a directory, by name; tests and hidden files are none."""
    if not directory.is_dir():
        return []
    return [
        path
        for path in sorted(directory.glob("*.py"))
        if path.is_file() and not path.name.startswith(("test_", "_", "."))
    ]
