"""The app of the tests of releases. It notes the id of each request as it begins to
work on it, and again once it is done, in its data directory.

What a release does badly is in release.py, beside its name.
"""
import base64
import hashlib
import http.server
import json
import os
import random
import signal
import socket
import struct
import threading
import time

STREAMS, STOP = set(), threading.Event()


def stop(*_):
    """End at once, as Python does by itself, but for the streams: they end cleanly."""
    STOP.set()
    threading.Thread(target=leave).start()


def leave():
    deadline = time.monotonic() + 5
    while STREAMS and time.monotonic() < deadline:
        time.sleep(0.01)
    os._exit(0)


signal.signal(signal.SIGTERM, stop)

import release  # noqa: E402 (it may take the signal away)

WORK = float(os.environ.get("WORK", 0)) # seconds of a request; 0 is up to 50 ms
WORKERS = threading.Semaphore(int(os.environ.get("WORKERS", 1000)))
EVENT = 0.05 # seconds between two events of a stream
TEXT = "%s %s" % (os.environ["NOTES_SERVER"], release.NAME) # of each


def book(name):
    file = os.open(os.path.join(os.environ["STATE_DIRECTORY"], name), os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(id):
        line = ("\n%s\n" % id).encode() # what an earlier note left half written ends here
        if os.write(file, line) < len(line):
            raise OSError("the disk is full")

    return note


begun, done = book("began"), book("done")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1 # an answer leaves in one piece: one that has begun cannot be asked for again

    def do(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.split("?")[0]
        if path == "/healthz":
            return self.answer(getattr(release, "HEALTH", 200))
        if path == "/events":
            return self.stream(self.events)
        if path == "/socket":
            return self.stream(self.web_socket)
        id = self.headers.get("Id")
        with WORKERS:
            if id:
                begun(id)
            if id or WORK:
                time.sleep(WORK or random.random() / 20)
            if id:
                done(id)
        self.answer(200)

    do_GET = do_POST = do

    def answer(self, status):
        body = json.dumps({"server": os.environ["NOTES_SERVER"], "release": release.NAME, "edit": os.environ.get("EDIT", "")},
                          separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, run):
        STREAMS.add(self)
        try:
            run()
        finally:
            STREAMS.discard(self)
            self.close_connection = True

    def events(self):
        """Server-sent events, each with the number of its time: one that comes back
        says the last that it has, and gets all later ones."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("X-Accel-Buffering", "no")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        last = int(self.headers.get("Last-Event-ID", time.time() / EVENT))
        while not STOP.is_set():
            while last < int(time.time() / EVENT):
                last += 1
                text = ("id: %d\ndata: %s\n\n" % (last, TEXT)).encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
            self.wfile.flush()
            STOP.wait(EVENT)
        self.wfile.write(b"0\r\n\r\n")

    def web_socket(self):
        """A WebSocket (RFC 6455) with a message now and then. It says that it goes
        away, and waits for the frame in which the client agrees."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        while not STOP.is_set():
            self.frame(1, TEXT.encode())
            STOP.wait(EVENT)
        self.frame(8, struct.pack(">H", 1001) + b"going away")
        self.connection.settimeout(3)
        self.rfile.read(6)

    def frame(self, kind, text):
        self.wfile.write(struct.pack("BB", 0x80 | kind, len(text)) + text)
        self.wfile.flush()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_UNIX
    request_queue_size = 128 # a connect(2) to a Unix socket fails at once when the queue is full

    def server_bind(self):
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "app", 0


Server(os.environ["SOCKET"], Handler).serve_forever()
