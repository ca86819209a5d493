"""The WSGI app, without gunicorn: python3 -m unittest discover -s examples/apps/virtualenv/test"""

import importlib
import io
import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock
from wsgiref.util import setup_testing_defaults

APP = Path(__file__).parent.parent / "app"


class AppTest(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        for patch in mock.patch.dict(os.environ, STATE_DIRECTORY=directory.name), mock.patch.object(sys, "path", [str(APP), *sys.path]):
            patch.start()
            self.addCleanup(patch.stop)
        self.main = importlib.reload(importlib.import_module("main"))

    def ask(self, method: str, path: str, line: bytes = b"") -> tuple[str, str]:
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.input": io.BytesIO(line), "CONTENT_LENGTH": str(len(line))}
        setup_testing_defaults(environ)
        began = []
        answer = self.main.app(environ, lambda status, headers: began.append((status, dict(headers))))
        text = b"".join(answer)
        ((status, headers),) = began
        self.assertEqual(headers["Content-Length"], str(len(text)))
        return status, text.decode()

    def test_answers(self) -> None:
        for request, answer in {
            ("GET", "/"): ("200 OK", "release 1\n"),
            ("GET", "/healthz"): ("200 OK", "ok\n"),
            ("GET", "/ledger"): ("200 OK", ""),
            ("POST", "/ledger", "größer".encode()): ("201 Created", "kept by release 1\n"),
            ("POST", "/ledger", b"two\nlines"): ("400 Bad Request", "send one line\n"),
            ("POST", "/other", b"line"): ("404 Not Found", "not found\n"),
        }.items():
            self.assertEqual(self.ask(*request), answer, request)
        self.assertEqual(self.ask("GET", "/ledger"), ("200 OK", "größer\n"))


if __name__ == "__main__":
    unittest.main()
