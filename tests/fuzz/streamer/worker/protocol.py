"""The stream between edge and worker, in any chunks, read by either end."""

from __future__ import annotations

import socket

from tests.fakes.fake_pipeline import FakePipelines
from visavis.streamer.worker import protocol
from visavis.streamer.worker.pipeline.pipeline import WorkerSettings
from visavis.streamer.worker.protocol import Decoder, Kind, Message, ProtocolError
from visavis.streamer.worker.worker import Worker

READS = (
    Message.json,
    protocol.read_pcm,
    protocol.read_packet,
    protocol.read_tick,
    protocol.read_coefficients,
)
# Not those that start threads' work: what they load is another target.
HANDLED = frozenset(Kind) - {Kind.OPEN, Kind.CALIBRATE, Kind.AVATAR, Kind.SHUTDOWN}


def target(data: bytes) -> None:
    """Decode; hand what is complete to every reader and to a worker."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        worker = Worker(theirs, WorkerSettings(slots=4, compute=1), FakePipelines())
        try:
            decoder = Decoder()
            for chunk in (data[:7], data[7:]):
                for message in decoder.feed(chunk):
                    _read(message)
                    if message.kind in HANDLED:
                        worker._handle(message)
        except (ProtocolError, BlockingIOError):
            return


def _read(message: Message) -> None:
    for read in READS:
        try:
            read(message)
        except ProtocolError:
            continue
