"""Where notes are kept. Anything with these two methods can take its place."""

from collections import deque
from datetime import datetime, timezone
from itertools import count


class Memory:
    """Keeps the latest notes in this process: each server has its own, and a restart forgets them."""

    def __init__(self, capacity: int) -> None:
        self._notes: deque[dict] = deque(maxlen=capacity)
        self._ids = count(1)

    def add(self, text: str) -> dict:
        """Keep a note and return it with its id and time."""
        note = {"id": next(self._ids), "time": datetime.now(timezone.utc).isoformat(), "text": text}
        self._notes.append(note)
        return note

    def all(self) -> list[dict]:
        """Return the notes, oldest first."""
        return list(self._notes)
