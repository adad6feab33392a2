"""Which parts of the installation are alive: each worker keeps a key in Valkey that expires unless it is renewed."""

import json
import logging
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from portal import valkey

logger = logging.getLogger(__name__)

BEAT_SECONDS = 3.0
_EXPIRY_SECONDS = 10
WORKERS = ("inference", "knowledge")


@dataclass(frozen=True, slots=True)
class Parts:
    """`valkey`, `inference`, `knowledge`: can it be used? A worker that is there but could not load its model or open
    its index says so in `details`, which is what the workers say of themselves, and counts as missing; one whose index
    cannot be asked answers by words alone ("words"). `slots` is how many answers all inference workers that are ready
    write at the same time."""

    valkey: bool
    inference: bool
    knowledge: bool
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    slots: int = 0

    def missing(self) -> list[str]:
        """Names of the parts that are down."""
        return [name for name in ("valkey", *WORKERS) if not getattr(self, name)]

    def failure_code(self) -> str:
        """Why no question can be answered now, as a code of `chat.failures`; empty when one can. Without inference the
        guidelines are quoted (`without_model`)."""
        missing = [name for name in self.missing() if name != "inference"]
        return f"{missing[0]}_down" if missing else ""

    def without_model(self) -> str:
        """Why no language model can answer now: "no_model" where none is ready in the workers that live, "model_down"
        where no worker does; empty when one can."""
        if self.inference:
            return ""
        return "no_model" if "inference" in self.details else "model_down"

    def is_without_installed_model(self) -> bool:
        """Whether the workers say that no model is installed here, which is a way to run Havre and no fault."""
        said = self.details.get("inference", {})
        return not self.inference and said.get("installed") is False


def look() -> Parts:
    """Ask Valkey which parts are alive. Never raises: no Valkey means that nothing can be reached."""
    nothing = Parts(valkey=False, inference=False, knowledge=False)
    if valkey.is_paused():
        return nothing
    details: dict[str, dict[str, Any]] = {}
    slots = 0
    try:
        connection = valkey.client()
        for name in WORKERS:
            said = connection.mget(sorted(connection.smembers(_roster(name))) or [_roster(name) + ":none"])
            alive = [json.loads(one) for one in said if one]
            if alive:
                # several workers of a kind: the one that can work speaks for all
                details[name] = min(alive, key=lambda one: one.get("state") != "ready")
            if name == "inference":
                slots = sum(one.get("slots", 1) for one in alive if one.get("state") == "ready")
    except valkey.Unreachable:
        valkey.pause()
        return nothing
    usable = {name for name, said in details.items() if said.get("state") != "failed"}
    inference, knowledge = (name in usable for name in WORKERS)
    return Parts(valkey=True, inference=inference, knowledge=knowledge, details=details, slots=slots)


class Heartbeat:
    """Says every few seconds that this worker is alive, and what `describe` returns ({"state": "ready", …})."""

    def __init__(self, name: str, describe: Callable[[], dict[str, Any]]) -> None:
        self._name = name
        self._describe = describe
        self._key = f"havre:part:{name}:{socket.gethostname()}:{os.getpid()}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"heartbeat-{name}", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End, and take the worker off the list at once."""
        self._stop.set()
        try:
            valkey.client().delete(self._key)
            valkey.client().srem(_roster(self._name), self._key)
        except valkey.Unreachable:
            pass  # the key expires by itself

    def beat(self) -> None:
        """Say it once, now."""
        try:
            pipeline = valkey.client().pipeline()
            pipeline.set(self._key, json.dumps(self._describe()), ex=_EXPIRY_SECONDS)
            pipeline.sadd(_roster(self._name), self._key)
            pipeline.expire(_roster(self._name), 86_400)
            pipeline.execute()
        except valkey.Unreachable:
            pass  # Valkey is restarting; the next beat says it again

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.beat()
            except Exception as error:  # a heart does not stop because one beat failed
                logger.error("heartbeat of %s: %s", self._name, type(error).__name__)
            self._stop.wait(BEAT_SECONDS)


def _roster(name: str) -> str:
    return f"havre:parts:{name}"
