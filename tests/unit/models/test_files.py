"""One way to write a file: whole or not at all, on a full disk, through a kill."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from visavis.models.files import SHARED, atomic_path, atomic_write

ROOT = Path(__file__).resolve().parents[3]


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    atomic_write(path, b"one")
    assert path.read_bytes() == b"one" and path.stat().st_mode & 0o777 == 0o600
    atomic_write(path, b"two", mode=SHARED)
    assert path.read_bytes() == b"two" and path.stat().st_mode & 0o077 == 0o044 & ~_mask()
    assert list(tmp_path.iterdir()) == [path]


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_what_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    atomic_write(path, b"old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as partial:
        assert partial.suffix == ".npz" and partial.parent == tmp_path
        partial.write_bytes(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic_write(tmp_path / "gone" / "a", b"x")


def test_a_limit_on_files_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    atomic_write(path, b"old")
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from visavis.models.files import atomic_write\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: atomic_write(Path(sys.argv[1]), bytes(5000))\n"
        "except OSError as error: print(error.errno)"
    )
    command = [sys.executable, "-c", script, str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert said.strip() == "27"  # EFBIG
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


ENROL_ON_A_FULL_DISK = """
import asyncio, json, os, subprocess, sys
from pathlib import Path
from visavis.models.files import atomic_write
from visavis.streamer.avatars.enrolment import EnrolmentResult
from visavis.streamer.avatars.store import AvatarStore
from visavis.streamer.config import LimitsConfig
from visavis.streamer.errors import VisavisError

disk, left = Path(sys.argv[1]), int(sys.argv[2])
mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)])
if mounted.returncode:
    sys.exit(77)

async def enrol(data, out, **options):
    await asyncio.to_thread(atomic_write, out, bytes(300_000))
    return EnrolmentResult((), bytes(60_000), ())

async def main():
    store = AvatarStore(disk, LimitsConfig(), 512, enroller=enrol)
    store.note("erase", "0" * 32)  # the log is there already
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass
    os.truncate(filler, filler.stat().st_size // 4096 * 4096 - left * 4096)
    before = len(os.listdir("/proc/self/fd"))
    photo = b"\\xff\\xd8\\xff a photo"
    try:
        record = await store.start_enrolment(photo, "Ada", "I agree.", True)
        record = await store.wait(record.id)
        said = [record.status, record.reason]
        assert store.get(record.id).status == record.status
        if record.status == "failed":
            files = {p.name for p in (disk / "avatars" / record.id).iterdir()}
            assert files <= {".lock", "record.json"}, files
    except VisavisError as error:
        said = ["refused", str(error)]
    assert len(os.listdir("/proc/self/fd")) <= before, "no descriptor is lost"
    for record in store.list():
        await store.retire(record.id, lambda _: asyncio.sleep(0))
    filler.unlink()
    again = await store.start_enrolment(photo, "Ada", "I agree.", True)
    assert (await store.wait(again.id)).status == "ready", "with room it goes on"
    assert [r.id for r in store.list()] == [again.id]
    await store.close()
    print(json.dumps(said))

asyncio.run(main())
"""


@pytest.mark.parametrize("pages", [0, 1, 2, 3, 10, 40, 76, 80, 90, 91, 92, 93, 120])
def test_a_disk_that_is_full_at_any_step_of_an_enrolment(tmp_path: Path, pages: int) -> None:
    """A real small disk with so many pages left."""
    command = ["unshare", "--mount", "--", sys.executable, "-c", ENROL_ON_A_FULL_DISK]
    if os.getuid() != 0:
        command[1:2] = ["--map-root-user", "--mount"]
    done = subprocess.run(
        [*command, str(tmp_path), str(pages)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    if done.returncode == 77 or "unshare" in done.stderr.partition("\n")[0]:
        pytest.skip("this system lets nobody mount a small disk")
    assert done.returncode == 0, done.stderr
    status, reason = done.stdout.strip()[2:-2].split('", "')
    if pages >= 120:
        assert status == "ready"
    else:
        assert status in ("failed", "refused", "ready")
        assert status == "ready" or "no room left" in reason or "No space left" in reason
        assert "photo" not in reason.lower(), "the photo is not to blame"
