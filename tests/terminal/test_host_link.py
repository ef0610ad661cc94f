"""Restarts of the terminal host: at once, then ever later, never more than half a minute."""

import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from engine.model.errors import BrokerError
from engine.terminal import host_link
from engine.terminal.host_link import HostLink
from engine.terminal.protocol import HostConfig


def link_to(tmp_path: Path, module: str = "no_such_module") -> HostLink:
    return HostLink(
        HostConfig(module=module, lock_path=str(tmp_path / "host.lock")),
        start_s=20,
        prepare=lambda ask: None,
        on_event=lambda body: None,
        on_lost=lambda: None,
    )


def test_waits_between_starts_double_up_to_a_limit(tmp_path: Path) -> None:
    """The first restart does not wait; each further one within five minutes waits twice as long,
    30 s at most; starts of long ago are forgotten."""
    link, waits_s = link_to(tmp_path), []
    for _ in range(12):
        link._starts_s.append(time.monotonic())
        waits_s.append(link._backoff_s())
    assert waits_s[:2] == [0.0, host_link._BACKOFF_FIRST_S]
    assert all(later in (2 * sooner, 30.0) for sooner, later in pairwise(waits_s[1:]))
    assert waits_s[-1] == 30.0
    link._starts_s.clear()
    link._starts_s.append(time.monotonic() - 301.0)
    assert link._backoff_s() == 0.0


def test_a_first_start_that_fails_is_told_and_leaves_nothing_running(tmp_path: Path) -> None:
    """What the first host cannot do is the caller's error, in one line; no thread goes on."""
    link = link_to(tmp_path)
    with pytest.raises(BrokerError, match="'no_such_module'"):
        link.start()
    assert link.pid == 0
    link.close(1.0)
    assert not any(t.name == "terminal-supervisor" for t in threading.enumerate())
