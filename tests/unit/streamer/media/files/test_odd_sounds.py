"""Whatever a sound file is like: lengths and pitches are right, or one sentence says why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from tests.unit.streamer.media.files.odd_sounds import (
    LEVEL,
    add_sound,
    coded,
    layout_of,
    pcm16,
    riff,
    tone,
    wav16,
    with_flac_cover,
    with_mp3_cover,
)
from visavis.streamer.errors import BadRequest
from visavis.streamer.media.downmix import Downmix
from visavis.streamer.media.files.audio_file import check_sound, is_silent, read_all, read_blocks

RATE = 16_000
LOW, HIGH = 440.0, 660.0  # Hz; between them lies every rate that could be taken for another


def pitch(sound: np.ndarray, begin_s: float, end_s: float, rate: int = RATE) -> float:
    part = sound[int(begin_s * rate) : int(end_s * rate)]
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 8 * rate))
    return float(spectrum.argmax()) / 8


def level(sound: np.ndarray) -> float:
    """The amplitude of a tone, a coder's single slips aside."""
    return float(np.percentile(np.abs(sound), 95))


def heard(path: Path) -> tuple[np.ndarray, list[str]]:
    """The file at the models' rate, once its stereo at the film's has been found as long."""
    notes: list[str] = []
    mono = np.concatenate(list(read_blocks(path, RATE, say=notes.append)))
    stereo = np.concatenate(list(read_blocks(path, 48_000, layout="stereo", block=1024)))
    assert abs(len(stereo) / 48_000 - len(mono) / RATE) < 1.5 / RATE
    assert np.isfinite(mono).all() and np.abs(mono).max() <= 1
    return mono, notes


# --- rate and channels change inside the file ---------------------------------------------------


def joined(
    tmp_path: Path, codec: str, suffix: str, first: int, second: int, **kind: object
) -> Path:
    parts = []
    for number, (hz, rate, channels) in enumerate([(LOW, first, 1), (HIGH, second, 2)]):
        path = tmp_path / f"{number}{suffix}"
        channels = 2 if codec == "vorbis" else channels  # FFmpeg's own knows only stereo
        parts.append(coded(path, codec, tone(hz, 2.0, rate, channels), rate, **kind).read_bytes())
    path = tmp_path / f"joined{suffix}"
    path.write_bytes(b"".join(parts))
    return path


BARE = {"write_xing": "0", "id3v2_version": "0"}


@pytest.mark.parametrize(
    ("codec", "suffix", "first", "second", "kind"),
    [
        ("libmp3lame", ".mp3", 44_100, 48_000, {"options": BARE}),
        ("libmp3lame", ".mp3", 48_000, 44_100, {"options": BARE}),
        ("libmp3lame", ".mp3", 48_000, 22_050, {"options": BARE}),
        ("libmp3lame", ".mp3", 44_100, 48_000, {}),  # with a header that states one length
        ("libopus", ".opus", 48_000, 48_000, {"form": "ogg"}),
        ("libopus", ".ogg", 48_000, 16_000, {"form": "ogg"}),
        ("vorbis", ".ogg", 44_100, 48_000, {"form": "ogg"}),
        ("flac", ".oga", 48_000, 44_100, {"form": "ogg"}),
        ("aac", ".aac", 44_100, 48_000, {"form": "adts"}),
        ("ac3", ".ac3", 48_000, 44_100, {"form": "ac3"}),
        ("pcm_s16le", ".wav", 44_100, 48_000, {}),
        ("pcm_s16be", ".aiff", 48_000, 44_100, {}),
        ("flac", ".flac", 44_100, 48_000, {}),
        ("aac", ".m4a", 48_000, 44_100, {}),
        ("aac", ".mp4", 44_100, 44_100, {}),
        ("libopus", ".webm", 48_000, 48_000, {}),
    ],
)
def test_both_halves_are_heard_at_their_pitch(
    tmp_path: Path, codec: str, suffix: str, first: int, second: int, kind: dict[str, object]
) -> None:
    sound, _ = heard(joined(tmp_path, codec, suffix, first, second, **kind))
    assert abs(len(sound) / RATE - 4.0) < 0.12  # coders pad to whole frames
    assert pitch(sound, 0.2, 1.8) == pytest.approx(LOW, abs=0.5)
    assert pitch(sound, 2.3, 3.8) == pytest.approx(HIGH, abs=0.5)
    for begin in (0.3, 2.3):
        assert level(sound[int(begin * RATE) :][:RATE]) == pytest.approx(LEVEL, rel=0.1)


# --- channels ----------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 7, 8, 9, 12, 16, 24, 32, 48, 63, 64])
@pytest.mark.parametrize("where", ["everywhere", "last"])
def test_any_number_of_channels(tmp_path: Path, channels: int, where: str) -> None:
    sound = tone(LOW, 1.0, 48_000, channels)
    if where == "last":
        sound[:-1] = 0
    path = tmp_path / "a.wav"
    path.write_bytes(riff(pcm16(sound), 1, channels, 48_000, 16))
    mono, _ = heard(path)
    assert len(mono) == RATE
    assert pitch(mono, 0.1, 0.9) == pytest.approx(LOW, abs=0.5)
    assert np.abs(mono[1600:]).max() == pytest.approx(LEVEL, rel=0.03)


@pytest.mark.parametrize(
    ("codec", "name"),
    [("flac", "a.flac"), ("aac", "a.m4a"), ("libopus", "a.opus")],
)
@pytest.mark.parametrize("channels", [6, 8])
def test_coders_that_keep_channels_apart(
    tmp_path: Path, codec: str, name: str, channels: int
) -> None:
    """Their frames are planar: eight planes and more are read past their end by PyAV."""
    path = coded(tmp_path / name, codec, tone(LOW, 1.0, 48_000, channels), 48_000)
    mono, _ = heard(path)
    assert abs(len(mono) / RATE - 1.0) < 0.05
    assert pitch(mono, 0.1, 0.9) == pytest.approx(LOW, abs=0.5)


@pytest.mark.parametrize("channels", [65, 128, 255, 2000])
def test_more_channels_than_anybody_has_are_a_sentence(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(riff(bytes(2 * channels * 100), 1, channels, 48_000, 16))
    with pytest.raises(BadRequest, match=r"^[^\n]*\.$"):
        read_all(path, RATE)


@pytest.mark.parametrize("rate", [1, 999, 4_000_000_000])
def test_an_impossible_rate_is_a_sentence(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.wav"
    body = riff(bytes(2000), 1, 1, 1000, 16)
    path.write_bytes(body[:24] + rate.to_bytes(4, "little") + body[28:])
    with pytest.raises(BadRequest, match=r"^[^\n]*\.$"):
        read_all(path, RATE)


@pytest.mark.parametrize("rate", [1000, 7999, 11_025, 47_999, 88_200, 96_000, 192_000, 352_800])
def test_any_rate_keeps_length_and_pitch(tmp_path: Path, rate: int) -> None:
    hz = min(LOW, 0.3 * rate)
    sound, _ = heard(wav16(tmp_path / "a.wav", tone(hz, 1.5, rate), rate))
    assert abs(len(sound) - 1.5 * RATE) <= 1
    assert pitch(sound, 0.2, 1.3) == pytest.approx(hz, abs=0.5)


def test_resampling_moves_nothing(tmp_path: Path) -> None:
    click = np.zeros((1, 44_100), np.float32)
    click[0, 22_050] = 0.9
    sound, _ = heard(wav16(tmp_path / "a.wav", click, 44_100))
    assert abs(int(np.abs(sound).argmax()) - RATE // 2) <= 1


# --- phase -------------------------------------------------------------------------------------


def speechlike(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Noise in syllables, ``(samples,)``."""
    noise = np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate))
    t = np.arange(len(noise)) / rate
    return (noise * np.clip(np.sin(2 * np.pi * 3 * t), 0, 1)).clip(-1, 1).astype(np.float32)


@pytest.mark.parametrize("offset", [0.0, 0.3])
@pytest.mark.parametrize("silence_s", [0.0, 1.0])
def test_a_voice_in_opposite_phase_is_heard(
    tmp_path: Path, offset: float, silence_s: float
) -> None:
    voice = np.pad(speechlike(3.0, 48_000), (round(silence_s * 48_000), 0))
    stereo = np.stack([voice, -voice]) + np.float32(offset)
    mono, _ = heard(wav16(tmp_path / "a.wav", stereo, 48_000))
    alone, _ = heard(wav16(tmp_path / "b.wav", voice[None], 48_000))
    first = round(silence_s * RATE)
    for part in (slice(first, first + RATE // 5), slice(first, None)):  # from its first word on
        assert abs(np.corrcoef(mono[part], alone[part])[0, 1]) > 0.99
        assert mono[part].std() > 0.9 * alone[part].std()


def test_phase_that_turns_over_in_mid_file_does_not_click() -> None:
    rate = 16_000
    voice = tone(LOW, 4.0, rate)[0]
    right = voice.copy()
    right[2 * rate :] *= -1
    mixer, parts = Downmix(2, rate), []
    for at in range(0, len(voice), 160):
        parts.append(mixer.mix(np.stack([voice, right])[:, at : at + 160]))
    mono = np.concatenate(parts)
    assert np.abs(np.diff(mono)).max() < 1.5 * np.abs(np.diff(voice)).max()
    assert np.abs(mono[3 * rate :]).max() == pytest.approx(LEVEL, rel=0.02)


def test_plain_stereo_is_its_mean_and_two_voices_are_both_heard() -> None:
    left, right = speechlike(2.0, RATE, 1), speechlike(2.0, RATE, 2)
    for at in range(0, len(left), 320):
        pair = np.stack([left[at : at + 320]] * 2)
        np.testing.assert_allclose(Downmix(2, RATE).mix(pair), pair[0], atol=1e-6)
    mixer = Downmix(2, RATE)
    mono = np.concatenate(
        [mixer.mix(np.stack([left, right])[:, at : at + 320]) for at in range(0, len(left), 320)]
    )
    for voice in (left, right):
        assert np.corrcoef(mono[RATE:], voice[RATE:])[0, 1] > 0.6
    one_side = Downmix(2, RATE).mix(np.stack([left, 0 * left]))
    np.testing.assert_allclose(one_side, left, atol=1e-6)  # at its own level


def test_the_channel_for_effects_is_no_voice(tmp_path: Path) -> None:
    film = np.zeros((6, 48_000), np.float32)
    film[2], film[3] = tone(LOW, 1.0, 48_000)[0] / 4, tone(50.0, 1.0, 48_000)[0] * 2
    path = coded(tmp_path / "a.flac", "flac", film, 48_000)
    sound, _ = heard(path)
    assert pitch(sound, 0.1, 0.9) == pytest.approx(LOW, abs=0.5)


# --- several tracks ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "default", "taken", "says"),
    [
        ((0.0, LEVEL), 1, 1, "number 2, the default one"),
        ((LEVEL, LEVEL), 1, 1, "number 2, the default one"),
        ((LEVEL, LEVEL), 0, 0, "number 1, the default one"),
        ((0.0, LEVEL), 0, 1, "number 2, the first in which anything is heard"),
        ((0.0, LEVEL), None, 1, "number 2, the first in which anything is heard"),
        ((0.0, 0.0, LEVEL), None, 2, "number 3, the first in which anything is heard"),
        ((LEVEL, LEVEL), None, 0, "number 1 is used"),
        ((0.0, 0.0), None, 0, "number 1 is used"),
    ],
)
def test_the_track_that_is_taken_is_said(
    tmp_path: Path, levels: tuple[float, ...], default: int | None, taken: int, says: str
) -> None:
    pitches = [LOW, HIGH, 880.0]
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        streams = []
        for number in range(len(levels)):
            stream = container.add_stream("flac", rate=48_000, layout="mono")
            flag = av.stream.Disposition.default if number == default else 0
            stream.disposition = av.stream.Disposition(flag)
            streams.append(stream)
        for level, hz, stream in zip(levels, pitches, streams, strict=False):
            frame = av.AudioFrame.from_ndarray(
                (tone(hz, 1.0, 48_000, level=1.0) * level * 32_767).astype(np.int16), "s16", "mono"
            )
            frame.sample_rate, frame.pts = 48_000, 0
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
    sound, notes = heard(path)
    assert any(says in note for note in notes), notes
    if any(levels):
        assert pitch(sound, 0.1, 0.9) == pytest.approx(pitches[taken], abs=0.5)
    assert check_sound(path) == notes
    other = np.concatenate(list(read_blocks(path, RATE, track=1)))
    assert levels[1] == 0 or pitch(other, 0.1, 0.9) == pytest.approx(HIGH, abs=0.5)
    with pytest.raises(BadRequest, match="no number 7"):
        check_sound(path, 6)


# --- time stamps -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "flac"), ("a.mkv", "libopus"), ("a.mp4", "aac"), ("a.mov", "aac")]
)
def test_a_gap_in_the_time_stamps_is_silence(tmp_path: Path, name: str, codec: str) -> None:
    both = np.concatenate([tone(LOW, 1.0, 48_000), tone(HIGH, 1.0, 48_000)], 1)
    path = coded(tmp_path / name, codec, both, 48_000, starts=(0.0, 1.7))
    sound, _ = heard(path)
    assert abs(len(sound) / RATE - 2.7) < 0.06
    assert pitch(sound, 0.1, 0.9) == pytest.approx(LOW, abs=0.5)
    assert is_silent(sound[int(1.1 * RATE) : int(1.6 * RATE)])
    assert pitch(sound, 1.8, 2.6) == pytest.approx(HIGH, abs=0.5)
    onset = int(np.flatnonzero(np.abs(sound[int(1.2 * RATE) :]) > LEVEL / 2)[0]) / RATE + 1.2
    assert onset == pytest.approx(1.7, abs=0.06)  # FLAC's packets are 96 ms long


def test_a_clock_that_was_set_is_left_out(tmp_path: Path) -> None:
    both = np.concatenate([tone(LOW, 1.0, 48_000), tone(HIGH, 1.0, 48_000)], 1)
    path = coded(tmp_path / "a.mkv", "flac", both, 48_000, starts=(0.0, 4000.0))
    sound, notes = heard(path)
    assert abs(len(sound) / RATE - 2.0) < 0.01
    assert any("jumps" in note for note in notes)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.ts"])
def test_sound_that_begins_after_its_film_begins(tmp_path: Path, name: str) -> None:
    """In MP4 the offset is an edit list, in a transport stream both clocks begin at 1.4 s."""
    sound, _ = heard(
        coded(tmp_path / name, "aac", tone(LOW, 1.5, 48_000), 48_000, starts=(0.6,), pictures_s=2.2)
    )
    onset = int(np.flatnonzero(np.abs(sound) > LEVEL / 2)[0]) / RATE
    assert onset == pytest.approx(0.6, abs=0.06)
    assert len(sound) / RATE == pytest.approx(2.1, abs=0.1)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_recording_whose_clock_begins_late_begins_at_once(tmp_path: Path, name: str) -> None:
    path = coded(tmp_path / name, "aac", tone(LOW, 1.0, 48_000), 48_000, starts=(35.0,))
    sound, _ = heard(path)
    assert len(sound) / RATE == pytest.approx(1.0, abs=0.1)


# --- what files are made of ----------------------------------------------------------------------


def plain(path: Path, codec: str, rate: int = 48_000, channels: int = 1, **kind: object) -> Path:
    return coded(path, codec, tone(LOW, 2.0, rate, channels), rate, **kind)


def covered(path: Path, codec: str, add: Callable[[bytes], bytes]) -> Path:
    path.write_bytes(add(plain(path, codec, **{"options": BARE} if codec != "flac" else {})
                         .read_bytes()))  # fmt: skip
    return path


def m4a_with_cover(path: Path) -> Path:
    with av.open(str(path), "w", format="mp4") as container:
        picture = container.add_stream("mjpeg", rate=1)
        picture.width = picture.height = 300
        picture.pix_fmt = "yuvj420p"
        picture.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(np.full((300, 300, 3), 120, np.uint8), "rgb24")
        add_sound(container, "aac", tone(LOW, 2.0, 48_000), 48_000)
        for packet in [*picture.encode(frame.reformat(format="yuvj420p")), *picture.encode(None)]:
            container.mux(packet)
    return path


def raw(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


T48, T96 = tone(LOW, 2.0, 48_000), tone(LOW, 2.0, 96_000)


def int24(sound: np.ndarray) -> bytes:
    whole = (sound.T * (2**23 - 1)).astype("<i4").reshape(-1, 1)
    return whole.view(np.uint8)[:, :3].tobytes()


KINDS: dict[str, Callable[[Path], Path]] = {
    "mp3 with a cover": lambda d: covered(d / "a.mp3", "libmp3lame", with_mp3_cover),
    "flac with a cover": lambda d: covered(d / "a.flac", "flac", with_flac_cover),
    "m4a with a cover": lambda d: m4a_with_cover(d / "a.m4a"),
    "film": lambda d: plain(d / "a.mp4", "aac", pictures_s=2.0),
    "webm": lambda d: plain(d / "a.webm", "libopus"),
    "8 bit": lambda d: raw(d / "a.wav", riff(((T48.T + 1) * 127.5).astype(np.uint8).tobytes(),
                                             1, 1, 48_000, 8)),
    "24 bit at 96 kHz": lambda d: raw(d / "a.wav", riff(int24(T96), 1, 1, 96_000, 24)),
    "extensible, 24 bit, 5.1": lambda d: raw(
        d / "a.wav", riff(int24(np.repeat(T96, 6, 0)), 1, 6, 96_000, 24, extensible=True)),
    "extensible, float": lambda d: raw(
        d / "a.wav", riff(T48.T.astype("<f4").tobytes(), 3, 1, 48_000, 32, extensible=True)),
    "32 bit": lambda d: raw(d / "a.wav", riff((T48.T * 2**31).astype("<i4").tobytes(),
                                              1, 1, 48_000, 32)),
    "float32": lambda d: raw(d / "a.wav", riff(T48.T.astype("<f4").tobytes(), 3, 1, 48_000, 32)),
    "float64": lambda d: raw(d / "a.wav", riff(T48.T.astype("<f8").tobytes(), 3, 1, 48_000, 64)),
    "A-law": lambda d: plain(d / "a.wav", "pcm_alaw", 8000),
    "mu-law": lambda d: plain(d / "a.wav", "pcm_mulaw", 8000),
    "IMA ADPCM": lambda d: plain(d / "a.wav", "adpcm_ima_wav", 22_050),
    "Microsoft ADPCM": lambda d: plain(d / "a.wav", "adpcm_ms", 22_050, 2),
    "data chunk of 0": lambda d: raw(d / "a.wav", riff(pcm16(T48), 1, 1, 48_000, 16, size=0)),
    "data chunk of 0xFFFFFFFF": lambda d: raw(
        d / "a.wav", riff(pcm16(T48), 1, 1, 48_000, 16, size=0xFFFFFFFF)),
    "AIFF": lambda d: plain(d / "a.aiff", "pcm_s16be"),
    "CAF": lambda d: plain(d / "a.caf", "pcm_s16be"),
    "ALAC": lambda d: plain(d / "a.m4a", "alac"),
    "AMR's rate": lambda d: plain(d / "a.wav", "pcm_s16le", 8000),
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_file(tmp_path: Path, kind: str) -> None:
    sound, notes = heard(KINDS[kind](tmp_path))
    assert len(sound) / RATE == pytest.approx(2.0, abs=0.13)  # coders pad to whole frames
    assert pitch(sound, 0.2, 1.8) == pytest.approx(LOW, abs=0.5)
    assert level(sound[RATE // 2 : RATE]) == pytest.approx(LEVEL, rel=0.1)
    assert not notes


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("samples", [1, 2, 100, 480])
def test_the_shortest_sounds(tmp_path: Path, rate: int, samples: int) -> None:
    sound, _ = heard(wav16(tmp_path / "a.wav", np.full((1, samples), 0.5, np.float32), rate))
    assert len(sound) == max(1, round(samples / rate * RATE))


@pytest.mark.parametrize("kind", ["mp3 with a cover", "flac with a cover", "float32", "webm"])
def test_a_file_cut_off_is_heard_up_to_there(tmp_path: Path, kind: str) -> None:
    path = KINDS[kind](tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    sound, _ = heard(path)
    assert len(sound) / RATE > 0.5
    assert pitch(sound, 0.1, 0.5) == pytest.approx(LOW, abs=0.5)


def test_damage_in_the_middle_costs_itself(tmp_path: Path) -> None:
    noise = speechlike(4.0, 48_000)
    path = coded(tmp_path / "a.flac", "flac", noise[None], 48_000)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    path.write_bytes(data)
    sound, _ = heard(path)
    assert len(sound) / RATE > 3.4
    whole = read_all(wav16(tmp_path / "b.wav", noise[None], 48_000), RATE)
    end = whole[-RATE:]  # is as it was
    assert np.correlate(sound, end).max() > 0.99 * np.dot(end, end)


def test_an_index_that_is_missing_is_a_sentence(tmp_path: Path) -> None:
    path = plain(tmp_path / "a.m4a", "aac")
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(BadRequest, match="can be read"):
        read_all(path, RATE)


def test_an_offset_is_no_voice() -> None:
    flat = np.full(RATE, 0.25, np.float32)
    assert is_silent(flat)
    assert not is_silent(flat + tone(LOW, 1.0, RATE)[0])


def test_layouts_that_tests_use_exist() -> None:
    for channels in (1, 2, 6, 8, 64):
        assert av.AudioLayout(layout_of(channels)).nb_channels == channels
