"""Where notes are kept, chosen by the environment.

Anything with the methods of Memory can take its place.
"""

from collections import deque
from collections.abc import Mapping
from datetime import datetime, timezone
from itertools import count


class Unavailable(Exception):
    """The notes cannot be reached just now. The text is for whoever asked, the cause for the log."""


class Memory:
    """Keeps the latest notes in this process: each server has its own, and a restart forgets them."""

    kind = "memory"

    def __init__(self, server: str, capacity: int = 1000) -> None:
        self._server = server
        self._notes: deque[dict] = deque(maxlen=capacity)
        self._ids = count(1)

    def prepare(self) -> None:
        """Make what the notes are kept in. May be called again."""

    def add(self, text: str) -> tuple[dict, str]:
        """Keep a note; return it with its id, time and server, and the machine that keeps it."""
        note = {
            "id": next(self._ids),
            "time": datetime.now(timezone.utc).isoformat(),
            "server": self._server,
            "text": text,
        }
        self._notes.append(note)
        return note, self._server

    def latest(self) -> tuple[list[dict], str]:
        """Return the latest notes, oldest first, and the machine that they were read from."""
        return list(self._notes), self._server


def open_store(environ: Mapping[str, str], server: str):
    """Return the database that the environment names, or the memory if it names none."""
    if "NOTES_DB_WRITE_HOST" not in environ:
        return Memory(server)
    from database import Database, Settings  # needs PyMySQL, which the memory does not

    return Database(Settings.of(environ), server)
