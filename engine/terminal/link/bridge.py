"""The terminal host's stand-in where the terminal is on another box: frames in, frames out.

`python -P -m engine.terminal.link.bridge`, started by `engine.terminal.host_link` in a host's
place. The first request opens it and says where to; it ends with its parent, or with the link.
"""

import contextlib
import os
import sys
import threading
from functools import partial
from typing import Final

import msgspec

from engine.child.frames import REPLY, REQUEST, FrameReader, write_frame
from engine.child.serve import claim_pipes, prepare_process
from engine.model.errors import BrokerError
from engine.terminal import protocol as p
from engine.terminal.link.remote import dial, encode
from engine.terminal.link.secure_link import SecureLink

EXIT_LOST: Final = 71


def main() -> None:
    """Relay until the engine closes the pipe or the link is lost."""
    prepare_process()
    requests_fd, replies_fd = claim_pipes()
    reader = FrameReader(partial(os.read, requests_fd))
    frame = reader.read()
    if frame is None:
        return
    config = msgspec.msgpack.decode(frame[1], type=p.Open).config
    assert config.remote is not None
    try:
        link = dial(config.remote)
    except BrokerError as error:
        failure = p.Failure(kind="config", text=str(error))
        write_frame(replies_fd, REPLY, encode(p.TerminalReply(failure=failure)))
        return
    config = msgspec.structs.replace(config, remote=None)
    threading.Thread(target=_to_engine, args=(link, replies_fd), name="bridge", daemon=True).start()
    # What cannot be sent is lost with the link; the other thread ends the process.
    with contextlib.suppress(OSError):
        link.send(REQUEST, encode(p.Open(config=config)))
        while (frame := reader.read()) is not None:
            link.send(*frame)
    link.close()


def _to_engine(link: SecureLink, replies_fd: int) -> None:
    with contextlib.suppress(OSError):
        for kind, body in link.frames():
            write_frame(replies_fd, kind, body)
    sys.stderr.write("link to the terminal's box lost\n")
    sys.stderr.flush()
    os._exit(EXIT_LOST)


if __name__ == "__main__":
    main()
