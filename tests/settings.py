"""Settings of the test run: the project's own, on a data folder of its own that goes away with the process."""

import atexit
import os
import shutil
import tempfile

if "HAVRE_DATA_DIR" not in os.environ or "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["HAVRE_DATA_DIR"] = tempfile.mkdtemp(prefix="havre-test-")
    atexit.register(shutil.rmtree, os.environ["HAVRE_DATA_DIR"], ignore_errors=True)

# One of several processes of the run has a data folder and a database of Valkey of its own; what it starts shares them.
if worker := os.environ.pop("PYTEST_XDIST_WORKER", ""):
    server, _, database = os.environ.get("HAVRE_REDIS_URL", "").rpartition("/")
    if server and not server.startswith("unix:"):
        os.environ["HAVRE_REDIS_URL"] = f"{server}/{int(database) + int(worker.removeprefix('gw'))}"

# The tiny model writes thousands of tokens a second: an answer without an end needs room to be watched and stopped.
os.environ.setdefault("HAVRE_CONTEXT", "32768")
os.environ.setdefault("HAVRE_MAX_TOKENS", "16000")
os.environ.setdefault("HAVRE_THREADS", "1")  # it is so small that threads would wait for one another, mostly
os.environ.setdefault("HAVRE_EMBEDDER", "minilm")  # loads in half the time; some tests ask for e5
os.environ.setdefault("HAVRE_LEAST_GROUNDED", "0")  # the tiny model says what it was taught, not what passages say

from portal.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # tests sign in hundreds of times

# The threads of sockets live as long as the run, and a test database that somebody is connected to cannot be dropped.
HAVRE_CONNECTION_SECONDS = 0

# Several threads and processes write in a test as they do in life: SQLite on a file, not in memory.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    DATABASES["default"]["TEST"] = {"NAME": HAVRE_DATA_DIR / "test.sqlite3"}  # noqa: F405
