"""A process that logs and prints more than its streams take; what it found goes to a descriptor."""

import json
import logging
import os
import sys
import threading
import time
import traceback
import warnings

import structlog

from engine.child import output
from engine.child.log import json_lines

output.take_streams()
json_lines("info")
output.BYTES_MAX = 100_000
log = structlog.get_logger()


class Odd:
    """Cannot be told."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


began_s = time.monotonic()
log.info("first", odd=Odd())
print("printed \ud800", "in parts")
warnings.warn("warned", stacklevel=1)
logging.getLogger("library").error("logged by a library")
try:
    raise ValueError("caught")
except ValueError:
    traceback.print_exc()
    log.exception("failed")
died = threading.Thread(target=lambda: 1 / 0)
died.start()
died.join()
for n in range(1000):
    log.info("line", n=n, text="x" * 200)
took_s = time.monotonic() - began_s
end_s = time.monotonic() + 20.0
while not output.state_of(sys.stdout).trouble and time.monotonic() < end_s:
    if len(sys.argv) > 2:
        break
    time.sleep(0.05)
os.write(int(sys.argv[1]), json.dumps([took_s, *output.state_of(sys.stdout)]).encode() + b"\n")
sys.stdin.read()
log.info("last")
