"""Build plans: at once, or in a process of its own while another provider serves.

A compiler that crashes or eats memory takes only its own process with it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from visavis.engines.base import EngineError
from visavis.engines.cache import PlanCache, PlanError
from visavis.engines.check import check_export
from visavis.engines.tensorrt.compiler import Job, Progress, compile_plan, key_of, prepared

_STOP_S = 5.0
_NICE = 10  # a build may take its time; the frames may not


def build(job: Job, cache: PlanCache, *, progress: Progress | None = None) -> Path:
    """Return the plan's path, compiling it unless it is there already.

    Another process that builds the same plan is waited for.

    Raises:
        EngineError: it differs from what ships, or cannot be compiled or kept.
    """
    model = prepared(job)
    key = key_of(job, model)
    with cache.building(key):
        try:
            if cache.load(key) is not None:
                if progress:
                    progress(1.0, "kept from before")
                return cache.path(key)
        except PlanError:
            cache.discard(key)
        check_export(job.graph, model, precision=job.precision)
        timings = cache.folder / f"timings-{key.edition}-{key.version}-{key.target[:5]}.cache"
        plan = compile_plan(job, model, progress=progress, timing_cache=timings)
        return cache.store(key, plan)


class BackgroundBuild:
    """Builds one plan in a process of low priority.

    Args:
        job: what to build.
        cache: where it goes.
        done: called from a thread with None, or with the error, when the process has ended.
        command: the program to run, this module by default.
    """

    def __init__(
        self,
        job: Job,
        cache: PlanCache,
        done: Callable[[EngineError | None], None],
        *,
        command: list[str] | None = None,
    ) -> None:
        self.progress = 0.0
        self._graph = job.graph.name
        self._done = done
        self._cancelled = False
        described = json.dumps({**asdict(job), "graph": str(job.graph)})
        self._process = subprocess.Popen(
            [
                *(command or [sys.executable, "-P", "-m", "visavis.engines.build"]),
                str(cache.folder),
                described,
            ],
            stdin=subprocess.PIPE,  # open for as long as this process lives: see main
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._thread = threading.Thread(target=self._follow, name="plan-build", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the process is still there."""
        return self._process.poll() is None

    def cancel(self) -> None:
        """End the process; ``done`` is not called any more. Safe to call from ``done`` too."""
        self._cancelled = True
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:  # a compiler may be deaf while it compiles
                self._process.kill()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=_STOP_S)

    def _follow(self) -> None:
        error: EngineError | None = None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                event = json.loads(line)
            except ValueError:  # a library that prints
                continue
            self.progress = float(event.get("progress", self.progress))
            if "error" in event:
                error = EngineError(str(event["error"]))
        code = self._process.wait()
        self._process.stdout.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
        if code and error is None:
            error = EngineError(f"The compiler of {self._graph} ended with code {code}.")
        if not self._cancelled:
            self._done(error)


def main(argv: list[str] | None = None) -> int:
    """Build what the arguments say and print progress as lines of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("job", help="fields of a Job as JSON")
    arguments = parser.parse_args(argv)
    fields = json.loads(arguments.job)
    fields["buckets"] = tuple(fields["buckets"])
    given: dict[str, Any] = {**fields, "graph": Path(fields["graph"])}
    job = Job(**given)
    if hasattr(os, "nice"):
        os.nice(_NICE)
    try:
        path = build(job, PlanCache(arguments.folder), progress=_print_progress)
    except EngineError as error:
        _print_line({"error": str(error)})
        return 1
    _print_line({"path": str(path), "progress": 1.0})
    return 0


def _end_with_parent() -> None:
    """End when the process that asked is gone, however it went: nobody will run the plan."""
    # Not by sys.stdin: its lock, held by this thread at the end, would abort the interpreter.
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    os._exit(1)


def _print_progress(share: float, phase: str) -> None:
    _print_line({"progress": round(share, 3), "phase": phase})


def _print_line(event: dict[str, object]) -> None:
    with contextlib.suppress(OSError):  # who asked may be gone by now
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    sys.exit(main())
