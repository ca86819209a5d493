"""The app as foobar runs it: python3 -m unittest discover -s examples/apps/python/test"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

APP = Path(__file__).parent.parent / "app"


class AppTest(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.socket = f"{directory.name}/app.sock"
        environment = os.environ | {"SOCKET": self.socket, "STATE_DIRECTORY": directory.name}
        self.app = subprocess.Popen([sys.executable, "main.py"], cwd=APP, env=environment)
        self.addCleanup(self.app.wait)
        self.addCleanup(self.app.kill)
        self.wait_until_it_listens()

    def wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                return self.connect().close()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(10)
            connection.connect(self.socket)
        except OSError:
            connection.close()
            raise
        return connection

    def ask(self, method: str, path: str, line: str | None = None) -> tuple[int, str]:
        client = http.client.HTTPConnection("app")
        client.sock = self.connect()
        with closing(client):
            client.request(method, path, line)
            answer = client.getresponse()
            return answer.status, answer.read().decode()

    def test_answers(self) -> None:
        for request, answer in {
            ("GET", "/"): (200, "release 1\n"),
            ("GET", "/healthz"): (200, "ok\n"),
            ("GET", "/other"): (404, "not found\n"),
            ("POST", "/ledger", "two\nlines"): (400, "POST one line to /ledger\n"),
        }.items():
            self.assertEqual(self.ask(*request), answer, request)

    def test_each_line_is_kept_once(self) -> None:
        lines = [f"line {number}" for number in range(200)]
        with ThreadPoolExecutor(50) as clients:
            answers = set(clients.map(lambda line: self.ask("POST", "/ledger", line), lines))
        self.assertEqual(answers, {(201, "kept by release 1\n")})
        self.assertEqual(sorted(self.ask("GET", "/ledger")[1].splitlines()), sorted(lines))

    def test_a_request_in_progress_is_finished_after_sigterm(self) -> None:
        slow = self.connect()
        slow.sendall(b"POST /ledger HTTP/1.1\r\nContent-Length: 4\r\n\r\nla")
        self.ask("GET", "/healthz")  # connections are accepted in turn: the slow one was, too
        self.app.send_signal(signal.SIGTERM)
        while True:  # until it accepts no more
            try:
                self.connect().close()
            except ConnectionRefusedError:
                break
            time.sleep(0.02)
        slow.sendall(b"st")
        with slow.makefile("rb") as answer:
            self.assertIn(b"201 Created", answer.readline())
            self.assertTrue(answer.read().endswith(b"kept by release 1\n"))
        slow.close()
        self.assertEqual(self.app.wait(10), 0)


if __name__ == "__main__":
    unittest.main()
