"""The child process that alone imports users' code for the command line."""

import sys
from collections.abc import Iterator

import msgspec

from engine.child.serve import serve
from engine.model.errors import UserError
from engine.runtime.host_memory import limit_memory
from pmpro_tui.checking.records import Ask, AskCheck, AskDigest, AskKinds, Refusal
from pmpro_tui.checking.run import load_kinds, lower_priority, run_check, run_digest

# Years of bars are the checker's own, not the strategy's.
_OWN_MB = 2048

_encode = msgspec.msgpack.Encoder().encode


def _answer(ask: Ask) -> Iterator[bytes]:
    try:
        match ask:
            case AskKinds():
                yield _encode(load_kinds(ask.files, required=ask.required))
            case AskCheck():
                for part in run_check(ask.job):
                    yield _encode(part)
            case AskDigest():
                yield _encode(run_digest(ask.job))
    except UserError as error:
        yield _encode(Refusal(str(error)))


def main() -> None:
    """Serve one command until its pipe closes."""
    lower_priority()
    if memory_max_mb := int(sys.argv[1]):
        limit_memory(memory_max_mb + _OWN_MB)
    decoder = msgspec.msgpack.Decoder(Ask)
    serve(lambda body: _answer(decoder.decode(body)))


if __name__ == "__main__":
    main()
