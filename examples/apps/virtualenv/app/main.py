"""A ledger as a WSGI app, served by gunicorn: it keeps each line that is sent to it."""

import os
from pathlib import Path

RELEASE = Path(__file__).with_name("VERSION").read_text().strip()
LEDGER = Path(os.environ["STATE_DIRECTORY"], "ledger")


def app(environ, start_response):
    """Answer a request."""
    status, text = answer(environ)
    body = text.encode()
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]


def answer(environ) -> tuple[str, str]:
    """Return the status of the answer, and its text."""
    match environ["REQUEST_METHOD"], environ["PATH_INFO"]:
        case "GET", "/":
            return "200 OK", f"release {RELEASE}\n"
        case "GET", "/healthz":
            return "200 OK", "ok\n"
        case "GET", "/ledger":
            return "200 OK", LEDGER.read_text() if LEDGER.exists() else ""
        case "POST", "/ledger":
            line = environ["wsgi.input"].read()
            if b"\n" in line:
                return "400 Bad Request", "send one line\n"
            keep(line)
            return "201 Created", f"kept by release {RELEASE}\n"
        case _:
            return "404 Not Found", "not found\n"


def keep(line: bytes) -> None:
    """Append a line to the ledger. All workers of the old and the new release do so at the
    same time, which one write to a file that is opened to append allows."""
    ledger = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(ledger, line + b"\n")
    finally:
        os.close(ledger)
