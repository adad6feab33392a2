"""Which audit key was the ledger's when: read backwards from a key that is trusted, through the events by which each
key took the place of the one before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portal.audit import keys
from portal.audit._canonical import FORMAT, canonical
from portal.audit._findings import Finding

REPLACED = "audit.key_replaced"
"""The event by which a key takes the place of another: with the signature of the old one, unless that was lost, and
always with the new one's, so that nobody can name a key of his own as what was there before."""


@dataclass(frozen=True, slots=True)
class Era:
    """The time of one key: checkpoints up to `last_checkpoint` are signed by it (None: it is the present one), and
    events after `marked_after` are marked by it."""

    public: bytes
    last_checkpoint: int | None
    marked_after: int


@dataclass(frozen=True, slots=True)
class Succession:
    """The eras, oldest first; what is wrong with them, and where a key was lost."""

    eras: tuple[Era, ...]
    findings: tuple[Finding, ...]
    breaks: tuple[Finding, ...]

    def key_for(self, checkpoint: int) -> bytes:
        """The public key that signs this checkpoint."""
        for era in self.eras:
            if era.last_checkpoint is None or checkpoint <= era.last_checkpoint:
                return era.public
        return self.eras[-1].public

    @property
    def marked_after(self) -> int:
        """Events after this number bear the present key's mark; checkpoints vouch for those before."""
        return self.eras[-1].marked_after

    def vouches(self, public: bytes) -> list[Finding]:
        """What somebody has to know who trusts this key, got elsewhere, and nothing in this ledger."""
        places = [place for place, era in enumerate(self.eras) if era.public == public]
        if not places:
            said = f"the key {keys.id_of(public)} that you trust never was this audit trail's"
            return [Finding("key.unknown", said)]
        after = self.eras[places[0]].last_checkpoint
        lost = [one for one in self.breaks if after is not None and (one.checkpoint or 0) >= after]
        return [Finding("key.not_signed_off", one.message, one.first, one.last, one.checkpoint) for one in lost]


def statement(ledger: str, old: bytes, new: bytes, last_checkpoint: int) -> bytes:
    """What the old key signs: that the ledger's checkpoints after this one are the new key's."""
    said = {"v": FORMAT, "ledger": ledger, "old": old.hex(), "new": new.hex(), "last_checkpoint": last_checkpoint}
    return canonical(said)


def acceptance(
    ledger: str, old: bytes, new: bytes, last_checkpoint: int, unvouched: Sequence[int] | None = None
) -> bytes:
    """What the new key signs: which key was there before it, up to which checkpoint; and, where that was lost, the
    first and the last event that no checkpoint covers."""
    said = {"v": FORMAT, "ledger": ledger, "old": old.hex(), "new": new.hex(), "last_checkpoint": last_checkpoint}
    return canonical(said | {"unvouched": list(unvouched) if unvouched is not None else None})


def succession(ledger: str, trusted: bytes, replacements: Sequence[tuple[int, Mapping[str, Any]]]) -> Succession:
    """The eras that end with a trusted key. `replacements` are number and payload of each `audit.key_replaced`."""
    eras: list[Era] = []
    findings: list[Finding] = []
    breaks: list[Finding] = []
    public, last = trusted, None
    for seq, said in reversed(replacements):
        try:
            old, new, ends = bytes.fromhex(said["old"]), bytes.fromhex(said["new"]), int(said["last_checkpoint"])
            lost = said.get("lost") is True
            unvouched = [int(one) for one in said["unvouched"]] if lost else [0, 0]
            signature = b"" if lost else bytes.fromhex(said["signature"])
            accepted = bytes.fromhex(said["accepted"])
            taken = acceptance(ledger, old, new, ends, unvouched if lost else None)
            first, until = unvouched
        except (KeyError, TypeError, ValueError, OverflowError):
            findings.append(Finding("key.succession", "the change of the audit key is not one that was made", seq, seq))
            continue
        handed_over = lost or keys.has_signed_off(old, statement(ledger, old, new, ends), signature)
        handed_over = handed_over and keys.has_signed_off(new, taken, accepted)
        if new != public or not handed_over or old in {era.public for era in eras} | {public}:
            message = "the audit key was changed to one that is not this audit trail's, or without the old one's word"
            findings.append(Finding("key.succession", message, seq, seq))
            continue
        eras.append(Era(public, last, min(until, seq - 1) if lost else seq))
        if lost:
            breaks.append(_break(seq, first, until, ends))
        public, last = old, ends
    eras.append(Era(public, last, 0))
    return Succession(tuple(reversed(eras)), tuple(findings), tuple(reversed(breaks)))


def _break(seq: int, first: int, last: int, last_checkpoint: int) -> Finding:
    which = f"events {first} to {last} are vouched for by no key" if first <= last else "no event was left unsealed"
    message = f"the audit key was lost and replaced without its signature: {which}"
    return Finding("key.lost", message, min(first, seq), seq, last_checkpoint)
