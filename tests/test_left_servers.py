"""The suite itself: a session that leaves a PostgreSQL running fails, and names the test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO
from tests.left_servers import mark_session, marked_servers
from tests.processes import all_ended, lives

SUITE = """
import sys
from pathlib import Path
from tests.store.servers import end_child, started

def test_one(tmp_path_factory): pass

def test_two(program, make_server):
    server = make_server("left")
    child = started([sys.executable], [server._dir, server._run_dir, server._base])
    child.kill()
    end_child(child)

def test_three(): pass
"""


@pytest.mark.parametrize("options", [[], ["-n", "1"]])
def test_a_session_that_leaves_a_server_fails_and_ends_it(
    tmp_path: Path, options: list[str]
) -> None:
    """Also under xdist; the server is named with the test that started it, and is gone."""
    suite = tmp_path / "test_suite.py"
    suite.write_text(SUITE, encoding="utf-8")
    conftest = "from tests.conftest import *\nfrom tests.store.conftest import *\n"
    conftest += "from tests.conftest import _no_server_survives, pytest_runtest_logstart\n"
    (tmp_path / "conftest.py").write_text(conftest, encoding="utf-8")
    words = ["-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir", tmp_path, *options]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, suite],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "PostgreSQL left running: pid " in done.stdout
    assert "started during test_suite.py::test_two" in done.stdout
    pid = int(done.stdout.partition("left running: pid ")[2].partition(",")[0])
    assert all_ended([pid])


def test_a_process_that_nobody_has_waited_for_has_ended() -> None:
    """In a container the process that inherits orphans may never wait for them."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{child.pid}").exists()
    assert not lives(child.pid)
    child.wait()
    assert not lives(child.pid)
    assert lives(os.getpid())


def test_only_servers_of_this_session_count() -> None:
    """Those of other sessions on the box, such as a colleague's, are none of ours."""
    assert marked_servers(mark_session() + 1) == []
