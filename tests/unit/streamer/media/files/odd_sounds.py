"""Sound files of every odd kind, made by code."""

from __future__ import annotations

import io
import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

LEVEL = 0.4


def tone(
    hz: float, seconds: float, rate: int, channels: int = 1, level: float = LEVEL
) -> np.ndarray:
    """``(channels, samples)`` float32."""
    t = np.arange(round(seconds * rate)) / rate
    return np.repeat((level * np.sin(2 * np.pi * hz * t)).astype(np.float32)[None], channels, 0)


def layout_of(channels: int) -> str:
    named = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
    return named.get(channels, f"{channels}C")


def coded(
    path: Path,
    codec: str,
    sound: np.ndarray,
    rate: int,
    *,
    form: str | None = None,
    options: dict[str, str] | None = None,
    starts: tuple[float, ...] = (0.0,),
    pictures_s: float = 0.0,
) -> Path:
    """Encode planar float sound; with several ``starts``, an equal share from each on.

    ``pictures_s`` seconds of grey video from 0 on make it a film.
    """
    with av.open(str(path), "w", format=form, options=options or {}) as container:
        film = container.add_stream("libx264", rate=25) if pictures_s else None
        if film is not None:
            film.width = film.height = 64
            film.pix_fmt = "yuv420p"
        add_sound(container, codec, sound, rate, starts)
        if film is not None:
            for number in range(round(pictures_s * 25)):
                grey = np.full((64, 64, 3), 90, np.uint8)
                frame = av.VideoFrame.from_ndarray(grey, "rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(film.encode(frame))
            container.mux(film.encode(None))
    return path


def add_sound(
    container: av.container.OutputContainer,
    codec: str,
    sound: np.ndarray,
    rate: int,
    starts: tuple[float, ...] = (0.0,),
) -> None:
    layout = layout_of(len(sound))
    options = {"strict": "experimental"} if codec == "vorbis" else {}
    stream = container.add_stream(codec, rate=rate, layout=layout, options=options)
    share_s = sound.shape[1] / rate / len(starts)
    for frame in [*frames_of(sound, rate, layout, stream.format.name), None]:
        for packet in stream.encode(frame):
            began = max(0.0, float(packet.pts * packet.time_base))
            share = min(len(starts) - 1, int(began / share_s + 0.01))
            shift = round((starts[share] - share * share_s) / packet.time_base)
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            container.mux(packet)


def frames_of(sound: np.ndarray, rate: int, layout: str, kind: str) -> list[av.AudioFrame]:
    """Packed float frames of 20 ms, converted to what the codec takes."""
    converter = av.AudioResampler(kind, layout, rate)
    frames, step = [], rate // 50
    for at in range(0, sound.shape[1], step):
        packed = np.ascontiguousarray(sound[:, at : at + step].T).reshape(1, -1)
        frame = av.AudioFrame(format="flt", layout=layout, samples=packed.size // len(sound))
        plane = frame.planes[0]
        plane.update(packed.tobytes() + bytes(plane.buffer_size - packed.nbytes))
        frame.sample_rate, frame.pts = rate, at
        frame.time_base = Fraction(1, rate)
        frames += converter.resample(frame)
    return frames


def pcm16(sound: np.ndarray) -> bytes:
    return (sound.T * 32767).round().astype("<i2").tobytes()


def riff(
    data: bytes, tag: int, channels: int, rate: int, bits: int, *, size: int | None = None,
    extensible: bool = False,
) -> bytes:  # fmt: skip
    """A WAV file; ``size`` is what its data chunk claims."""
    align = channels * bits // 8
    head = struct.pack("<HHIIHH", 0xFFFE if extensible else tag, channels, rate, rate * align,
                       align, bits)  # fmt: skip
    if extensible:
        guid = bytes.fromhex("000000001000800000aa00389b71")
        head += struct.pack("<HHIH", 22, bits, (1 << channels) - 1, tag) + guid
    stated = len(data) if size is None else size
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head
    body += b"data" + struct.pack("<I", stated) + data
    whole = 0xFFFFFFFF if stated == 0xFFFFFFFF else len(body)
    return b"RIFF" + struct.pack("<I", whole) + body


def wav16(path: Path, sound: np.ndarray, rate: int) -> Path:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(len(sound))
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm16(sound))
    return path


def cover() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (300, 300), (200, 30, 60)).save(out, "JPEG")
    return out.getvalue()


def with_mp3_cover(mp3: bytes) -> bytes:
    picture = b"\0image/jpeg\0\x03\0" + cover()
    frame = b"APIC" + struct.pack(">I", len(picture)) + b"\0\0" + picture
    size = bytes((len(frame) >> shift) & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frame + mp3


def with_flac_cover(flac: bytes) -> bytes:
    kind = b"image/jpeg"
    block = struct.pack(">II", 3, len(kind)) + kind
    block += struct.pack(">IIIIII", 0, 300, 300, 24, 0, len(cover())) + cover()
    first = 4 + 4 + 34  # magic, then the stream's own block
    return flac[:first] + b"\x06" + struct.pack(">I", len(block))[1:] + block + flac[first:]
