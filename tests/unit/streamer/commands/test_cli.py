"""Every wrong use ends in one sentence on stderr and a code, never a traceback."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from PIL import Image

from visavis.streamer.commands.enroll import enrol_into_store
from visavis.streamer.config import Config

ROOT = Path(__file__).resolve().parents[4]


def visavis(*arguments: str, data: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "visavis.streamer", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, "VISAVIS_DATA": str(data), **environ},
    )


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    path = tmp_path / "tone.wav"
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(bytes(3200))
    return path


def test_version_goes_to_stdout(tmp_path: Path) -> None:
    done = visavis("--version", data=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("visavis 0.")


def test_without_arguments_there_is_help_and_nothing_else(tmp_path: Path) -> None:
    done = visavis(data=tmp_path)
    assert (done.returncode, done.stderr) == (2, "") and "Usage" in done.stdout


def test_names_are_neither_markup_nor_obeyed_by_a_terminal(tmp_path: Path) -> None:
    """A closing tag as a name once ended every later list in an error of Rich's."""
    data = tmp_path / "[data]"
    made = visavis("tokens", "create", "--scope", "watch", "--name", "[/x]\x1b[31mBob", data=data)
    assert made.returncode == 0, made.stderr
    listed = visavis("tokens", "list", data=data, COLUMNS="160")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "[/x]\N{REPLACEMENT CHARACTER}[31mBob" in listed.stdout
    assert "[data]" in visavis("settings", data=data, COLUMNS="300").stdout


def test_ctrl_c_while_it_loads_is_quiet(tmp_path: Path) -> None:
    """A module that is loaded on the way presses it, so that nothing depends on the machine."""
    (tmp_path / "typer.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)\n")
    done = visavis("avatars", data=tmp_path, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["avatarz"], "No such command"),
        (["render", "--audio", "x.wav"], "--output"),
        (["render", "--audio", "no.wav", "-o", "o.mp4", "--photo", "p.jpg"], "no file no.wav"),
        (["render", "--audio", "TONE", "-o", "o.mp4"], "--photo or --avatar"),
        (["render", "--audio", "TONE", "-o", "o.mp4", "--avatar", "../../etc"], "avatar"),
        (["render", "--audio", "TONE", "-o", "o.mp4", "--photo", "no.jpg"], "cannot be read"),
        (["render", "--audio", "TONE", "-o", "o.mp4", "--photo", "TONE", "--consent"], "picture"),
        (["render", "--audio", "TONE", "-o", "o.mp4", "--photo", "x", "--size", "99"], "256, 384"),
        (
            ["render", "--audio", "TONE", "-o", "o.mp4", "--photo", "x", "--engine", "cuda"],
            "engine cuda",
        ),
        (["render", "--audio", "TONE", "-o", "o.mp4", "--photo", "TONE"], "--consent"),
        (["render", "--audio", "TONE", "-o", "o.mp4", "--avatar", "a" * 5000], "no such avatar"),
        (
            ["render", "--audio", "TONE", "-o", "o.mp4", "--photo", "x", "--background", "green"],
            "--canvas",
        ),
        (
            [
                "render",
                "--audio",
                "TONE",
                "-o",
                "o.mp4",
                "--photo",
                "x",
                "--consent",
                "--canvas",
                "512x512",
                "--background",
                "transparent",
            ],
            "must end in .mov",
        ),
        (["enroll", "TONE", "--name", "n" * 81, "--consent"], "picture"),
        (["enroll", "x" * 5000, "--name", "x", "--consent"], "cannot be read"),
        (["avatars", "--data", "d" * 5000], "data folder"),
        (["avatars", "show", "nobody"], "avatar"),
        (["avatars", "frobnicate"], "avatars"),
        (["bench", "speed"], "choose"),
        (["build", "--engine", "cuda"], "ahead of time"),
        (["build", "--target", "sm90"], "tensorrt-cu13"),
        (["build", "--target", "sm89", "--graph", "TONE"], "no graph"),
        (["train", "cats"], "choose"),
        (["serve", "--port", "99999"], "port"),
        (["serve", "--host", "0.0.0.0"], "token"),
        (["enroll", "TONE", "--name", "x"], "--consent says"),
        (["enroll", "TONE", "--name", " \t ", "--consent"], "--name says"),
        (["enroll", "PHOTO", "--name", "x", "--consent", "--expires", "2020-01-01"], "has passed"),
        (["verify", "no.mp4"], "does not exist"),
        (["verify", "/"], "no ordinary file"),
        (["tokens", "create", "--scope", "enrol", "--avatar", "a" * 32], "avatar"),
        (["audit", "show", "nobody"], "nothing about nobody"),
        (["motion", "--audio", "/", "-o", "o.csv"], "no ordinary file"),
    ],
)
def test_wrong_use_is_one_sentence(
    tmp_path: Path, tone: Path, arguments: list[str], says: str
) -> None:
    photo = tmp_path / "grey.png"
    Image.new("RGB", (400, 400), "grey").save(photo)
    named = {"TONE": str(tone), "PHOTO": str(photo)}
    done = visavis(*[named.get(a, a) for a in arguments], data=tmp_path / "data")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("visavis: ") and says in last
    assert not list(ROOT.glob("o.mp4"))
    assert not list(tmp_path.glob("data/avatars/*")), "a failure leaves no avatar behind"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["bench", "latency", "--help"], "usage: visavis bench latency"),
        (["bench", "compare", "--help"], "usage: visavis bench compare"),
        ([], "Usage: visavis"),
        (["bench", "--help"], "Usage: visavis bench"),
        (["bench"], "Usage: visavis bench"),
        (["train", "--help"], "Usage: visavis train"),
    ],
)
def test_help_is_of_what_was_asked_for(tmp_path: Path, arguments: list[str], says: str) -> None:
    done = visavis(*arguments, data=tmp_path, COLUMNS="200")
    assert done.returncode == (0 if arguments else 2), done.stderr
    assert says in done.stdout and not done.stderr


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            "visavis.models.appearance.photo.errors.IdentityError('The file is damaged.')",
            "damaged.",
        ),
        ("visavis.models.shipped.WeightsError('The weights do not match.')", "do not match."),
        ("visavis.models.shipped.WeightsMissing('The weights are missing.')", "are missing."),
        ("visavis.streamer.avatars.enrolment.EnrolmentFailed('It took too long.')", "too long."),
        ("visavis.engines.base.EngineError('No engine.')", "No engine."),
        ("OSError(36, 'File name too long', 'x.mp4')", "x.mp4: File name too long."),
        ("OSError(28, 'No space left on device')", "No space left on device."),
    ],
)
def test_errors_of_models_and_disks_are_one_sentence(error: str, says: str) -> None:
    """They came out as "Something went wrong that should not"."""
    script = (
        "import sys, visavis.models.shipped, visavis.streamer.avatars.enrolment\n"
        "import visavis.models.appearance.photo.errors\n"
        "from visavis.streamer.cli import main\n"
        f"def app(**_): raise {error}\n"
        "main.app = app\n"
        "main.main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.startswith("visavis: ") and done.stderr.strip().endswith(says)
    assert done.stderr.count("\n") == 1


def test_an_enrolment_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    photo = io.BytesIO()
    Image.new("RGB", (400, 400), "grey").save(photo, "PNG")

    def stopped(done: float, stage: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enrol_into_store(Config(data_dir=tmp_path), photo.getvalue(), "Ada", True, stopped)
    assert list((tmp_path / "avatars").iterdir()) == []
