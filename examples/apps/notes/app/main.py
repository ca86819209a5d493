"""Notes: a small app that shows what an app behind foobar looks like.

It listens where the command tells uvicorn to (the Unix socket in $SOCKET), is
configured by its environment alone, and answers a health check.
"""

import asyncio
import logging
import os
import secrets
import socket
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Header, HTTPException, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from store import Unavailable, open_store

# Which release this is: pack.sh packs it.
VERSION = Path(__file__).with_name("VERSION").read_text().strip()
HOSTNAME = socket.gethostname()
# Which server this is, as the Terraform configuration calls it.
SERVER = os.environ.get("NOTES_SERVER", HOSTNAME)
# A secret: whoever writes has to show it. Unset, anyone may write.
TOKEN = os.environ.get("NOTES_TOKEN", "")
# Tells which machine kept the note, or was read from.
KEPT_BY = "X-Notes-Kept-By"

log = logging.getLogger("uvicorn.error")
store = open_store(os.environ, SERVER)


async def prepare() -> None:
    """See that there is a place for notes. The database may come long after the app."""
    shown = ""
    while True:
        try:
            await run_in_threadpool(store.prepare)
            return
        except Unavailable as error:
            if shown != str(error.__cause__):
                shown = str(error.__cause__)
                log.warning("%s: %s", error, shown)
        await asyncio.sleep(1)


@asynccontextmanager
async def lifespan(_: FastAPI):
    """Prepare in the background: the app serves what it can from its first moment."""
    preparing = asyncio.create_task(prepare())
    yield
    preparing.cancel()


app = FastAPI(title="notes", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)


class Draft(BaseModel):
    """A note as it is sent."""

    text: str = Field(min_length=1, max_length=10_000)


@app.exception_handler(Unavailable)
async def unavailable(_: Request, error: Unavailable) -> JSONResponse:
    """Tell the client that it may come back, and the log why."""
    log.warning("%s: %s", error, error.__cause__)
    return JSONResponse({"detail": str(error)}, status.HTTP_503_SERVICE_UNAVAILABLE, {"Retry-After": "1"})


@app.get("/")
async def index(request: Request) -> dict:
    """Tell which server and release answer, and what the app was given of the request."""
    return {
        "app": "notes",
        "version": VERSION,
        "server": SERVER,
        "hostname": HOSTNAME,
        "client": request.client.host if request.client else None,
        "scheme": request.url.scheme,
        "request_id": request.headers.get("x-request-id"),
        "store": store.kind,
    }


@app.get("/healthz")
async def healthz() -> dict:
    """Answer the health check: 200 while this process can do its work.

    The database is not asked. All servers share it, so its outage would take all
    of them out of the load balancer at once, with what they can do without it.
    """
    return {"status": "ok"}


# What waits for a database is no coroutine: it runs in a thread, and nothing
# else waits for it.


@app.get("/notes")
def read(response: Response) -> list[dict]:
    """List the latest notes, oldest first."""
    notes, response.headers[KEPT_BY] = store.latest()
    return notes


@app.post("/notes", status_code=status.HTTP_201_CREATED)
def write(draft: Draft, response: Response, authorization: str = Header(default="")) -> dict:
    """Keep a note."""
    if TOKEN and not secrets.compare_digest(authorization.encode(), f"Bearer {TOKEN}".encode()):
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})
    note, response.headers[KEPT_BY] = store.add(draft.text)
    return note
