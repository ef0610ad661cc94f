"""The child process that alone imports users' code for the command line."""

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

from engine.child.serve import serve
from engine.hosts.bounds import bound_strategies
from engine.hosts.memory import limit_memory
from engine.model.errors import UserError
from pmpro_tui.checking.records import Ask, AskAnswers, AskCheck, AskKinds, CheckRefused
from pmpro_tui.checking.run import load_kinds, lower_priority, run_answers, run_check
from strategies.base import flat_signals
from strategies.checks.sources import Sources
from strategies.checks.watch import CodeWatch
from strategies.contract import check_signals, faulty_distance

# Years of bars are the checker's own, not the strategy's.
_OWN_MB = 2048

_encode = msgspec.msgpack.Encoder().encode


def _answer(ask: Ask) -> Iterator[bytes]:
    files = ask.files if isinstance(ask, AskKinds) else ask.job.files
    if files:
        _bound()
    try:
        match ask:
            case AskKinds():
                yield _encode(load_kinds(ask.files, required=ask.required))
            case AskCheck():
                for part in run_check(ask.job):
                    yield _encode(part)
            case AskAnswers():
                if files:
                    load_kinds(files, required=False)
                    _bound().shift_dates(CodeWatch().is_own)
                yield _encode(run_answers(ask))
    except UserError as error:
        yield _encode(CheckRefused(str(error)))


@cache
def _bound() -> Sources:
    """Bound this process before it loads a user's file; once. Return its clocks."""
    # Compiled, and kept where the bounds allow no writing.
    check_signals(flat_signals(1), 1)
    faulty_distance(np.ones(1))
    scratch, *hidden = map(Path, sys.argv[3:])
    bound_strategies([scratch], hidden)
    # From here on it is somewhere else, and its clocks are as wrong as they are to be.
    os.chdir(scratch)
    made = Sources(int(sys.argv[2]))
    made.install()
    return made


def main() -> None:
    """Serve one command until its pipe closes."""
    lower_priority()
    if memory_max_mb := int(sys.argv[1]):
        limit_memory(memory_max_mb + _OWN_MB)
    decoder = msgspec.msgpack.Decoder(Ask)
    serve(lambda body: _answer(decoder.decode(body)))


if __name__ == "__main__":
    main()
