"""Whatever happens to its terminal: a console leaves it as it was, and the engine goes on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.terminal import REPO, Terminal
from tests.launch.test_attach import CONSOLE, engine, engine_pid, state, terminal
from tests.processes import all_ended

__all__ = ["state"]


@pytest.fixture
def console(state: Path) -> Iterator[Terminal]:
    """A console on a terminal, attached to a fake engine that it has started."""
    with terminal(state, "--demo") as opened:
        opened.read_until("eur-ma-14")
        while "eur-ma-14" in opened.text:  # until no more than changes is drawn
            opened.seen = b""
            opened.read_for(0.4)
        yield opened


def check_engine(state: Path, pid: int) -> None:
    """The engine that was there is there, and answers."""
    assert engine_pid(state) == pid
    with engine() as client:
        assert client.snapshot() is not None


def test_a_console_that_is_left_leaves_the_terminal_as_it_was(
    console: Terminal, state: Path
) -> None:
    """The one way out that everybody takes; and the modes were on before."""
    pid = engine_pid(state)
    assert {"mode 1049 is on", "mode 25 is off", "ICANON"} <= set(console.left_behind())
    console.press("q")
    assert console.wait() == 0
    assert console.left_behind() == []
    check_engine(state, pid)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_ends_a_console_cleanly(console: Terminal, state: Path, name: str) -> None:
    """The terminal is as it was, one line says why, the code is the signal's."""
    pid, number = engine_pid(state), getattr(signal, name)
    console.seen = b""
    console.send_signal(number)
    assert console.wait() == 128 + number
    assert f"ended by {name}; the engine keeps running" in console.text
    assert console.left_behind() == []
    check_engine(state, pid)


def test_a_signal_ends_a_console_that_asks_something(console: Terminal, state: Path) -> None:
    """An open dialog keeps nothing from ending, and is answered by nobody."""
    console.press("Q")
    console.read_until("Stop the engine?")
    console.send_signal(signal.SIGTERM)
    assert console.wait() == 128 + signal.SIGTERM
    assert console.left_behind() == []
    check_engine(state, engine_pid(state))


@pytest.mark.parametrize("stopped_by", [None, signal.SIGTSTP, signal.SIGSTOP])
def test_a_line_that_is_gone_ends_the_console(
    console: Terminal, state: Path, stopped_by: int | None
) -> None:
    """Running or stopped: no process is left behind on a dead terminal; the engine goes on."""
    pid = engine_pid(state)
    if stopped_by is not None:
        console.send_signal(stopped_by)
        console.wait_stopped()
    console.close()
    console.wait_gone(20)
    check_engine(state, pid)


NOHUP = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
NOHUP += "os.execv(sys.executable, [sys.executable, '-P', *sys.argv[1:]])"


def test_a_console_that_was_told_to_ignore_hanging_up_ends_all_the_same(state: Path) -> None:
    """nohup keeps no console on a terminal that is gone."""
    env = {"PMPRO_STATE_DIR": str(state)}
    with Terminal(["-c", NOHUP, *CONSOLE, "--demo"], env=env) as console:
        console.read_until("eur-ma-14")
        pid = engine_pid(state)
        console.close()
        console.wait_gone(20)
    check_engine(state, pid)


@pytest.mark.parametrize("size", [(120, 40), (80, 24)], ids=["same", "smaller"])
@pytest.mark.parametrize("by_key", [True, False], ids=["ctrl+z", "SIGTSTP"])
def test_a_suspended_console_gives_the_terminal_back_and_comes_back(
    console: Terminal, state: Path, by_key: bool, size: tuple[int, int]
) -> None:
    """While it is stopped the shell has its terminal; then it draws anew, at the size of then."""
    pid = engine_pid(state)
    if by_key:
        console.press("\x1a")
    else:
        console.send_signal(signal.SIGTSTP)
    console.wait_stopped()
    assert console.left_behind() == []
    console.resize(*size)
    console.seen = b""
    console.resume()
    console.read_until("eur-ma-14")
    assert "mode 1049 is on" in console.left_behind()
    draws_within(console, size[1])
    console.press("q")
    assert console.wait() == 0
    assert console.left_behind() == []
    check_engine(state, pid)


@pytest.mark.parametrize("stop", [True, False], ids=["SIGSTOP", "SIGCONT-alone"])
def test_a_console_that_was_stopped_without_a_word_goes_on(
    console: Terminal, state: Path, stop: bool
) -> None:
    """Time and again: drawn anew, keys work, and the terminal is as it was when it is left."""
    pid = engine_pid(state)
    n_threads = console.n_threads()
    for _ in range(3):
        if stop:
            console.send_signal(signal.SIGSTOP)
            console.wait_stopped()
        console.seen = b""
        console.resume()
        console.read_until("eur-ma-14")
    assert console.n_threads() <= n_threads + 3  # two a time, if each left its own behind
    console.press("q")
    assert console.wait() == 0
    assert console.left_behind() == []
    check_engine(state, pid)


def draws_within(console: Terminal, rows: int) -> None:
    """Wait until what is drawn is drawn for so many rows."""
    end_s = time.monotonic() + 20.0
    while True:
        console.seen = b""
        console.read_for(0.5)
        if console.rows() and max(console.rows()) <= rows:
            return
        assert time.monotonic() < end_s, f"row {max(console.rows(), default=0)} of {rows}"


def test_a_resized_console_draws_for_the_new_size(console: Terminal, state: Path) -> None:
    """Smaller, larger, tiny and back: what is drawn fits, keys work, nothing is left behind."""
    for columns, rows in ((80, 24), (200, 50), (20, 5), (1, 1), (120, 40)):
        console.seen = b""
        console.resize(columns, rows)
        if columns >= 80:
            console.read_until("eur-ma-14")
            draws_within(console, rows)
    console.press("q")
    assert console.wait() == 0
    assert console.left_behind() == []


class Tmux:
    """A tmux server of its own with a console in its one window."""

    def __init__(self, state: Path) -> None:
        self._words = ["tmux", "-S", str(state / "tmux"), "-f", "/dev/null"]
        self._env = {**os.environ, "PYTHONPATH": str(REPO), "TERM": "xterm-256color"}
        self.do("new-session", "-d", "-x", "120", "-y", "40",
                sys.executable, "-P", *CONSOLE, "--demo")  # fmt: skip

    def do(self, *words: str) -> str:
        return subprocess.run(
            [*self._words, *words],
            env=self._env,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout

    def until_shown(self, text: str, columns: int) -> None:
        """Wait until the window shows a text, in so many columns."""
        end_s = time.monotonic() + 30.0
        while True:
            lines = self.do("capture-pane", "-p").splitlines()
            width = int(self.do("display-message", "-p", "#{window_width}"))
            if width == columns and any(text in line for line in lines):
                return
            assert time.monotonic() < end_s, "\n".join(lines)
            time.sleep(0.05)

    def attach(self) -> Terminal:
        """Return a terminal that shows the window."""
        code = "import os, sys; os.execvp('tmux', sys.argv[1:])"
        words = ["-c", code, *self._words, "attach"]
        return Terminal(words, env={"LC_ALL": "C.UTF-8"}, size=(100, 30))


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_a_console_in_tmux_is_detached_resized_and_closed(state: Path) -> None:
    """Detached it stays, attached elsewhere it fits, closed it ends; the engine goes on."""
    tmux = Tmux(state)
    try:
        tmux.until_shown("eur-ma-14", 120)
        pid = engine_pid(state)
        console = int(tmux.do("display-message", "-p", "#{pane_pid}"))
        with tmux.attach() as attached:
            attached.read_until("eur-ma-14")
            tmux.until_shown("eur-ma-14", 100)
            attached.press("\x02d")
            assert attached.wait() == 0
            assert attached.left_behind() == []
        tmux.do("resize-window", "-x", "80", "-y", "24")
        tmux.until_shown("eur-ma-14", 80)
        os.kill(console, 0)
    finally:
        tmux.do("kill-server")
    assert all_ended([console])
    check_engine(state, pid)


def test_errors_written_elsewhere_are_no_terminal(state: Path) -> None:
    """A console that could not draw says so instead of filling a file."""
    master, slave = os.openpty()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pmpro_tui.launch.tui", "--demo"],
        stdin=slave,
        stdout=slave,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(REPO)},
        timeout=60,
        check=False,
    )
    os.close(master)
    os.close(slave)
    assert done.returncode == 2
    assert done.stderr.startswith(b"pmpro-tui: the console needs a terminal")
    assert not (state / "demo").exists()


def test_a_reader_that_goes_away_breaks_no_command(state: Path) -> None:
    """`pmpro … | head`: no traceback, however soon the pipe is closed."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pmpro_tui.cli.main", "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(REPO)},
        timeout=60,
        check=False,
    )
    os.close(write)
    assert done.stderr == b""
    assert done.returncode != 0


def test_without_a_shell_ctrl_z_says_so(console: Terminal, state: Path) -> None:
    """`ssh -t box pmpro-tui`: nobody could bring it back, so it is not stopped."""
    with terminal(state, "--demo", under_shell=False) as alone:
        alone.read_until("eur-ma-14")
        alone.press("\x1a")
        alone.read_until("no shell to go back to")
        alone.press("q")
        assert alone.wait() == 0
        assert alone.left_behind() == []
    check_engine(state, engine_pid(state))


# An interactive shell that has the pseudo-terminal to itself, with no one's start-up files.
_BASH = ["-c", "import os; os.execvp('bash', 'bash --norc --noprofile --noediting -i'.split())"]


@pytest.mark.parametrize("under", ["make", "script"])
def test_ctrl_z_under_make_is_back_at_the_shell_s_prompt(
    console: Terminal, state: Path, tmp_path: Path, under: str
) -> None:
    """`make run` waits for the console: the whole job stops, and `fg` draws all of it again."""
    bash, make = shutil.which("bash"), shutil.which("make")
    if bash is None or make is None:
        pytest.skip("no bash and make here")
    line = f"{sys.executable} -P {' '.join(CONSOLE)} --demo"
    (tmp_path / "Makefile").write_text(f"run:\n\t@true\n\t@exec {line}\n", encoding="utf-8")
    (tmp_path / "run.sh").write_text(f"{line}\necho 'the script goes on'\n", encoding="utf-8")
    env = {"PMPRO_STATE_DIR": str(state), "PS1": "ready> ", "PATH": os.environ["PATH"]}
    job = f"make -C {tmp_path} run" if under == "make" else f"sh {tmp_path}/run.sh"
    with Terminal(_BASH, env=env, under_shell=False) as shell:
        shell.read_until("ready> ")
        shell.press(f"{job}\n")
        shell.read_until("eur-ma-14")
        for _ in range(2):
            shell.press("\x1a")
            shell.read_until("Stopped")
            shell.read_until("ready> ")
            assert shell.left_behind() == []
            shell.press("echo $((6 * 7))\n")
            shell.read_until("42")
            shell.press("bg\n")  # it may not draw on a terminal that is the shell's
            shell.read_until("ready> ")
            while "Stopped" not in shell.text:
                shell.press("jobs\n")
                shell.read_until("ready> ")
            shell.press("fg\n")
            shell.read_until("eur-ma-14")
            assert "mode 1049 is on" in shell.left_behind()
        shell.press("?")
        shell.read_until("Halt")
        shell.press("q")
        shell.read_until("ready> ")
        if under == "script":
            assert "the script goes on" in shell.text
        assert shell.left_behind() == []
        shell.press("exit\n")
        assert shell.wait() == 0
    check_engine(state, engine_pid(state))
