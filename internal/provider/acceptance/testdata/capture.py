"""Counts how often texts cross the network of a machine, until it is stopped.

capture.py TEXT…: prints "ready" when it listens, and at its end the bytes that
crossed, the packets that were missed, and how often each text was seen.
"""

import json
import signal
import socket
import struct
import sys

ALL = 3  # ETH_P_ALL
SOL_PACKET, PACKET_STATISTICS = 263, 6
SO_RCVBUFFORCE = 33

def main():
    texts = [text.encode() for text in sys.argv[1:]]
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
    wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
    wire.settimeout(0.2)
    ended = []

    def end(*_):
        ended.append(True)
        wire.settimeout(0)  # what has come before is still looked at

    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    seen, total = dict.fromkeys(sys.argv[1:], 0), 0
    while True:
        try:
            packet = wire.recv(1 << 18)
        except (TimeoutError, BlockingIOError):
            if ended:
                break
            continue
        total += len(packet)
        for text in texts:
            seen[text.decode()] += packet.count(text)
    _, missed = struct.unpack("II", wire.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    print(json.dumps({"bytes": total, "missed": missed, "seen": seen}), flush=True)


main()
