"""A parent for the tests: starts a child from a thread that ends, then says the child's pid."""

import sys
import threading
import time

from engine.child.parent import Child


def start(started: list[Child]) -> None:
    child = Child("tests.child.echo_child", name="echo")
    assert child.call(b"hello", timeout_s=20) == b"hello"
    started.append(child)


def main() -> None:
    started: list[Child] = []
    thread = threading.Thread(target=start, args=(started,))
    thread.start()
    thread.join()
    (child,) = started
    assert child.call(b"again", timeout_s=20) == b"again"
    child.send(sys.argv[1].encode(), timeout_s=5)
    print(child.pid, flush=True)
    time.sleep(60)


if __name__ == "__main__":
    main()
