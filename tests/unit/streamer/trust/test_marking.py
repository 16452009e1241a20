"""The door for pictures: every exit is known, and what leaves by it carries the label."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import visavis.streamer
from tests.fakes.fake_pipeline import FakeDrawer, FakePipelines
from visavis.streamer.commands.render import render_file
from visavis.streamer.config import TrustConfig
from visavis.streamer.errors import BadRequest
from visavis.streamer.media.files.recorder import Recorder
from visavis.streamer.media.picture_ring import PictureRing, create
from visavis.streamer.rooms.recording.film import Film
from visavis.streamer.trust.marks.label import draw_label
from visavis.streamer.trust.marks.mark import EXITS, KEPT, MARKED, Marker, Marking, decide
from visavis.streamer.trust.marks.watermark import UNNAMED
from visavis.streamer.trust.marks.watermark_detector import detect
from visavis.streamer.worker.pipeline.pipeline import RATE, SlotSpec, WorkerSettings
from visavis.streamer.worker.raw import RawAvatar
from visavis.streamer.worker.slot import Slot

ROOT = Path(visavis.streamer.__path__[0])
FRAMES = 12
DRAWING = {"render", "straight"}  # what hands out a drawn picture
SHAPES = ((256, 256), (512, 512), (1280, 720), (1920, 1080), (720, 1280))


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    path = tmp_path / "anna.vav"
    path.write_bytes(b"")
    return str(path)


# ---------------------------------------------------------------- what exits there are


def functions(tree: ast.AST, above: str = "") -> Iterator[tuple[str, ast.AST]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{above}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{above}{node.name}.")
        else:
            yield from functions(node, above)


def draws(node: ast.AST) -> bool:
    """Whether pictures are drawn here.

    By ``anything.render(coefficients)``, ``canvas.straight()`` or ``draw_film()``.
    """
    for at in ast.walk(node):
        if isinstance(at, ast.Call) and isinstance(at.func, ast.Attribute):
            if at.func.attr == "render" and len(at.args) == 1:
                return True
            if at.func.attr == "straight" and not at.args:
                return True
        if isinstance(at, ast.Call) and getattr(at.func, "id", "") == "draw_film":
            return True
    return False


def marks(node: ast.AST) -> bool:
    """Whether the door is used here."""
    names = {a.attr for a in ast.walk(node) if isinstance(a, ast.Attribute)}
    return bool(names & {"i420", "rgb", "planar", "marked"})


def drawing_places() -> dict[str, bool]:
    """Every function of the product that draws pictures, and whether it uses the door."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(("visavis.streamer", *path.relative_to(ROOT).with_suffix("").parts))
        for name, node in functions(ast.parse(path.read_text("utf-8"))):
            if draws(node):
                found[f"{module}:{name}"] = marks(node)
    return found


def test_every_place_that_draws_is_an_exit_with_a_door_or_known_to_keep_it() -> None:
    places = drawing_places()
    assert set(places) == set(EXITS) | set(KEPT), "declare a new exit in trust.mark, and use it"
    assert all(places[name] for name in EXITS)


def test_a_new_exit_that_bypasses_the_door_is_found() -> None:
    sneaky = ast.parse("class Out:\n def send(self, row):\n  self.put(self.drawer.render(row))")
    [(name, node)] = functions(sneaky)
    assert name == "Out.send" and draws(node) and not marks(node)


def test_nothing_but_the_door_and_checks_makes_yuv_of_pictures() -> None:
    users = set()
    for path in ROOT.rglob("*.py"):
        names = {
            n.id for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Name)
        }
        if names & {"to_i420", "to_yuv"}:
            users.add(str(path.relative_to(ROOT)))
    assert users == {
        "media/encoder.py",
        "trust/marks/mark.py",
        "worker/i420.py",
        "commands/doctor.py",
    }


# ---------------------------------------------------------------- what leaves by them


def labelled(rgb: np.ndarray, *, width: int = 0) -> float:
    """How much of the label is in a picture: correlation with the label's own shape."""
    patch = draw_label(width or rgb.shape[1], rgb.shape[0])
    rows, columns = patch.rest.shape
    seen = rgb[patch.top : patch.top + rows, patch.left : patch.left + columns].mean(2)
    seen, wanted = seen - seen.mean(), patch.grey / 256.0 - (patch.grey / 256.0).mean()
    scale = np.linalg.norm(seen) * np.linalg.norm(wanted)
    return float((seen * wanted).sum() / scale) if scale else 0.0


def fed(slot: Slot) -> Slot:
    rng = np.random.default_rng(0)
    slot.feed(0, (rng.standard_normal((FRAMES + 3) * RATE // 25) * 3000).astype(np.int16))
    while slot.deadline() is not None:
        slot.work()
    return slot


def decoded(codec: str, packets: list[bytes]) -> list[np.ndarray]:
    decoder = av.CodecContext.create({"H264": "h264", "VP8": "vp8"}[codec], "r")
    frames = [f for data in packets for f in decoder.decode(av.Packet(data))]
    return [f.to_ndarray(format="rgb24") for f in [*frames, *decoder.decode(None)]]


def read(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as file:
        return [f.to_ndarray(format="rgb24") for f in file.decode(video=0)]


def packets(bundle: str, codec: str, marking: Marking) -> list[tuple[int, bytes, bool]]:
    spec = SlotSpec(bundle, size=256, codec=codec, bitrate_kbps=300, ring_ms=4000)
    slot = fed(Slot(spec, FakePipelines().open(spec), marking=marking))
    ticks = [slot.tick(n) for n in range(FRAMES)]
    return [(p.frame, p.data, p.keyframe) for p in ticks if p is not None]


def live(codec: str) -> Callable[[str, Path, Marking], list[np.ndarray]]:
    def exit_(bundle: str, folder: Path, marking: Marking) -> list[np.ndarray]:
        return decoded(codec, [data for _, data, _ in packets(bundle, codec, marking)])

    return exit_


def room_recording(bundle: str, folder: Path, marking: Marking) -> list[np.ndarray]:
    sent = packets(bundle, "H264", marking)
    film = Film((folder / "room.mp4").open("xb", buffering=0), ".mp4", sent[0][1], 0, 25)
    for frame, data, keyframe in sent:
        film.picture(frame, data, keyframe)
    film.close()
    return read(folder / "room.mp4")


def presented(bundle: str, folder: Path, marking: Marking) -> list[np.ndarray]:
    spec = SlotSpec(bundle, canvas="1280x720", ring_ms=4000)
    slot = fed(Slot(spec, FakePipelines().open(spec), raw="i420", marking=marking))
    recorder = Recorder(folder / "talk.mp4", 1280, 720, 25)
    shown = [slot.release(n) for n in range(FRAMES)]
    for each in shown:
        assert each is not None
        recorder.put(each.frame, each.picture, np.zeros(1920, np.int16))
    recorder.close()
    return read(folder / "talk.mp4")


def agents(bundle: str, folder: Path, marking: Marking) -> list[np.ndarray]:
    spec = SlotSpec(bundle, size=256, ring_ms=4000)
    slot = fed(Slot(spec, FakePipelines().open(spec), marking=marking))
    path = create(256, 256, folder)
    reader = PictureRing(path)
    slot.share_pictures(PictureRing(path, writes=True))
    shown = []
    for n in range(FRAMES):
        slot.tick(n)
        picture = reader.get(n)
        assert picture is not None
        frame = av.VideoFrame.from_ndarray(picture.copy(), format="yuv420p")
        shown.append(frame.to_ndarray(format="rgb24"))
    return shown


def raw(form: str) -> Callable[[str, Path, Marking], list[np.ndarray]]:
    def exit_(bundle: str, folder: Path, marking: Marking) -> list[np.ndarray]:
        spec = SlotSpec(bundle, size=256)
        source = RawAvatar(FakePipelines().open(spec), form=form, marking=marking)  # type: ignore[arg-type]
        source.idle(FRAMES + 2)
        pictures = [f.picture for f in source.frames()]
        if form == "rgb":
            return pictures
        return [
            av.VideoFrame.from_ndarray(p, format="yuv420p").to_ndarray(format="rgb24")
            for p in pictures
        ]

    return exit_


class _Motion:
    SAMPLE_RATE, fps = RATE, 25

    def __init__(self) -> None:
        self._pushed = self._given = 0

    def push(self, pcm: np.ndarray) -> np.ndarray:
        self._pushed += len(pcm)
        count = self._pushed * 25 // RATE - self._given
        self._given += count
        return np.zeros((count, 3), np.float32)


def rendered(bundle: str, folder: Path, marking: Marking) -> list[np.ndarray]:
    import wave

    with wave.open(str(folder / "said.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(2 * FRAMES * RATE // 25))
    render_file(
        _Motion(), [FakeDrawer(bundle, 256)], folder / "said.wav", folder / "said.mp4",  # type: ignore[arg-type]
        size=256, fps=25, marking=marking,
    )  # fmt: skip
    return read(folder / "said.mp4")


WAYS: dict[str, dict[str, Callable[[str, Path, Marking], list[np.ndarray]]]] = {
    "visavis.streamer.worker.slot:Slot._draw": {
        "H.264": live("H264"),
        "VP8": live("VP8"),
        "room recording": room_recording,
        "presenter recording": presented,
        "agents, LiveKit and Pipecat": agents,
    },
    "visavis.streamer.worker.raw:RawAvatar.frames": {"RGB": raw("rgb"), "I420": raw("i420")},
    "visavis.streamer.commands.render:render_file": {"file": rendered},
}


def test_every_exit_is_tried() -> None:
    assert set(WAYS) == set(EXITS)


@pytest.mark.parametrize(
    "way", [way for ways in WAYS.values() for way in ways.values()],
    ids=[name for ways in WAYS.values() for name in ways],
)  # fmt: skip
def test_the_label_is_in_every_frame_of_every_exit_unless_it_is_off(
    way: Callable[[str, Path, Marking], list[np.ndarray]], bundle: str, tmp_path: Path
) -> None:
    pictures = way(bundle, tmp_path, MARKED)
    assert len(pictures) >= FRAMES
    assert min(labelled(p) for p in pictures) > 0.8
    (tmp_path / "off").mkdir()
    without = way(bundle, tmp_path / "off", Marking(label=False))
    assert len(without) >= FRAMES and max(labelled(p) for p in without) < 0.3


@pytest.mark.parametrize(
    "way", [way for ways in WAYS.values() for way in ways.values()],
    ids=[name for ways in WAYS.values() for name in ways],
)  # fmt: skip
def test_the_watermark_is_read_back_from_every_exit_where_nobody_gave_a_payload(
    way: Callable[[str, Path, Marking], list[np.ndarray]],
    bundle: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"{__name__}.FRAMES", 75)
    textured(monkeypatch)
    pictures = way(bundle, tmp_path, MARKED)
    found = detect([(n / 25, p[:, :, 1].copy()) for n, p in enumerate(pictures)])
    assert found.payload == UNNAMED


def textured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw something that stands still and has grain, as people have."""
    ground = np.random.default_rng(3).integers(60, 180, (90, 160, 3), np.uint8)

    def render(self: FakeDrawer, coefficients: object) -> np.ndarray:
        height, width = self.shape
        return cv2.resize(ground, (width, height), interpolation=cv2.INTER_LINEAR)

    monkeypatch.setattr(FakeDrawer, "render", render)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ground", [0, 60, 128, 200, 255])
def test_the_label_stands_out_on_every_ground_and_canvas(
    shape: tuple[int, int], ground: int
) -> None:
    width, height = shape
    picture = np.full((height, width, 3), ground, np.uint8)
    marked = Marker(Marking()).rgb(picture)
    patch = draw_label(width, height)
    rows, columns = patch.rest.shape
    there = marked[patch.top : patch.top + rows, patch.left : patch.left + columns, 0].astype(int)
    # WCAG's contrast of the words (brightest) against the plate (darkest), at least 4.5 : 1.
    light, dark = (((np.percentile(there, q) / 255) ** 2.2) for q in (99, 25))
    assert (light + 0.05) / (dark + 0.05) > 4.5
    assert rows >= 16 and columns >= 60, "letters of 13 px at least"
    outside = marked.astype(int) - picture
    outside[patch.top : patch.top + rows, patch.left : patch.left + columns] = 0
    assert not outside.any(), "and nothing else was touched"


def test_both_forms_show_the_same() -> None:
    rng = np.random.default_rng(1)
    picture = np.full((256, 256, 3), rng.integers(0, 255), np.uint8)
    rgb = Marker(MARKED).rgb(picture)
    i420 = av.VideoFrame.from_ndarray(Marker(MARKED).i420(picture), format="yuv420p")
    assert np.abs(i420.to_ndarray(format="rgb24").astype(int) - rgb).max() <= 3


def test_on_a_transparent_canvas_the_label_is_opaque() -> None:
    picture = np.zeros((512, 1024, 3), np.uint8)
    marker = Marker(Marking(), transparent=True)
    marked = marker.rgb(picture)
    patch = draw_label(512, 512)
    middle = patch.top + patch.rest.shape[0] // 2, patch.left + 8
    assert labelled(marked, width=512) > 0.8
    assert marked[middle[0], 512 + middle[1], 0] > 140, "the plate hides what is behind it"
    assert not marked[:, :512][: patch.top].any() and not marked[:, 512:][: patch.top].any()
    yuv = marker.i420(picture)
    assert abs(int(yuv[middle[0], 512 + middle[1]]) - (16 + 219 * 158 // 255)) < 6


def test_pictures_too_small_for_the_words_are_not_broken_by_them() -> None:
    for side in (16, 32, 64):
        picture = np.full((side, side, 3), 90, np.uint8)
        assert Marker(MARKED).rgb(picture).shape == picture.shape
        assert Marker(MARKED).i420(picture).shape == (side * 3 // 2, side)


# ---------------------------------------------------------------- switching it off


def test_it_is_on_unless_somebody_says_otherwise() -> None:
    from visavis.streamer.config import Config

    assert MARKED.label and WorkerSettings().label and Config().trust.label


def test_switching_it_off_is_written_down(tmp_path: Path) -> None:
    assert decide(TrustConfig(), tmp_path / "data", "server") == Marking()
    assert not (tmp_path / "data").exists(), "nothing to write down"
    assert decide(TrustConfig(label=False), tmp_path / "data", "server") == Marking(label=False)
    [line] = (tmp_path / "data" / "audit.jsonl").read_text().splitlines()
    assert (json.loads(line)["event"], json.loads(line)["subject"]) == ("label-off", "server")


def test_it_stays_on_where_that_cannot_be_written_down(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").write_text("no log at all\n")
    with pytest.raises(BadRequest, match="cannot be switched off"):
        decide(TrustConfig(label=False), tmp_path, "render")
