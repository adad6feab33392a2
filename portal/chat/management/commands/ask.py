"""`manage.py ask "…"`: one turn through the whole pipeline, from a terminal."""

import json
import time
import uuid
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

import inference
from inference import Effort
from portal import parts
from portal.accounts.models import TERMINAL, Role, User
from portal.chat import selectors, services
from portal.chat.models import Quotation, State, Turn
from portal.chat.protocol import FrameError, parse
from portal.chat.reading import reading
from portal.chat.rendering import foreign_note
from portal.chat.turn import end_unheld, hand_over_unheld
from portal.database import ensure_tables


class Command(BaseCommand):
    help = (
        "Ask one question and print the answer. While the workers of this installation run, they answer; otherwise "
        "this command loads the model and the index itself."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("question")
        parser.add_argument("--effort", choices=[one.value for one in Effort], default="low")
        parser.add_argument("--quote", action="store_true", help="quote the guidelines, ask no language model")
        parser.add_argument("--json", action="store_true", help="print the turn as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        ensure_tables()
        frame = {
            "type": "turn.start",
            "client_ref": str(uuid.uuid4()),
            "text": options["question"],
            "effort": options["effort"],
            "answer": "quotation" if options["quote"] else "model",
        }
        try:
            start = parse(frame)
            is_served = not parts.look().failure_code()
            turn = services.start_turn(
                _person(),
                uuid.uuid4(),
                start,  # type: ignore[arg-type]
                queue=is_served,
            )
        except FrameError as error:
            raise CommandError(str(error)) from error
        except services.NotRecorded as error:
            self._show(error.turn)
            raise CommandError(error.turn.failure_message or "The turn could not be written down.") from error
        turn = _wait(turn) if is_served else _answer_here(turn)
        if options["json"]:
            self.stdout.write(json.dumps(_result(turn), ensure_ascii=False))
        else:
            self._show(turn)
        if turn.state == State.FAILED:
            raise CommandError(turn.failure_message)

    def _show(self, turn: Turn) -> None:
        if turn.card:
            self.stdout.write(turn.card["message"])
            for line in turn.card["hotlines"]:
                self.stdout.write(f"  {line['name']}: {line['phone'] or line['sms'] or line['url']} {line['hours']}")
        for notice in reading(turn).notices:
            self.stdout.write(f"({notice['rule']}) {notice['message']}")
        if turn.state == State.REFUSED:
            self.stdout.write(turn.failure_message)
        read = reading(turn)
        if turn.quotation and read.citations:
            self.stdout.write(f"Quoted from the guidelines: {Quotation(turn.quotation).label}.")
            self.stdout.write(foreign_note(read.citations, turn.language))
        if read.answer:
            self.stdout.write(read.answer + "\n")
        for one in read.citations:
            page = f", p. {one['page_label'] or one['page']}" if one["page"] else ""
            self.stdout.write(f"[{one['marker']}] {one['document']}, {one['version']}{page}: {one['heading']}")


def _person() -> User:
    """Who asks from a terminal: a clinician without a password, who can never sign in."""
    user, created = User.objects.get_or_create(username=TERMINAL, defaults={"role": Role.CLINICIAN})
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    for left_behind in selectors.running_turns(user):  # by a command that was killed
        end_unheld(left_behind.id, State.CANCELLED)
    return user


def _wait(turn: Turn) -> Turn:
    deadline = time.monotonic() + 3 * settings.HAVRE_TURN_DEADLINE_SECONDS
    while turn.is_active and time.monotonic() < deadline:
        time.sleep(0.1)
        turn.refresh_from_db()
    return turn


def _answer_here(turn: Turn) -> Turn:
    """Steps 4 to 8 in this process, or quotations where it has no model either."""
    if turn.is_active:
        from portal import workers
        from portal.chat import quoting
        from portal.chat.answering import generate_answer
        from portal.chat.retrieving import retrieve_passages

        if retrieve_passages(turn.id):
            workers.load_model()
            if inference.loaded() or not hand_over_unheld(turn.id, Quotation.NO_MODEL):
                while generate_answer(turn.id):  # once more where the engine broke off
                    pass
        turn = selectors.get_turn(turn.id)
        if turn.is_active and turn.quotation:
            quoting.quote_answer(turn.id)
            turn.refresh_from_db()
    return _wait(turn) if turn.lease_until else turn  # a worker that came meanwhile may have taken it


def _result(turn: Turn) -> dict[str, Any]:
    keys = ("marker", "document", "version", "page", "quote")
    read = reading(turn)
    return {
        "turn": str(turn.id),
        "state": turn.state,
        "answer": read.answer,
        "citations": [{key: one[key] for key in keys} for one in read.citations],
        "groundedness": turn.groundedness,
        "verdicts": {
            "input": turn.verdict | {"matched": [] if read.instead else turn.matched},
            "notices": read.notices,
            "card": turn.card,
            "refused": {"rule": turn.failure_code, "message": turn.failure_message}
            if turn.state in (State.REFUSED, State.FAILED)
            else None,
        },
        "quotation": turn.quotation,
        "model": turn.model,
        "usage": turn.usage,
    }
