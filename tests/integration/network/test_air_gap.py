"""Nothing is ever contacted: read from the kernel's own calls, where only loopback exists.

The older test in ``test_no_outbound`` watches Python's sockets; a native library that sends by
itself passes it. Here the whole product runs under a system-call trace, children included.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.streamer.trust.test_verdict import film
from visavis.models.offline import VARIABLES
from visavis.streamer.commands import doctor
from visavis.streamer.commands.air_gap import STEPS, prove
from visavis.streamer.trust.air_gap import CannotProve, contacts, trace
from visavis.streamer.trust.marks.mark import Marking
from visavis.streamer.trust.marks.provenance import available

ROOT = Path(__file__).resolve().parents[3]
LIGHT = ROOT / "models" / "weights" / "light" / "light.onnx"
# Longer than the nine seconds after which onnxruntime's telemetry first looks up its host.
IDLE_S = float(os.environ.get("VISAVIS_TEST_IDLE_S", "12"))


@pytest.mark.timeout(900)
def test_the_whole_product_contacts_nobody(tmp_path: Path) -> None:
    traced, steps = prove(tmp_path, IDLE_S)
    assert steps == STEPS, traced.output
    assert traced.code == 0
    assert traced.contacts == ()
    assert traced.calls > 100, "the trace saw the call's own packets"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_nor_during_an_idle_minute(tmp_path: Path) -> None:
    traced, steps = prove(tmp_path, 60.0)
    assert (steps, traced.contacts) == (STEPS, ())


def test_compiling_and_the_tracker_in_the_open_contact_nobody(tmp_path: Path) -> None:
    """``warm`` runs MediaPipe, numba and OpenCV outside the photo child's empty network."""
    command = [sys.executable, "-P", "-m", "visavis.models.warm"]
    traced = trace(command, tmp_path, timeout_s=170)
    assert (traced.code, traced.contacts) == (0, ()), traced.output


SIGNS = """
import sys
from pathlib import Path
from visavis.streamer.trust.air_gap import raise_loopback
from visavis.streamer.trust.marks.provenance import read_manifest, sign_video
raise_loopback()
film, data = Path(sys.argv[1]), Path(sys.argv[2])
assert sign_video(film, data, photos=["ab" * 32])
assert read_manifest(film, data)["state"] == "Trusted"
assert read_manifest(film)["state"] == "Valid"  # an authority that it does not know, nor asks for
"""


@pytest.mark.skipif(not available(), reason="c2pa-python is not installed")
def test_signing_and_verifying_contact_nobody(tmp_path: Path) -> None:
    """The C2PA library is native and could fetch manifests, revocations and time stamps."""
    path = film(tmp_path / "film.mp4", Marking(False))
    command = [sys.executable, "-c", SIGNS, str(path), str(tmp_path / "data")]
    traced = trace(command, tmp_path, timeout_s=120)
    assert (traced.code, traced.contacts) == (0, ()), traced.output
    verified = [sys.executable, "-m", "visavis.streamer", "verify", "--json", str(path)]
    traced = trace([*verified, "--data", str(tmp_path / "data")], tmp_path, timeout_s=120)
    assert (traced.code, traced.contacts) == (0, ()), traced.output
    assert '"Trusted"' in traced.output and "ab" * 32 in traced.output


# Its telemetry waits for an interface that is up.
UP = (
    "from visavis.streamer.trust.air_gap import raise_loopback; raise_loopback()\n"
    "import os; os.environ.pop('ORT_DISABLE_TELEMETRY')"
)
SEES = {
    "onnxruntime without our switch": f"{UP}\nimport onnxruntime, time\n"
    f"onnxruntime.InferenceSession({str(LIGHT)!r}, providers=['CPUExecutionProvider'])\n"
    "time.sleep(15)",
    "an address": "import socket; socket.socket().connect_ex(('192.0.2.7', 443))",
    "a packet": "import socket; s = socket.socket(type=2)\n"
    "try: s.sendto(b'x', ('192.0.2.7', 9))\nexcept OSError: pass",
    "a name": "import socket\ntry: socket.getaddrinfo('example.invalid', 80)\nexcept OSError: pass",
    "a child": "import subprocess, sys; subprocess.run([sys.executable, '-c', "
    "\"import socket; socket.socket().connect_ex(('192.0.2.7', 443))\"])",
}


@pytest.mark.parametrize("what", sorted(SEES))
def test_the_proof_sees(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # onnxruntime keeps quiet by itself where it takes the machine for a build server.
    for name in (*VARIABLES, "CI", "GITHUB_ACTIONS", "TF_BUILD", "JENKINS_URL"):
        monkeypatch.delenv(name, raising=False)
    traced = trace([sys.executable, "-c", SEES[what]], tmp_path, timeout_s=60)
    assert traced.contacts, "a proof that cannot fail proves nothing"


def test_local_traffic_is_not_counted(tmp_path: Path) -> None:
    local = (
        "from visavis.streamer.trust.air_gap import raise_loopback; raise_loopback()\n"
        "import socket; a, b = socket.socket(type=2), socket.socket(type=2)\n"
        "b.bind(('127.0.0.1', 0)); a.sendto(b'x', b.getsockname())\n"
        "socket.socket(socket.AF_UNIX).connect_ex('/nowhere')"
    )
    traced = trace([sys.executable, "-c", local], tmp_path, timeout_s=60)
    assert (traced.code, traced.contacts) == (0, ()), traced.output
    assert traced.calls >= 2


@pytest.mark.parametrize(
    ("line", "whom"),
    [
        ('7 connect(8, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("8.8.8.8")}, 16',
         "port 443 of 8.8.8.8"),
        ('7 connect(8, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}',
         "a name at port 53 of 127.0.0.53"),
        ('7 sendto(9, ""..., 4, 0, {sa_family=AF_INET6, sin6_port=htons(5353), '
         'sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "ff02::fb", &sin6_addr)}, 28) = 4',
         "a name at port 5353 of ff02::fb"),
        ('7 connect(8, {sa_family=AF_UNIX, sun_path="/run/systemd/resolve/io.systemd.Resolve"}',
         "a name at /run/systemd/resolve/io.systemd.Resolve"),
        ('7 connect(8, {sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), '
         'inet_pton(AF_INET6, "::ffff:8.8.8.8", &sin6_addr), sin6_scope_id=0}, 28)',
         "port 80 of 8.8.8.8"),
    ],
)  # fmt: skip
def test_a_trace_is_read(line: str, whom: str) -> None:
    assert [str(contact) for contact in contacts([line])] == [whom]


@pytest.mark.parametrize("room", ["models", "engines", "streamer", "engines.onnx_engine"])
def test_telemetry_is_off_before_anything_is_loaded(room: str) -> None:
    (name, value) = next(iter(VARIABLES.items()))
    said = subprocess.run(
        [sys.executable, "-c", f"import visavis.{room}, os; print(os.environ['{name}'])"],
        env={**os.environ, name: "0"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == value, "whatever the user's environment says"


def test_no_trace_of_telemetry_is_kept(tmp_path: Path) -> None:
    """Without the switch a device id lands in ``~/.cache/Microsoft``."""
    home = {**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    script = (
        "from visavis.engines.onnx_engine import OnnxEngine; from pathlib import Path\n"
        f"OnnxEngine(Path({str(LIGHT)!r})).warm_up()"
    )
    home.pop("XDG_CACHE_HOME", None)
    subprocess.run([sys.executable, "-c", script], env=home, cwd=ROOT, check=True)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == []


def test_the_doctor_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = doctor.air_gap(None)
    assert (check.name, check.verdict) == ("air gap", "ok")
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    (check,) = doctor.air_gap(None)
    assert check.verdict == "fail" and check.advice


def test_without_strace_the_doctor_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotProve, match="apt-get install strace"):
        trace(["true"], tmp_path, timeout_s=5)
    (check,) = doctor.air_gap(1.0)
    assert check.verdict == "warn" and "strace is missing" in check.detail
