"""Notes in MariaDB: written to the primary, read from a replica."""

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

import pymysql
from pymysql.constants import CLIENT, CR

from pool import Pool
from store import Unavailable

# Seconds. Whoever waits for an answer has gone long before the systems' own
# timeouts, which are minutes, notice that a machine is away.
CONNECT_TIMEOUT = 2
ANSWER_TIMEOUT = 3
# Connections kept for later, to each of the two.
IDLE = 8
# How many notes are read.
LATEST = 1000

TABLE = """
CREATE TABLE IF NOT EXISTS notes (
    id     BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    time   DATETIME(6) NOT NULL COMMENT 'UTC',
    server VARCHAR(255) NOT NULL COMMENT 'the app server that took it',
    text   TEXT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
"""
INSERT = "INSERT INTO notes (time, server, text) VALUES (%s, %s, %s)"
SELECT = f"SELECT id, time, server, text FROM notes ORDER BY id DESC LIMIT {LATEST}"


@dataclass(frozen=True)
class Settings:
    """How the database is reached, as the environment tells it."""

    write: tuple[str, int]
    read: tuple[str, int]
    name: str
    user: str
    password: str = field(repr=False)
    # The certificates to trust, in PEM; without them nothing is encrypted.
    ca: str
    # The name that the server's certificate has to hold; the host's if empty.
    server_name: str

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the variables NOTES_DB_…; a missing host to read from is the one to write to."""
        write = environ["NOTES_DB_WRITE_HOST"], int(environ.get("NOTES_DB_WRITE_PORT", "3306"))
        read = environ.get("NOTES_DB_READ_HOST", write[0]), int(environ.get("NOTES_DB_READ_PORT", str(write[1])))
        return cls(
            write=write,
            read=read,
            name=environ.get("NOTES_DB_NAME", "notes"),
            user=environ.get("NOTES_DB_USER", "notes"),
            password=environ.get("NOTES_DB_PASSWORD", ""),
            ca=environ.get("NOTES_DB_CA", ""),
            server_name=environ.get("NOTES_DB_SERVER_NAME", ""),
        )


class Connection(pymysql.connections.Connection):
    """A connection that knows which machine it ends at, and does not go without the TLS it was asked for."""

    machine = ""

    def _get_server_information(self) -> None:
        super()._get_server_information()
        # PyMySQL would go on in plain text, so whoever sits between could ask it to.
        if self.ssl and not self.server_capabilities & CLIENT.SSL:
            raise pymysql.OperationalError(CR.CR_SSL_CONNECTION_ERROR, f"{self.host} offers no TLS")


class Database:
    """Keeps the notes of all servers in one table, which replication copies."""

    kind = "database"

    def __init__(self, settings: Settings, server: str) -> None:
        self._settings = settings
        self._server = server
        self._tls = ssl.create_default_context(cadata=settings.ca) if settings.ca else None
        self._primary = Pool(lambda: self._connect(*settings.write), alive, IDLE)
        self._replica = Pool(lambda: self._connect(*settings.read), alive, IDLE)

    def prepare(self) -> None:
        """Make the table on the primary, unless it is there."""
        try:
            with self._primary.connection() as connection, connection.cursor() as cursor:
                cursor.execute(TABLE)
        except pymysql.MySQLError as error:
            raise Unavailable("the table for the notes is not made yet") from error

    def add(self, text: str) -> tuple[dict, str]:
        """Keep a note on the primary; return it, and the machine that keeps it."""
        now = datetime.now(timezone.utc)
        sent = False
        try:
            with self._primary.connection() as connection, connection.cursor() as cursor:
                sent = True
                cursor.execute(INSERT, (now.replace(tzinfo=None), self._server, text))
                note = {"id": cursor.lastrowid, "time": now.isoformat(), "server": self._server, "text": text}
                return note, connection.machine
        except pymysql.MySQLError as error:
            if sent and error.args[0] == CR.CR_SERVER_LOST:  # before its answer, so it may have done it
                raise Unavailable("the database was lost while it kept the note: look whether it did") from error
            raise Unavailable("the note is not kept: the database takes no writes now") from error

    def latest(self) -> tuple[list[dict], str]:
        """Return the latest notes that have arrived at the replica, oldest first, and its machine."""
        try:
            with self._replica.connection() as connection, connection.cursor() as cursor:
                cursor.execute(SELECT)
                rows = cursor.fetchall()
                machine = connection.machine
        except pymysql.MySQLError as error:
            raise Unavailable("the notes cannot be read from the database now") from error
        return [
            {"id": id, "time": time.replace(tzinfo=timezone.utc).isoformat(), "server": server, "text": text}
            for id, time, server, text in reversed(rows)
        ], machine

    def _connect(self, host: str, port: int) -> Connection:
        settings = self._settings
        connection = Connection(
            host=settings.server_name or host,  # the name that TLS verifies
            user=settings.user,
            password=settings.password,
            database=settings.name,
            charset="utf8mb4",
            autocommit=True,
            ssl=self._tls,
            read_timeout=ANSWER_TIMEOUT,
            write_timeout=ANSWER_TIMEOUT,
            defer_connect=True,
        )
        try:
            connection.connect(socket.create_connection((host, port), CONNECT_TIMEOUT))
        except OSError as error:
            raise pymysql.OperationalError(CR.CR_CONN_HOST_ERROR, f"{host}:{port}: {error}") from error
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@hostname")
            (connection.machine,) = cursor.fetchone()
        return connection


def alive(connection: Connection) -> bool:
    """Tell whether a connection still works, which costs one short exchange."""
    try:
        connection.ping(reconnect=False)
    except pymysql.MySQLError:
        return False
    return True
