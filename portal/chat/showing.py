"""What was shown of an answer, piece by piece, byte for byte: each piece is kept and recorded before it is published.

The pieces of one attempt form a chain: sha256 over the chain so far and the commitment of the next piece. The record
that ends the turn names the last link, and so proves all of them and their order. What was taken back stays provable:
it belongs to an earlier attempt.
"""

import hashlib
import secrets
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import rfc8785

from portal import vault
from portal.audit.services import record
from portal.chat import sealed
from portal.chat.models import Piece, Turn

_SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Shown:
    """A piece of an answer as a browser got it. `salt` (hexadecimal) proves it against its event."""

    attempt: int
    number: int
    at: datetime
    text: str
    salt: str


@dataclass(frozen=True, slots=True)
class Link:
    """The last piece of an attempt that was shown."""

    attempt: int
    number: int
    chain: bytes


def append(turn: Turn, text: str, last: Link | None) -> Link:
    """Keep and record the next piece of this attempt, in the caller's transaction and before anybody sees it. `last` is
    what this returned for the one before, if the caller has shown it. Raises what `record` raises, sealed.Erased,
    VaultError."""
    if last is None or last.attempt != turn.attempt:
        last = _last(turn) or Link(turn.attempt, 0, _beginning(turn.pk, turn.attempt))
    number, before = last.number + 1, last.chain
    salt = secrets.token_bytes(_SALT_BYTES)
    words = sealed.seal_with(turn, salt + text.encode("utf-8", errors="replace"), _purpose(turn.attempt, number))
    proof = sealed.commitment(salt.hex(), text)
    chain = next_link(before, proof)
    Piece.objects.create(turn=turn, attempt=turn.attempt, number=number, words=words, chain=chain)
    record(
        "turn.shown",
        actor="system",
        subject=str(turn.id),
        payload={
            "conversation": str(turn.conversation_id),
            "attempt": turn.attempt,
            "piece": number,
            "characters": len(text),
            "sealed_sha256": sealed.fingerprint(words),
            "commitment": proof,
            "chain": chain.hex(),
        },
    )
    return Link(turn.attempt, number, chain)


def summary(turn: Turn) -> dict[str, Any] | None:
    """How many pieces of this attempt were shown, and the last link of their chain; None where none were."""
    last = _last(turn)
    return {"pieces": last.number, "chain": last.chain.hex()} if last else None


def _last(turn: Turn) -> Link | None:
    found = Piece.objects.filter(turn=turn, attempt=turn.attempt).order_by("-number")
    row = found.values_list("number", "chain").first()
    return Link(turn.attempt, row[0], vault.raw(row[1])) if row else None


def pieces(turn: Turn) -> Iterator[Shown]:
    """All pieces that were shown for a turn, in their order, those of earlier attempts first. Raises sealed.Erased,
    VaultError."""
    for one in Piece.objects.filter(turn=turn).order_by("attempt", "number"):
        yield open_piece(turn, one)


def open_piece(turn: Turn, piece: Piece) -> Shown:
    """One of them. Raises sealed.Erased, VaultError."""
    whole = sealed.open_with(turn, piece.words, _purpose(piece.attempt, piece.number))
    salt, text = whole[:_SALT_BYTES], whole[_SALT_BYTES:].decode()
    return Shown(piece.attempt, piece.number, piece.at, text, salt.hex())


def beside(card: Mapping[str, Any] | None, message: str) -> dict[str, str]:
    """What the audit trail gets of a hotline card and of the sentence that stood in the place of an answer: hashes of
    them, empty where there is none, which the event of the question says, too: earlier versions said nothing of either.
    They are the facility's words and nobody's secret, so that they need no salt."""
    found = {"card_sha256": _canonical(card) if card else b"", "message_sha256": vault.raw(message)}
    return {name: sealed.fingerprint(whole) if whole else "" for name, whole in found.items()}


def _canonical(card: Any) -> bytes:
    try:
        return rfc8785.dumps(card)
    except ValueError:  # no card that Havre wrote, such as a number beyond all
        return vault.raw(card)


def text_of(turn: Turn) -> str:
    """What a person who watched this attempt has seen of the answer; empty also where it cannot be opened."""
    try:
        return "".join(one.text for one in pieces(turn) if one.attempt == turn.attempt)
    except vault.VaultError:
        return ""


def chain_of(turn_id: uuid.UUID, attempt: int, commitments: list[str]) -> str:
    """The last link over these commitments, in hexadecimal: what the ending record of the turn must name."""
    link = _beginning(turn_id, attempt)
    for one in commitments:
        link = next_link(link, one)
    return link.hex()


def next_link(before: bytes, proof: str) -> bytes:
    """The next link of a chain."""
    return hashlib.sha256(before + bytes.fromhex(proof)).digest()


def _beginning(turn_id: uuid.UUID, attempt: int) -> bytes:
    return hashlib.sha256(f"havre shown v1\n{turn_id}\n{attempt}".encode()).digest()


def _purpose(attempt: int, number: int) -> str:
    return f"shown:{attempt}:{number}"
