"""``visavis verify``: what a file says of itself, in words, JSON and exit codes."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.unit.streamer.trust.test_watermark import person
from visavis.streamer.cli.main import app
from visavis.streamer.errors import BadRequest
from visavis.streamer.trust.marks.deployment import payload_for, watermark_key
from visavis.streamer.trust.marks.mark import MARKED, Marker, Marking
from visavis.streamer.trust.marks.verdict import LABELLED, LARGEST, label_in, verify_file

SIZE = 256


def film(path: Path, marking: Marking) -> Path:
    marker = Marker(marking)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "superfast", "crf": "26"}
        for number, picture in enumerate(person()):
            frame = av.VideoFrame.from_ndarray(marker.i420(picture, number), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    payload = payload_for(folder, "a session")
    makes = {
        "both": Marking(payload=payload),
        "label": Marking(),
        "mark": Marking(False, payload),
        "none": Marking(False),
    }
    return {"data": folder} | {n: film(folder / f"{n}.mp4", m) for n, m in makes.items()}


def test_each_mark_is_found_by_itself(files: dict[str, Path], tmp_path: Path) -> None:
    key = watermark_key(files["data"])
    both = verify_file(files["both"], key)
    assert both.made_here is True and both.label == 1.0 and "this server" in both.words
    assert verify_file(files["both"], bytes(32)).made_here is False
    assert verify_file(files["both"]).made_here is None
    label = verify_file(files["label"], key)
    assert (label.watermark, label.label) == ("", 1.0) and label.is_marked
    mark = verify_file(files["mark"], key)
    assert mark.watermark == both.watermark and mark.label == 0.0 and "taken out" in mark.words
    none = verify_file(files["none"], key)
    assert not none.is_marked and "does not say that it is genuine" in none.words


def test_what_a_program_without_a_name_made_says_so(tmp_path: Path) -> None:
    said = verify_file(film(tmp_path / "unnamed.mp4", MARKED), bytes(32))
    assert said.is_marked and said.made_here is False and "gave no name" in said.words


def test_the_command_has_words_json_and_exit_codes(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film")

    def run(*words: str) -> tuple[int, str]:
        said = CliRunner().invoke(app, ["verify", *words, "--data", str(files["data"])])
        return said.exit_code, said.output

    code, output = run(str(files["both"]))
    assert code == 0 and "Generated" in output
    code, output = run(str(files["both"]), str(files["none"]))
    assert code == 3 and "Nothing was found" in output
    code, output = run(str(files["both"]), str(tmp_path / "text.mp4"))
    assert code == 2 and "cannot be read" in output
    code, output = run("--json", str(files["mark"]))
    said = json.loads(output)
    assert code == 0 and said["marked"] and said["made_here"] and len(said["watermark"]) == 16


@pytest.mark.parametrize("ratio", [0.5, 0.75, 1.0, 1.5, 2.0])
def test_the_words_are_found_at_other_sizes(ratio: float) -> None:
    picture = person(1, 512)[0]
    marked, plain = Marker(Marking()).rgb(picture), picture
    for shown, there in ((marked, True), (plain, False)):
        luma = cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY)
        seen = cv2.resize(luma, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        assert (label_in(seen) >= LABELLED) == there


@pytest.mark.parametrize("size", [(720, 1280), (1280, 720), (1080, 1920), (512, 512)])
def test_the_words_are_found_on_every_canvas(size: tuple[int, int]) -> None:
    """At 1280 by 720 they fell between two sizes that were looked for, and were said to be gone."""
    height, width = size
    for shade in ((40, 160, 60), (30, 60, 170), (200, 200, 200)):
        canvas = np.full((height, width, 3), shade, np.uint8)
        marked = Marker(Marking()).rgb(canvas.copy())
        for shown, there in ((marked, True), (canvas, False)):
            luma = cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY)
            ratio = min(1.0, LARGEST / max(size))
            seen = cv2.resize(luma, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
            assert (label_in(seen) >= LABELLED) == there


def test_what_is_no_video_is_one_sentence(tmp_path: Path) -> None:
    for name, data in (("a.mp4", b""), ("b.mp4", b"RIFF"), ("c.png", bytes(100))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadRequest, match=name):
            verify_file(tmp_path / name)
    with pytest.raises(BadRequest):
        verify_file(tmp_path / "not there.mp4")
    assert label_in(np.zeros((40, 40), np.uint8)) == 0.0
