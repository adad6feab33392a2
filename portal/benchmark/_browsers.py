"""The process that plays the browsers: signed-in people with open websockets, and when they see what."""

import asyncio
import json
import math
import time
import uuid
from typing import Any

from portal.benchmark._answers import Answer
from portal.chat.events import FINAL

_LONGEST_SECONDS = 3600.0


class Browsers:
    """Answers the line {"port", "sessions": [KEY, …], "cookie": NAME, "question", "answers": K}: everyone asks K
    times, all at once."""

    def __call__(self, line: dict[str, Any]) -> dict[str, Any]:
        """The answer to one line."""
        return asyncio.run(self._together(line))

    async def _together(self, line: dict[str, Any]) -> dict[str, Any]:
        opened = [[await _open(line, key) for _ in range(line["answers"])] for key in line["sessions"]]
        try:
            begun, cpu = time.perf_counter(), time.process_time()
            each = await asyncio.gather(*(_ask(sockets, line["question"]) for sockets in opened))
            seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        finally:
            for one in (socket for sockets in opened for socket in sockets):
                await one.close()
        answers = [one for found in each for one in found]
        return {
            "answers": [answer.as_json() for _, answer in answers],
            "turns": [turn for turn, _ in answers],
            "seconds": seconds,
            "cpu": cpu,
        }


async def _open(line: dict[str, Any], session: str) -> Any:
    """The socket of a new conversation: what was said before would make every prompt longer than the last."""
    from websockets.asyncio.client import connect

    host = f"127.0.0.1:{line['port']}"
    headers = {"Cookie": f"{line['cookie']}={session}"}
    address = f"ws://{host}/ws/chat/{uuid.uuid4()}/"
    connection = await connect(address, origin=f"http://{host}", additional_headers=headers)  # type: ignore[arg-type]
    await connection.send('{"type": "ping"}')
    await connection.recv()
    return connection


async def _ask(sockets: list[Any], question: str) -> list[tuple[str, Answer]]:
    return [await _one(connection, question) for connection in sockets]


async def _one(connection: Any, question: str) -> tuple[str, Answer]:
    """Ask once, and read until the turn has ended."""
    answer = Answer(tokens=0, first=math.nan, words=math.nan, done=math.nan)
    frame = {"type": "turn.start", "client_ref": str(uuid.uuid4()), "text": question, "effort": "low"}
    begun = time.perf_counter()
    await connection.send(json.dumps(frame))
    while True:
        raw = await asyncio.wait_for(connection.recv(), _LONGEST_SECONDS)
        at = time.perf_counter() - begun
        event = json.loads(raw)
        match event["type"]:
            case "turn.accepted":
                answer.accepted = at
            case "turn.passages":
                answer.passages = at
            case "turn.reasoning":
                answer.first = at if math.isnan(answer.first) else answer.first
            case "turn.delta":
                answer.pieces.append(at)
            case "error":
                return "", _ended(answer, at, str(event["code"]), 0)
            case kind if kind in FINAL:
                tokens = event.get("usage", {}).get("completion_tokens", 0)
                state = kind.removeprefix("turn.")
                return event["turn"], _ended(
                    answer, at, f"{state}:{event['code']}" if "code" in event else state, tokens
                )


def _ended(answer: Answer, at: float, state: str, tokens: int) -> Answer:
    answer.done, answer.state, answer.tokens = at, state, tokens
    answer.words = answer.pieces[0] if answer.pieces else math.nan
    if math.isnan(answer.first):
        answer.first = answer.words
    return answer
