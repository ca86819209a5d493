"""Notes: a small app that shows what an app behind foobar looks like.

It listens where the command tells uvicorn to (the Unix socket in $SOCKET), is
configured by its environment alone, and answers a health check.
"""

import os
import secrets
import socket

from fastapi import FastAPI, Header, HTTPException, Request, status
from pydantic import BaseModel, Field

from store import Memory

HOSTNAME = socket.gethostname()
# Which server this is, as the Terraform configuration calls it.
SERVER = os.environ.get("NOTES_SERVER", HOSTNAME)
# A secret: whoever writes has to show it. Unset, anyone may write.
TOKEN = os.environ.get("NOTES_TOKEN", "")

app = FastAPI(title="notes", docs_url=None, redoc_url=None, openapi_url=None)
store = Memory(capacity=1000)


class Draft(BaseModel):
    """A note as it is sent."""

    text: str = Field(min_length=1, max_length=10_000)


@app.get("/")
async def index(request: Request) -> dict:
    """Tell which server answers, and what it was told of the request."""
    return {
        "app": "notes",
        "server": SERVER,
        "hostname": HOSTNAME,
        "client": request.client.host if request.client else None,
        "scheme": request.url.scheme,
        "request_id": request.headers.get("x-request-id"),
        "notes": len(store.all()),
    }


@app.get("/healthz")
async def healthz() -> dict:
    """Answer the health check: 200 while this process can do its work."""
    return {"status": "ok"}


@app.get("/notes")
async def read() -> list[dict]:
    """List the notes, oldest first."""
    return store.all()


@app.post("/notes", status_code=status.HTTP_201_CREATED)
async def write(draft: Draft, authorization: str = Header(default="")) -> dict:
    """Keep a note."""
    if TOKEN and not secrets.compare_digest(authorization.encode(), f"Bearer {TOKEN}".encode()):
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})
    return store.add(draft.text)
