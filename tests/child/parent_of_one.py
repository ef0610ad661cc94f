"""A parent for the tests: starts a child from a thread that ends, then says the child's pid."""

import sys
import threading
import time

from engine.child.parent import Child


def main() -> None:
    started: list[Child] = []
    thread = threading.Thread(
        target=lambda: started.append(Child("tests.child.echo_child", name="echo"))
    )
    thread.start()
    thread.join()
    child = started[0]
    assert child.call(b"hello", timeout_s=20) == b"hello"
    print(child.pid, flush=True)
    child.send(sys.argv[1].encode(), timeout_s=5)
    time.sleep(60)


if __name__ == "__main__":
    main()
