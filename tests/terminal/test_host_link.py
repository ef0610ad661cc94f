"""Restarts of the terminal host: at once, then ever later, never more than half a minute."""

import threading
from itertools import pairwise
from pathlib import Path

import pytest

from engine.model.errors import BrokerError
from engine.model.times import NS_PER_S
from engine.terminal.host_link import HostLink
from engine.terminal.protocol import HostConfig


def link_to(tmp_path: Path, clock_ns: int = 0) -> HostLink:
    return HostLink(
        HostConfig(module="no_such_module", lock_path=str(tmp_path / "host.lock")),
        start_s=20,
        prepare=lambda ask: None,
        on_event=lambda body: None,
        on_lost=lambda: None,
        clock=lambda: clock_ns,
    )


def test_waits_between_starts_double_up_to_a_limit(tmp_path: Path) -> None:
    """The first restart does not wait; each further one within five minutes waits twice as long,
    30 s at most; starts of long ago are forgotten."""
    now_ns = 1_000 * NS_PER_S
    link, waits_s = link_to(tmp_path, now_ns), []
    for _ in range(12):
        link._starts_ns.append(now_ns)
        waits_s.append(link._pause_s())
    assert waits_s[:2] == [0.0, 0.25]
    assert all(later in (2 * sooner, 30.0) for sooner, later in pairwise(waits_s[1:]))
    assert waits_s[-1] == 30.0
    link._starts_ns.clear()
    link._starts_ns += [now_ns - 301 * NS_PER_S, now_ns - 300 * NS_PER_S, now_ns]
    assert link._pause_s() == 0.25
    assert len(link._starts_ns) == 2


def test_a_first_start_that_fails_is_told_and_leaves_nothing_running(tmp_path: Path) -> None:
    """What the first host cannot do is the caller's error, in one line; no thread goes on."""
    link = link_to(tmp_path)
    with pytest.raises(BrokerError, match="'no_such_module'"):
        link.start()
    assert link.pid == 0
    link.close(1.0)
    assert not any(t.name == "terminal-supervisor" for t in threading.enumerate())
