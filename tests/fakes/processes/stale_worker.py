"""A worker that answers late: what it says of an opening comes when the next one has begun."""

from __future__ import annotations

import argparse
import os
import socket

from visavis.streamer.worker.protocol import Decoder, Kind, Message, Packet, control

PACKET = Packet(7, True, False, 0, 0, 0, 1.0, 1.0, 1.0, 1.0, 1.0, b"picture")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--settings")
    connection = socket.socket(fileno=parser.parse_args().fd)
    connection.sendall(control(Kind.READY, light=True).encode())
    decoder = Decoder()
    last: Message | None = None
    while data := connection.recv(1 << 16):
        for message in decoder.feed(data):
            if message.kind is Kind.SHUTDOWN:
                return
            if message.kind is Kind.PING:
                connection.sendall(control(Kind.PONG).encode())
            if message.kind is not Kind.OPEN:
                continue
            if last is not None:  # of the tenant before
                for late in (
                    PACKET.message(last.slot),
                    control(Kind.AVATAR_STATE, last.slot, id="anna", state="ready"),
                    control(Kind.SLOT_FAILED, last.slot, error="late"),
                ):
                    connection.sendall(late.of(last.epoch).encode())
            connection.sendall(control(Kind.OPENED, message.slot).of(message.epoch).encode())
            connection.sendall(PACKET.message(message.slot).of(message.epoch).encode())
            last = message


if __name__ == "__main__":
    main()
    os._exit(0)
