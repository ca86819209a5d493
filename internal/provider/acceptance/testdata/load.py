"""Writes to, or reads from, a database as an app does, until it is stopped.

load.py write|read HOST NAME: one line for each attempt goes to standard output,
"ok N MS" or "no ERRNO MS", with how many milliseconds it took; ERRNO is 0 where
nobody answered. N is what was written, a number that is written once, or what was
read. The password is in the
environment; the certificate of HOST is checked.
"""

import os
import ssl
import sys
import time

import pymysql

MODE, HOST, NAME = sys.argv[1:]
TLS = ssl.create_default_context(cafile="/run/foobar-db-notes.tls/ca.pem")


def connect():
    return pymysql.connect(
        host=HOST, user="notes", password=os.environ["PASSWORD"], database="notes",
        ssl=TLS, autocommit=True, connect_timeout=2, read_timeout=10, write_timeout=10,
    )


def write(cursor, number):
    cursor.execute("INSERT INTO acknowledged (writer, n) VALUES (%s, %s)", (NAME, number))
    return number


def read(cursor, _):
    cursor.execute("SELECT COUNT(*) FROM seeded")
    return cursor.fetchone()[0]


def tell(outcome, number, began):
    print(outcome, number, round((time.monotonic() - began) * 1000, 3), flush=True)


def main():
    attempt = {"write": write, "read": read}[MODE]
    connection = None
    for number in range(1, sys.maxsize):
        began = time.monotonic()
        try:
            connection = connection or connect()
            with connection.cursor() as cursor:
                tell("ok", attempt(cursor, number), began)
        except Exception as problem:
            known = isinstance(problem, pymysql.Error) and problem.args and problem.args[0]
            tell("no", known if isinstance(known, int) else 0, began)
            if connection:
                try:
                    connection.close()
                except Exception:
                    pass  # it is closed
            connection = None
        time.sleep(0.02)


main()
