"""The child may crash, hang, lie or flood: its parent says one sentence and leaves nothing."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.fakes.processes.signals import can_be_interrupted
from visavis.models.appearance.photo.errors import EnrolmentRefused
from visavis.models.appearance.photo.photo import PhotoRefused
from visavis.streamer.avatars.compiled import compiled_packages, lend_compiled
from visavis.streamer.avatars.enrolment import (
    EnrolmentFailed,
    EnrolmentResult,
    enrol_photo,
    enrol_photo_sync,
)
from visavis.streamer.avatars.process import COMPILED
from visavis.streamer.avatars.sandbox import MEASURES

pytestmark = pytest.mark.timeout(60)
FAKE = "tests.fakes.processes.enrol_child"
ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(autouse=True)
def fakes_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child starts in a folder of its own and knows what is installed; fakes are not."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def granted(measure: str, held: Iterable[str]) -> None:
    """Skip where the kernel does not grant a measure; the whole check counts that as a failure."""
    if measure not in held:
        pytest.skip(f"this kernel does not grant {measure}")


def jpeg_that(says: str) -> bytes:
    return b"\xff\xd8\xff\0" + says.encode()


def run(says: str, out: Path, timeout_s: float = 20.0, **options: object) -> EnrolmentResult:
    return enrol_photo_sync(
        jpeg_that(says), out, size=512, timeout_s=timeout_s, module=FAKE, **options
    )


@pytest.mark.parametrize(
    ("says", "timeout_s", "sentence"),
    [
        ("crash", 20, "broke off"),
        ("silent", 20, "broke off"),
        ("noise", 20, "broke off"),
        ("longline", 20, "broke off"),
        ("flood", 20, "broke off"),
        ("spin", 20, "processor time"),
        ("hang", 1.5, "longer than 1.5 seconds"),
        ("lie", 20, "no usable result"),
        ("huge", 20, "no usable result"),
        ("full", 20, "no room left"),
        ("open", 20, "does not grant: no files"),
        ("illegal", 20, "processor"),
    ],
)
def test_a_broken_child_is_one_sentence(
    tmp_path: Path, says: str, timeout_s: float, sentence: str
) -> None:
    with pytest.raises(EnrolmentFailed, match=sentence) as caught:
        run(says, tmp_path / "identity.vav", timeout_s)
    assert "traceback" not in str(caught.value) and str(caught.value).endswith(".")
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_told_apart_and_cleaned(tmp_path: Path) -> None:
    with pytest.raises(EnrolmentRefused, match="No face was found") as caught:
        run("refuse", tmp_path / "identity.vav")
    assert str(caught.value).isprintable() and len(str(caught.value)) <= 300
    assert list(tmp_path.iterdir()) == []


def test_the_child_gets_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISAVIS_TOKEN", "secret")
    result = run("environment", tmp_path / "identity.vav")
    assert "VISAVIS_TOKEN" not in result.notes and "OMP_NUM_THREADS" in result.notes
    assert result.held[0].startswith(str(tmp_path))  # its working folder, which is gone
    assert [p.name for p in tmp_path.iterdir()] == ["identity.vav"]
    assert (tmp_path / "identity.vav").stat().st_mode & 0o777 == 0o600


def test_what_is_no_picture_starts_no_child(tmp_path: Path) -> None:
    with pytest.raises(PhotoRefused):
        enrol_photo_sync(b"%PDF-1.7", tmp_path / "x", size=512, timeout_s=5, module="no.such")


def test_a_parent_that_is_killed_leaves_no_face(tmp_path: Path) -> None:
    """TERM tidies up; KILL cannot, but what it leaves holds nothing of the photo."""
    script = (
        "import sys; from pathlib import Path\n"
        "from visavis.streamer.avatars.enrolment import read_photo_sync as read\n"
        "def said(done, stage): print(stage, flush=True)\n"
        f"read({jpeg_that('leave')!r}, size=512, timeout_s=60, module={FAKE!r}, progress=said,"
        " workplace=Path(sys.argv[1]))"
    )
    for kind in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        parent = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            preexec_fn=can_be_interrupted,
        )
        assert parent.stdout is not None and parent.stdout.readline() == b"Working\n"
        (child,) = psutil.Process(parent.pid).children()
        parent.send_signal(kind)
        parent.wait(20)
        parent.stdout.close()
        with contextlib.suppress(psutil.NoSuchProcess):  # the fake one is not confined
            child.kill() if kind == signal.SIGKILL else child.wait(5)
        faces = [p for p in tmp_path.rglob("*") if p.is_file() and b"a face" in p.read_bytes()]
        assert faces == []
        if kind != signal.SIGKILL:
            assert list(tmp_path.iterdir()) == []


def test_a_relative_folder_is_no_trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("environment", Path("identity.vav"))
    assert [p.name for p in tmp_path.iterdir()] == ["identity.vav"]


async def test_cancelling_kills_the_child(tmp_path: Path) -> None:
    started = asyncio.Event()
    task = asyncio.ensure_future(
        enrol_photo(
            jpeg_that("hang"),
            tmp_path / "identity.vav",
            size=512,
            timeout_s=60,
            module=FAKE,
            progress=lambda done, stage: started.set(),
        )
    )
    await asyncio.wait_for(started.wait(), 30)
    children = [c for c in psutil.Process().children() if FAKE in c.cmdline()]
    assert len(children) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not children[0].is_running()
    assert os.listdir(tmp_path) == []


# --- the real child -------------------------------------------------------------------------


def astronaut() -> bytes:
    from skimage.data import astronaut

    out = io.BytesIO()
    Image.fromarray(astronaut()).save(out, "JPEG", quality=92)
    return out.getvalue()


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EnrolmentResult, list, float]:
    out = tmp_path_factory.mktemp("avatar") / "identity.vav"
    said: list[tuple[float, str]] = []
    began = time.monotonic()
    result = enrol_photo_sync(
        astronaut(), out, size=512, timeout_s=120, progress=lambda d, s: said.append((d, s))
    )
    return out, result, said, time.monotonic() - began


def test_a_real_photo_becomes_a_bundle(enrolled: tuple) -> None:
    from visavis.models.appearance.identity import Identity

    out, result, _, _ = enrolled
    identity = Identity.load(out)
    assert identity.inter_ocular_px > 50
    assert Image.open(io.BytesIO(result.preview)).size == (512, 512)
    assert [p.name for p in out.parent.iterdir()] == ["identity.vav"]


def test_progress_only_grows(enrolled: tuple) -> None:
    shares = [done for done, _ in enrolled[2]]
    assert len(shares) >= 5 and shares == sorted(shares)
    assert 0 < shares[0] < 0.2 and shares[-1] >= 0.9


def test_the_child_is_confined_and_says_how(enrolled: tuple) -> None:
    assert set(enrolled[1].held) <= set(MEASURES)
    granted("limits", enrolled[1].held)
    granted("dies-with-parent", enrolled[1].held)
    assert {"enrol", "photo", "tracker", "all"} <= set(enrolled[1].timing)


def test_a_photo_without_a_face_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGB", (400, 400), (90, 120, 150)).save(out, "PNG")
    with pytest.raises(EnrolmentRefused, match="No face"):
        enrol_photo_sync(out.getvalue(), tmp_path / "x", size=512, timeout_s=60)


def test_a_damaged_photo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnrolmentRefused, match="damaged"):
        enrol_photo_sync(astronaut()[:9000], tmp_path / "x", size=512, timeout_s=60)


def test_all_that_is_compiled_can_be_lent() -> None:
    """A folder that is left out is compiled anew for every photo: seconds, and nobody is told."""
    compiled = {
        path.parent for path in (ROOT / "models").rglob("*.py") if "njit(cache" in path.read_text()
    }
    assert compiled
    assert compiled <= set(compiled_packages())


def test_what_was_compiled_is_copied_into_the_child_s_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = next(p for p in compiled_packages() if p.parent.parent.name == "models")
    name = f"{deep.name}_{hashlib.sha1(str(deep).encode()).hexdigest()}"
    (tmp_path / "cache" / name).mkdir(parents=True)
    (tmp_path / "cache" / name / "loop.nbi").write_bytes(b"index")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    asyncio.run(lend_compiled(tmp_path, None))
    assert (tmp_path / COMPILED / name / "loop.nbi").read_bytes() == b"index"


def test_lending_makes_no_folder_anew_that_was_erased_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that copies goes on when the enrolment is stopped; the avatar must stay gone."""
    deep = next(p for p in compiled_packages() if p.parent.parent.name == "models")
    name = f"{deep.name}_{hashlib.sha1(str(deep).encode()).hexdigest()}"
    (tmp_path / "cache" / name).mkdir(parents=True)
    (tmp_path / "cache" / name / "loop.nbi").write_bytes(b"index")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    asyncio.run(lend_compiled(tmp_path / "avatars" / "erased" / ".enrol-x", None))
    assert not (tmp_path / "avatars").exists()
