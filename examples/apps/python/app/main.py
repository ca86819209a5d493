"""A ledger in plain Python: it keeps each line that is sent to it.

The standard library is enough, and it is in the image.
"""

import os
import signal
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from threading import Thread

RELEASE = Path(__file__).with_name("VERSION").read_text().strip()
LEDGER = Path(os.environ["STATE_DIRECTORY"], "ledger")


class Server(ThreadingMixIn, UnixStreamServer):
    """Serves each request in a thread. At its end it waits for all of them."""

    # Connections that may wait to be accepted. Python's default is 5, and a
    # connection to a Unix socket fails at once where the queue is full.
    request_queue_size = 128


class Handler(BaseHTTPRequestHandler):
    """Answers the requests that nginx passes on."""

    # An answer leaves in one piece. Of an app that dies in between, nginx has the
    # beginning then, and nobody can ask another server for the rest.
    wbufsize = -1

    def do_GET(self) -> None:
        match self.path:
            case "/":
                self.answer(200, f"release {RELEASE}\n")
            case "/healthz":
                self.answer(200, "ok\n")
            case "/ledger":
                self.answer(200, LEDGER.read_text() if LEDGER.exists() else "")
            case _:
                self.answer(404, "not found\n")

    def do_POST(self) -> None:
        # nginx sends a request when it is complete, and its length with it.
        line = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/ledger" or b"\n" in line:
            self.answer(400, "POST one line to /ledger\n")
            return
        keep(line)
        self.answer(201, f"kept by release {RELEASE}\n")

    def answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: nginx writes the access log."""


def keep(line: bytes) -> None:
    """Append a line to the ledger. During a release the old and the new process do so at
    the same time, which one write to a file that is opened to append allows."""
    ledger = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(ledger, line + b"\n")
    finally:
        os.close(ledger)


def main() -> None:
    """Serve until SIGTERM, and finish the requests in progress."""
    with Server(os.environ["SOCKET"], Handler) as server:
        signal.signal(signal.SIGTERM, lambda *_: Thread(target=server.shutdown).start())
        server.serve_forever()


if __name__ == "__main__":
    main()
