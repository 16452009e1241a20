"""An enrolment child that does what the end of the photo says; run by the real parent."""

from __future__ import annotations

import json
import os
import signal
import sys
import time


def say(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    job = json.loads(sys.argv[1])
    what = sys.stdin.buffer.read().split(b"\0")[-1].decode()
    say(progress=0.5, stage="Working")
    if what == "crash":
        sys.stderr.write("a traceback nobody should read\n")
        os.abort()
    elif what == "illegal":
        os.kill(os.getpid(), signal.SIGILL)
    elif what == "hang":
        time.sleep(600)
    elif what == "spin":
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
        while True:
            pass
    elif what == "silent":
        return
    elif what == "lie":
        say(done={"notes": ["fine"]})
    elif what == "huge":
        os.ftruncate(job["bundle"], 64 << 20)
        os.write(job["preview"], b"jpeg")
        say(done={})
    elif what == "full":
        say(full=True)
    elif what == "open":
        say(open=["files", "\x1b[31m" * 99])
    elif what == "leave":
        os.write(job["bundle"], b"a face")
        time.sleep(600)
    elif what == "flood":
        while True:
            say(progress=0.1, stage="x" * 1000)
    elif what == "longline":
        say(stage="x" * 1_000_000)
    elif what == "noise":
        sys.stdout.write("not json\n")
    elif what == "refuse":
        say(refused="No face was found in the photo.\n\x1b[31m" + "x" * 5000)
    elif what == "environment":
        os.write(job["bundle"], b"bundle")
        os.write(job["preview"], b"jpeg")
        say(done={"notes": sorted(os.environ), "held": [os.getcwd()], "timing": {"all": 1}})


if __name__ == "__main__":
    main()
