"""Fixtures shared by all tests."""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.left_servers import end_left, mark_session, now_s

REPO = Path(__file__).resolve().parents[1]

# A checkout may belong to another user than who runs the tests, in a container.
if (_owner := REPO.stat().st_uid) not in (0, os.geteuid()):
    os.environ["PMPRO_TRUST"] = str(_owner)
# Children run modules of `tests`, and with a safe path only this makes them importable.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPO), os.environ.get("PYTHONPATH")]))


_started: list[tuple[float, str]] = []


def pytest_runtest_logstart(nodeid: str) -> None:
    """Remember which test ran when."""
    _started.append((now_s(), nodeid))


# The first of all session fixtures, so that it ends last: each worker's own under xdist.
@pytest.fixture(autouse=True, scope="session")
def _no_server_survives() -> Iterator[None]:
    """A PostgreSQL that this session has started and left running fails its last test."""
    mark = mark_session()
    yield
    if left := end_left(mark, _started):
        pytest.fail("\n".join(left), pytrace=False)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Directory of real market data: PMPRO_DATA_DIR, else `../shared/data` beside the project."""
    path = Path(os.environ.get("PMPRO_DATA_DIR") or REPO.parent / "shared" / "data")
    if not any(path.glob("*_M1_*.parquet")):
        pytest.skip(f"no market data in {path}: set PMPRO_DATA_DIR")
    return path


@pytest.fixture(autouse=True, scope="session")
def _quiet_log() -> None:
    """Log warnings and worse only: a replay logs a line a terminal call."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """Take back where a command that a test ran in this process sent its log."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(autouse=True)
def _built_in_kinds_alone() -> Iterator[None]:
    """Take out the kinds of strategies that a test's files brought into this process."""
    yield
    if loader := sys.modules.get("strategies.loader"):
        loader._loaded.clear()
    if registry := sys.modules.get("strategies.registry"):
        for kind, cls in list(registry.KINDS.items()):
            if not cls.__module__.startswith("strategies.library."):
                del registry.KINDS[kind]
