"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]

# Children run modules of `tests`, and with a safe path only this makes them importable.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPO), os.environ.get("PYTHONPATH")]))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Directory of real market data: PMPRO_DATA_DIR, else `../shared/data` beside the project."""
    path = Path(os.environ.get("PMPRO_DATA_DIR") or REPO.parent / "shared" / "data")
    if not any(path.glob("*_M1_*.parquet")):
        pytest.skip(f"no market data in {path}: set PMPRO_DATA_DIR")
    return path
