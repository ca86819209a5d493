"""What can be tested without a machine: python3 -m unittest discover -s examples/apps/notes/test"""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "app"))

from pool import Pool
from store import Memory, open_store


class Connection:
    """Lives until it is closed or killed."""

    def __init__(self) -> None:
        self.closed = self.killed = False

    def close(self) -> None:
        self.closed = True


class PoolTest(unittest.TestCase):
    def setUp(self) -> None:
        self.made: list[Connection] = []
        self.pool = Pool(self.connect, self.alive, idle=2)
        self.asked = 0

    def connect(self) -> Connection:
        self.made.append(Connection())
        return self.made[-1]

    def alive(self, connection: Connection) -> bool:
        self.asked += 1
        return not connection.killed

    def test_a_connection_is_used_again(self) -> None:
        for _ in range(3):
            with self.pool.connection() as connection:
                self.assertIs(connection, self.made[0])

    def test_two_at_once_are_two(self) -> None:
        with self.pool.connection() as one, self.pool.connection() as other:
            self.assertIsNot(one, other)

    def test_no_more_are_kept_than_asked_for(self) -> None:
        with self.pool.connection(), self.pool.connection(), self.pool.connection():
            pass
        self.assertEqual([connection.closed for connection in self.made].count(True), 1)

    def test_one_that_failed_is_closed(self) -> None:
        with self.assertRaises(RuntimeError), self.pool.connection():
            raise RuntimeError
        self.assertTrue(self.made[0].closed)
        with self.pool.connection() as connection:
            self.assertIsNot(connection, self.made[0])

    def test_when_one_died_while_idle_all_are_closed(self) -> None:
        with self.pool.connection(), self.pool.connection():
            pass
        for connection in self.made:
            connection.killed = True
        self.asked = 0
        with self.pool.connection() as connection:
            self.assertIs(connection, self.made[2])
        self.assertTrue(all(connection.closed for connection in self.made[:2]))
        self.assertEqual(self.asked, 1)


class StoreTest(unittest.TestCase):
    def test_without_a_database_notes_are_in_memory(self) -> None:
        self.assertIsInstance(open_store({"NOTES_DB_PASSWORD": "unused"}, "web1"), Memory)

    def test_memory_keeps_the_latest(self) -> None:
        store = Memory("web1", capacity=2)
        for text in ("one", "two", "three"):
            store.add(text)
        notes, machine = store.latest()
        self.assertEqual([(note["id"], note["server"], note["text"]) for note in notes], [(2, "web1", "two"), (3, "web1", "three")])
        self.assertEqual(machine, "web1")


if __name__ == "__main__":
    unittest.main()
