"""``python -m tests.install.debian``: the README's two commands on a new Debian, as root.

Makes a Debian root with ``debootstrap``, clones the committed tree into it, runs ``make run`` there
with the system's own Python, enrols a photo over HTTP's own command line and renders a video.
Nothing of this machine is used in it but the kernel, the network, the certificates it trusts and
pip's configuration.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
from PIL import Image

_TREE = Path(__file__).resolve().parents[2]
_INCLUDE = "python3,python3-venv,make,git,ca-certificates"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_CONFIGURATION = (Path("/etc/pip.conf"), Path("/etc/xdg/pip"))
_LIMIT_S = 900
_SERVES = """
cd /root/visavis && PYTHONUNBUFFERED=1 make run ARGS='--port 8471' >/root/serve.log 2>&1 &
for second in $(seq 600); do
  python3 -c 'import urllib.request; urllib.request.urlopen("http://127.0.0.1:8471/", timeout=2)' \
    2>/dev/null && { echo "up after $second"; kill %1; wait; exit 0; }
  sleep 1; kill -0 %1 2>/dev/null || break
done
cat /root/serve.log; kill %1 2>/dev/null; exit 1
"""


class DebianRoot:
    """A Debian in a folder.

    Args:
        folder: where it is, or is to be made.
        suite: Debian's name of the release.
        mirror: of packages.
    """

    def __init__(self, folder: Path, suite: str, mirror: str) -> None:
        self.folder, self.suite, self.mirror = folder, suite, mirror

    def make(self) -> None:
        """Make it, if it is not there; copy in what lets pip reach its registry."""
        if not (self.folder / "usr/bin/python3").exists():
            command = ["debootstrap", "--variant=minbase", f"--include={_INCLUDE}", self.suite]
            _run([*command, str(self.folder), self.mirror])
        if _CERTIFICATES.exists():
            shutil.copy(_CERTIFICATES, self.folder / _CERTIFICATES.relative_to("/"))
        for path in _CONFIGURATION:
            target = self.folder / path.relative_to("/")
            if path.is_dir():
                shutil.copytree(path, target, dirs_exist_ok=True)
            elif path.exists():
                shutil.copy(path, target)
        shutil.copy("/etc/resolv.conf", self.folder / "etc/resolv.conf")

    def run(self, script: str) -> str:
        """Run a shell script inside, with /proc and /dev of its own; return what it printed."""
        root = str(self.folder)
        inside = (
            f'mount -t proc proc "{root}/proc" && mount --rbind /dev "{root}/dev" && '
            f'exec chroot "{root}" /usr/bin/env -i HOME=/root TERM=dumb '
            f'PATH=/usr/sbin:/usr/bin:/sbin:/bin PIP_DEFAULT_TIMEOUT=180 bash -c "$1"'
        )
        # With processes of its own: what is still running goes with the shell that started it.
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return _run([*apart, "sh", "-c", inside, "sh", script])


def lacking() -> str:
    """Return why it cannot be tried here; nothing where it can."""
    if os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "a Debian root is made as root only"
    missing = [name for name in ("debootstrap", "unshare", "chroot") if not shutil.which(name)]
    return f"{', '.join(missing)} is not installed" if missing else ""


def mirror() -> str:
    """Return the mirror that this machine's own apt uses, or Debian's."""
    files = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    text = "\n".join(p.read_text(errors="replace") for p in files if p.is_file())
    found = re.search(r"https?://\S+/debian/?(?=\s)", text)
    return found.group(0) if found else "http://deb.debian.org/debian"


def prove(root: DebianRoot, photo: Path) -> dict[str, object]:
    """Install, serve, enrol and render inside; return what was measured.

    Raises:
        RuntimeError: a step failed; what it printed is in the message.
    """
    seconds: dict[str, float] = {}

    def timed(name: str, script: str) -> str:
        began = time.monotonic()
        said = root.run(script)
        seconds[name] = round(time.monotonic() - began, 1)
        return said

    tree = root.folder / "root/tree.git"
    shutil.rmtree(tree, ignore_errors=True)
    _run(["git", "clone", "-q", "--bare", str(_TREE), str(tree)])
    shutil.copy(photo, root.folder / "root/photo.png")
    _talk(root.folder / "root/talk.wav")
    root.run("rm -rf /root/visavis /root/.local && git clone -q /root/tree.git /root/visavis")
    timed("make run, from nothing to served", _SERVES)
    said = timed(
        "enrol",
        "cd /root/visavis && .venv/bin/visavis enroll /root/photo.png --name Ada --consent",
    )
    found = re.search(r"\b[0-9a-z][0-9a-z_-]{7,}\b(?=\s*$)", said.strip())
    if found is None:
        raise RuntimeError(f"enrolling printed no id: {said}")
    timed(
        "render 3 s of sound",
        f"cd /root/visavis && .venv/bin/visavis render --avatar {found.group(0)} --force "
        "--audio /root/talk.wav -o /root/talk.mp4",
    )
    video = root.folder / "root/talk.mp4"
    if not video.exists() or video.stat().st_size < 20_000:
        raise RuntimeError("render left no video")
    versions = root.run(
        "cd /root/visavis && .venv/bin/python -c 'import sys, numpy, cv2, onnxruntime, json;"
        'import importlib.util as u; print(json.dumps({"python": sys.version.split()[0],'
        '"numpy": numpy.__version__, "opencv": cv2.__version__,'
        '"onnxruntime": onnxruntime.__version__,'
        '"mediapipe": bool(u.find_spec("mediapipe"))}))\''
    )
    size = root.run("du -sm /root/visavis/.venv | cut -f1")
    return {
        "suite": root.suite, "seconds": seconds, "installed_mb": int(size),
        "versions": json.loads(versions.strip().splitlines()[-1]),
    }  # fmt: skip


def _talk(path: Path) -> None:
    """Write three seconds that sound a little like syllables."""
    t = np.arange(3 * 16000) / 16000
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20))
    loud = np.clip(np.sin(2 * np.pi * 3.5 * t), 0, 1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((6000 * buzz * loud).astype("<i2").tobytes())


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def main() -> int:
    """Run it; print what was measured as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="folder of the Debian; kept for the next time")
    parser.add_argument("--suite", default="trixie")
    parser.add_argument("--photo", type=Path, help="default: skimage's astronaut")
    arguments = parser.parse_args()
    if reason := lacking():
        print(f"Left out: {reason}.", file=sys.stderr)
        return 2
    root = DebianRoot(arguments.root.resolve(), arguments.suite, mirror())
    began = time.monotonic()
    root.make()
    made = round(time.monotonic() - began, 1)
    photo = arguments.photo
    if photo is None:
        from skimage.data import astronaut

        photo = root.folder / "astronaut.png"
        Image.fromarray(astronaut()).save(photo)
    print(json.dumps({"debootstrap_s": made, **prove(root, photo)}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
