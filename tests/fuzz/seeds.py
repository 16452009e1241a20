"""Make the seed corpus: small whole inputs of every kind, by code. Writes what is not there yet."""

from __future__ import annotations

import io
import json
import struct
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from tests.fuzz.run import CORPUS
from tests.fuzz.streamer.avatars.record import ID
from tests.unit.streamer.webrtc.test_signaling import OFFER
from visavis.streamer.avatars.record import new_record, record_bytes
from visavis.streamer.worker import protocol
from visavis.streamer.worker.protocol import Kind, Message, Packet, control


def photos() -> Iterator[tuple[str, bytes]]:
    """Yield tiny pictures."""
    pixels = (np.add.outer(np.arange(24) * 9, np.arange(32) * 7) % 256).astype(np.uint8)
    picture = Image.fromarray(np.dstack([pixels, pixels.T[:24, :24].repeat(2, 1)[:, :32], pixels]))
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, form, image, options in (
        ("plain.jpg", "JPEG", picture, {"quality": 60}),
        ("turned.jpg", "JPEG", picture, {"quality": 60, "exif": exif}),
        ("progressive.jpg", "JPEG", picture, {"progressive": True}),
        ("plain.png", "PNG", picture, {}),
        ("palette.png", "PNG", picture.quantize(8), {"transparency": 1}),
        ("sixteen.png", "PNG", Image.fromarray(pixels.astype(np.uint16) * 200), {}),
        ("lossy.webp", "WEBP", picture, {"quality": 50}),
        ("lossless.webp", "WEBP", picture.convert("RGBA"), {"lossless": True}),
        ("plain.gif", "GIF", picture.quantize(8), {}),
        ("plain.bmp", "BMP", picture.resize((8, 8)), {}),
    ):
        out = io.BytesIO()
        image.save(out, form, **options)
        yield name, out.getvalue()


def sounds() -> Iterator[tuple[str, bytes]]:
    """Yield short sound files."""
    tone = (8000 * np.sin(np.arange(1600) / 9)).astype(np.int16)[None]
    for name, form, codec, rate, layout in (
        ("tone.wav", "wav", "pcm_s16le", 8000, "mono"),
        ("alaw.wav", "wav", "pcm_alaw", 8000, "mono"),
        ("adpcm.wav", "wav", "adpcm_ima_wav", 8000, "mono"),
        ("tone.ogg", "ogg", "libopus", 48_000, "mono"),
        ("tone.mp3", "mp3", "libmp3lame", 16_000, "mono"),
        ("tone.m4a", "mp4", "aac", 16_000, "mono"),
    ):
        out = io.BytesIO()
        with av.open(out, "w", format=form) as container:
            stream = container.add_stream(codec, rate=rate, layout=layout)
            frame = av.AudioFrame.from_ndarray(tone, "s16", "mono")
            frame.rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            fifo = av.AudioResampler(stream.format, layout, rate, stream.frame_size or 0)
            for part in (*fifo.resample(frame), *fifo.resample(None)):
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
        yield name, out.getvalue()


def packets() -> Iterator[tuple[str, bytes]]:
    """Yield streams of datagrams, each behind its length."""

    def framed(*datagrams: bytes) -> bytes:
        return b"".join(len(d).to_bytes(2, "big") + d for d in datagrams)

    def rtp(kind: int, number: int, payload: bytes, first: int = 0x80) -> bytes:
        return struct.pack("!BBHII", first, kind, number, number * 960, 7) + payload

    opus = bytes.fromhex("f8fffe")  # 20 ms of silence
    yield "opus", framed(*(rtp(111, n, opus) for n in range(4)))
    yield "types", framed(rtp(0, 1, bytes(160)), rtp(8, 2, bytes(160)), rtp(9, 3, bytes(160)))
    padded = rtp(111, 65535, opus + bytes([0, 0, 3]), 0xA0)
    extended = rtp(111, 2, b"\xbe\xde\x00\x01\x10\x05\x00\x00" + opus, 0x90)
    yield "odd", framed(padded, extended, rtp(111, 60000, opus), rtp(111, 0, b""))
    report = struct.pack("!BBHIIIIII", 0x80, 200, 6, 7, 1, 2, 3, 4, 5)
    lost = struct.pack("!BBHIIHH", 0x81, 205, 3, 7, 8, 100, 0xFFFF)
    remb = struct.pack("!BBHII", 0x8F, 206, 5, 7, 0) + b"REMB\x01\x0f\xff\xff\x00\x00\x00\x07"
    yield "rtcp", framed(report, lost, remb, struct.pack("!BBHI", 0x81, 203, 1, 7))


def streams() -> Iterator[tuple[str, bytes]]:
    """Yield what edge and worker say to each other."""
    silence = np.zeros(160, np.int16)
    packet = Packet(7, True, False, 0, 0, 0, 1.0, 1.0, 1.0, 1.0, 1.0, b"picture")
    edge = (
        protocol.pcm_message(1, 320, silence).of(3),
        protocol.tick_message(1, 4).of(3),
        control(Kind.BITRATE, 1, kbps=300).of(3),
        control(Kind.MOTION, 1, on=True).of(3),
        Message(Kind.INTERRUPT, 1).of(3),
        Message(Kind.CLOSE, 1).of(3),
        Message(Kind.PING),
    )
    worker = (
        control(Kind.READY, pid=1, slots=4, light=True),
        packet.message(1).of(3),
        protocol.coefficients_message(1, 5, np.zeros(8, np.float32)).of(3),
        control(Kind.SLOT_FAILED, 1, error="no").of(3),
    )
    yield "edge", b"".join(m.encode() for m in edge)
    yield "worker", b"".join(m.encode() for m in worker)


def seeds() -> Iterator[tuple[str, str, bytes]]:
    """Yield target, name and content of every seed."""
    yield "streamer.webrtc.signaling", "offer.sdp", OFFER.encode()
    yield "streamer.webrtc.signaling", "twice.sdp", (OFFER + "\0" + OFFER).encode()
    yield "streamer.webrtc.signaling", "short.sdp", b"v=0\r\nm=audio 9 x 0\r\na=mid:0\r\n"
    commands = [
        {"type": "ping", "t": 1.5},
        {"type": "avatar", "value": 3},
        {"type": "playout", "value": "9" * 400},
        {"type": "interrupt"},
    ]
    yield "streamer.session.control", "all", "\n".join(map(json.dumps, commands)).encode()
    options = {"avatar_id": ID, "size": 256, "mood": "warm", "style": 1.5, "look_ahead_ms": 40}
    offer = {"sdp": OFFER, "type": "offer", "request_data": options}
    yield "streamer.http.schemas", "offer.json", json.dumps(offer).encode()
    named = {"pc_id": "a", "candidates": [{"candidate": "x", "sdpMid": "0", "sdpMLineIndex": 0}]}
    yield "streamer.http.schemas", "candidates.json", json.dumps(named).encode()
    form = {"name": "Ada", "consent": "true", "statement": "I agree."}
    yield "streamer.http.schemas", "form.json", json.dumps(form).encode()
    record = json.loads(record_bytes(new_record("Ada", "I agree.")))
    for status in ("ready", "enrolling"):
        text = json.dumps({**record, "id": ID, "status": status, "created": "2026-01-01T00:00:00"})
        yield "streamer.avatars.record", status, text.encode()
    for target, made in (
        ("models.appearance.photo", photos()),
        ("streamer.media.audio_file", sounds()),
        ("streamer.webrtc.intake", packets()),
        ("streamer.worker.protocol", streams()),
    ):
        for name, data in made:
            yield target, name, data
    yield "models.appearance.identity", "whole", b""
    yield "models.appearance.identity", "header", bytes([128, 0, 0, 60, 57, 140, 0, 0, 20, 0])


def main() -> int:
    """Write the seeds; returns the exit code."""
    for target, name, data in seeds():
        path: Path = CORPUS / target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
