#!/bin/sh
# The runtime for the users' apps: Python with an ASGI server, a framework and the
# drivers of the databases on offer.
set -eu
export DEBIAN_FRONTEND=noninteractive

apt-get install -y python3 python3-uvicorn uvicorn python3-fastapi python3-pymysql python3-psycopg
