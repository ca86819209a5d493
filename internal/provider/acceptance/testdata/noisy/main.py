"""An app that is a bad neighbour of the others on its machine, in the way that the
path says."""
import http.server
import os
import socket
import sys
import threading
import time

LEAKED = []


def log():
    """50 MB, as fast as they are taken."""
    line = "x" * 249 + "\n"
    for _ in range(50_000_000 // len(line)):
        sys.stdout.write(line)


def leak():
    """Every descriptor that there is, and again those that it is given back."""
    while True:
        try:
            LEAKED.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            time.sleep(0.001)


def fill():
    """All of the disk that its data directory is on."""
    with open(os.environ["STATE_DIRECTORY"] + "/filled", "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError as error:
                print(error, flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/hang":
            while True: # busy, and nobody else is answered
                pass
        if self.path in ("/log", "/leak", "/fill"):
            threading.Thread(target=globals()[self.path[1:]]).start()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.HTTPServer):
    address_family = socket.AF_UNIX
    request_queue_size = 128 # a connect(2) to a Unix socket fails at once when the queue is full

    def server_bind(self):
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "app", 0


Server(os.environ["SOCKET"], Handler).serve_forever()
