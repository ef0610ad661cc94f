"""A process that has imported and compiled everything, and forks engines: `python -m …nursery`.

It reads a line a job: the job's file, the pipe its words go to, the file its log goes to; and says
the engine's process id, then its exit code, a line each.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.conftest import REPO
from tests.faults.campaign.plan import Job

LIFE_S = 120.0


class Birth(msgspec.Struct, frozen=True):
    """What the nursery is asked for."""

    job: str
    words: str
    log: str


class Nursery:
    """The nursery's process, as the campaign sees it."""

    def __init__(self, log: Path) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.campaign.nursery"],
                cwd=REPO,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": str(REPO)},
            )

    @contextmanager
    def engine(self, job: Job, home: Path) -> Iterator[tuple[Iterator[bytes], list[int]]]:
        """Start an engine; give its words, and its exit code in a list once they have ended."""
        path, words = home / "job.json", home / "words"
        path.write_bytes(msgspec.json.encode(job))
        words.unlink(missing_ok=True)
        os.mkfifo(words)
        birth = Birth(str(path), str(words), str(home / "engine.log"))
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(birth) + b"\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        hung = threading.Timer(LIFE_S, os.kill, (pid, signal.SIGKILL))
        hung.daemon = True
        hung.start()
        code: list[int] = []
        try:
            with words.open("rb") as told:
                yield iter(told), code
                for _ in told:  # until it has ended
                    pass
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            raise
        finally:
            hung.cancel()
            code.append(int(self._process.stdout.readline()))

    def close(self) -> None:
        """End the nursery; no engine is left in it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def _grow(birth: Birth) -> None:
    """Be the engine, in the forked process."""
    from tests.faults.campaign.worker import live

    for path, flags, fd in (
        ("/dev/null", os.O_RDONLY, 0),
        (birth.words, os.O_WRONLY, 1),
        (birth.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 2),
    ):
        opened = os.open(path, flags)
        os.dup2(opened, fd)
        os.close(opened)
    live(msgspec.json.decode(Path(birth.job).read_bytes(), type=Job))


def main() -> None:
    """Fork an engine a line until the campaign closes the pipe."""
    from engine.replay.warm import warm_core
    from strategies.loader import load_file
    from tests.parity.live import NOISE

    warm_core()
    load_file(NOISE)
    for line in sys.stdin.buffer:
        birth = msgspec.json.decode(line, type=Birth)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                _grow(birth)
                code = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
