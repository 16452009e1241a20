"""The product never calls out: proved for a whole session, start to end.

The server runs in a process of its own under an audit hook that notes every address it connects
or sends to and every name it looks up; the worker process must not hold a network socket at all.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import sys
import textwrap
from pathlib import Path

import httpx
import ifaddr
import psutil

from tests.fakes.fake_avatars import FakeAvatars
from tests.fakes.fake_microphone import FakeMicrophone, Viewer, beeps
from tests.integration.conftest import FAKE_WORKER

ROOT = Path(__file__).resolve().parents[3]
SERVER = textwrap.dedent(
    """
    import json, sys
    log = open(sys.argv[1], "w", buffering=1)

    def guard(event, args):
        if event in ("socket.connect", "socket.sendto"):
            log.write(json.dumps([event, repr(args[1])]) + "\\n")
        elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
            log.write(json.dumps([event, repr(args[0])]) + "\\n")

    sys.addaudithook(guard)
    from pathlib import Path
    import uvicorn
    from visavis.streamer.config import load_config
    from visavis.streamer.http.app import create_app
    from tests.fakes.fake_avatars import FakeAvatars

    folder = Path(sys.argv[2])
    command = json.loads(sys.argv[4])
    app = create_app(
        load_config(environ={}, overrides={"data_dir": folder, "media.size": 256}),
        avatars=FakeAvatars(folder, "anna"),
        worker_command=command,
    )
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[3]), log_level="warning")
    """
)


def allowed(address: str) -> bool:
    """Loopback, or an address of this machine."""
    own = {ip.ip if ip.is_IPv4 else ip.ip[0] for a in ifaddr.get_adapters() for ip in a.ips}
    value = eval(address, {"__builtins__": {}})  # repr() of a tuple, str or bytes by our own hook
    if not isinstance(value, tuple):
        return True  # a Unix socket
    host = str(value[0]).split("%")[0]
    return ipaddress.ip_address(host).is_loopback or host in own


async def test_a_whole_session_makes_no_outbound_connection(tmp_path: Path, free_port: int) -> None:
    log = tmp_path / "addresses.jsonl"
    FakeAvatars(tmp_path, "anna")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SERVER,
        str(log),
        str(tmp_path),
        str(free_port),
        json.dumps(FAKE_WORKER),
        cwd=ROOT,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port}") as http:
            async with asyncio.timeout(30):
                while True:
                    try:
                        if (await http.get("/healthz")).status_code == 200:
                            break
                    except httpx.TransportError:
                        await asyncio.sleep(0.05)
            # A client that names far candidates must not make the server speak to them.
            far = "a=candidate:9 1 udp 2122260223 8.8.8.8 53 typ host\r\n"
            named = "a=candidate:8 1 udp 2122260222 9f3a.local 53 typ host\r\n"
            viewer = Viewer(
                http,
                FakeMicrophone(beeps(5)),
                alter=lambda sdp: sdp.replace("a=ice-ufrag", far + named + "a=ice-ufrag"),
            )
            await viewer.connect()
            await viewer.until(lambda: len(viewer.frames) > 50)
            await viewer.until(lambda: len(viewer.of("stats")) >= 2)
            children = psutil.Process(process.pid).children(recursive=True)
            assert children, "the worker runs"
            for child in children:
                assert child.net_connections(kind="inet") == []
            await http.delete(f"/api/sessions/{viewer.pc_id}")
            await viewer.close()
    finally:
        process.terminate()
        await process.wait()
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    sent = [address for event, address in entries if event in ("socket.connect", "socket.sendto")]
    assert sent, "the hook saw the session's own traffic"
    assert [a for a in sent if not allowed(a)] == []
    names = {name for event, name in entries if event.startswith("socket.get")}
    assert names <= {repr("127.0.0.1"), repr("::1"), repr("localhost")}, names
