"""Two networks behind routers, what lies between, and what the tests start in them.

``a`` is the viewer's network behind the router ``ra``, ``b`` the server's behind ``rb``; ``inet``
lies between and holds Debian's coturn, set up as docs/deploy.md says.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.networks.namespaces import Missing, Network, nat, network

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "0123456789abcdef"
SECRET = "a-secret-of-coturns"
PORT = 8080
STARTS_WITHIN_S = 40.0
TURN, TURN_PORT = "11.0.3.1", 3478
RA, RB, B = "11.0.1.2", "11.0.2.2", "192.168.8.2"
PLACEHOLDER = "the same as coturn's"  # in the documented files


@dataclass
class Far:
    """Two networks and what lies between.

    Attributes:
        net: the namespaces.
        folder: for the servers' files.
        stack: ends what was started.
    """

    net: Network
    folder: Path
    stack: contextlib.ExitStack

    def start(self, where: str, *command: str, says: str) -> None:
        """Start something that is stopped in the end; return when it has said this."""
        log = self.folder / f"{where}.log"
        with log.open("wb") as out:
            running = self.net.command(where, *command)
            process = subprocess.Popen(running, cwd=ROOT, stdout=out, stderr=out)
        self.stack.callback(_end, process)
        deadline = time.monotonic() + STARTS_WITHIN_S
        while says not in (said := log.read_text(errors="replace")):
            assert process.poll() is None and time.monotonic() < deadline, said[-2000:]
            time.sleep(0.05)

    def until(self, condition: Callable[[str], bool], where: str) -> None:
        """Wait until what was said in a namespace is so."""
        deadline = time.monotonic() + 10
        while not condition(said := (self.folder / f"{where}.log").read_text(errors="replace")):
            assert time.monotonic() < deadline, said[-2000:]
            time.sleep(0.05)

    def serve(self, where: str, *settings: str) -> None:
        """Start the product, with a worker that draws nothing to speak of."""
        data = self.folder / "data"
        data.mkdir()
        fixed = (f"server.token={TOKEN}", f"server.port={PORT}", "media.size=256")
        command = (sys.executable, "-m", "tests.fakes.processes.bounded_server", str(data), "1024")
        self.start(where, *command, *fixed, *settings, says=f"{PORT}\n")

    def turn(self, *flavour: str) -> None:
        """Start coturn with the documented file; ``flavour`` replaces its secret."""
        if shutil.which("turnserver") is None:
            pytest.skip("coturn is not installed: apt-get install coturn")
        text = documented("turnserver").replace(PLACEHOLDER, SECRET)
        if flavour:
            text = re.sub(r"^(use-auth-secret|static-auth-secret=.*)$", "", text, flags=re.M)
        here = (
            *(f"listening-ip={TURN}", f"relay-ip={TURN}", "no-tls", "no-dtls"),
            *("log-file=stdout", "verbose", f"pidfile={self.folder}/turn.pid"),
            f"userdb={self.folder}/turn.db",
        )
        path = self.folder / "turnserver.conf"
        path.write_text("\n".join([text, *here, *flavour, ""]))
        self.start("inet", "turnserver", "-c", str(path), says="UDP listener opened")

    def view(self, address: str, avatar: str = "") -> dict[str, Any]:
        """Be a viewer in ``a``; return what it saw."""
        host = f"[{address}]" if ":" in address else address
        done = subprocess.run(
            self.net.command(
                "a", sys.executable, "-m", "tests.fakes.processes.far_viewer",
                f"http://{host}:{PORT}", TOKEN, avatar,
            ),
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=150,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        return dict(json.loads(done.stdout))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def documented(language: str) -> str:
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    found = re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)
    assert found, f"docs/deploy.md has no {language}"
    return found.group(1)


def as_documented(folder: Path) -> list[str]:
    """Return the documented settings, for this TURN server, as ``SETTING=VALUE``."""
    text = documented("toml").replace("turn.example.org", TURN).replace(PLACEHOLDER, SECRET)
    ice = tomllib.loads(text)["ice"]
    assert len(ice["servers"]) == 2
    return [f"ice.servers={','.join(ice['servers'])}", f"ice.secret={ice['secret']}"]


@contextlib.contextmanager
def far_networks(folder: Path) -> Iterator[Far]:
    """Make the networks; routers and firewalls are a test's own."""
    with contextlib.ExitStack() as stack:
        try:
            net = stack.enter_context(network(f"vis{os.getpid()}"))
        except Missing as error:
            pytest.skip(str(error))
        for name in ("a", "ra", "inet", "rb", "b"):
            net.add(name)
        net.link(("a", "192.168.7.2/24"), ("ra", "192.168.7.1/24"))
        net.link(("ra", f"{RA}/24"), ("inet", "11.0.1.1/24"))
        net.link(("inet", "11.0.2.1/24"), ("rb", f"{RB}/24"))
        net.link(("rb", "192.168.8.1/24"), ("b", f"{B}/24"))
        net.run("inet", "ip", "addr", "add", f"{TURN}/32", "dev", "lo")
        for where, via in (
            ("a", "192.168.7.1"), ("ra", "11.0.1.1"), ("rb", "11.0.2.1"), ("b", "192.168.8.1"),
        ):  # fmt: skip
            net.route(where, via)
        yield Far(net, folder, stack)


def behind_nat(far: Far, *, symmetric: bool, both: bool = True) -> None:
    far.net.nft("ra", nat("to-inet", symmetric=symmetric))
    if both:
        far.net.nft("rb", nat("to-inet", symmetric=symmetric, passes_on=f"{PORT} {B}"))
