"""Connections that wait for the next request."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Pool:
    """Lends connections, each to one thread at a time.

    One that has been idle is asked whether it still lives before it is lent; if it
    does not, its idle neighbours are not asked any more, since each may take a
    timeout to say nothing. One that failed is closed. So whatever happened to the
    server behind them, the next request begins with a good one.
    """

    def __init__(self, connect: Callable, alive: Callable[..., bool], idle: int) -> None:
        self._connect = connect
        self._alive = alive
        self._most = idle
        self._idle: deque = deque()  # its methods are atomic; no lock is needed

    @contextmanager
    def connection(self) -> Iterator:
        """Lend a connection for the length of a with statement."""
        connection = self._take()
        try:
            yield connection
        except BaseException:
            connection.close()  # nobody knows what state it is in
            raise
        if len(self._idle) < self._most:
            self._idle.append(connection)
        else:
            connection.close()

    def _take(self):
        connection = self._pop()
        if connection and self._alive(connection):
            return connection
        while connection:
            connection.close()
            connection = self._pop()
        return self._connect()

    def _pop(self):
        try:
            return self._idle.pop()  # the one used last is the likeliest to live
        except IndexError:
            return None
