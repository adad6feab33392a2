"""The chat's websocket: frames in, events out. Rules and writes live in `services`; this is the plumbing."""

import asyncio
import json
import logging
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Coroutine
from typing import Any

import redis.asyncio
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError
from django.utils import translation
from django.utils.translation import gettext as _

from portal import valkey, vault
from portal.accounts.models import User
from portal.accounts.sessions import sessions_group, user_of_session
from portal.chat import failures, presence, rescue, services, stored
from portal.chat.access import NotAllowed, conversation_of, may_chat, turn_of
from portal.chat.models import Turn
from portal.chat.protocol import Frame, FrameError, Ping, TurnCancel, TurnResume, TurnStart, decode, parse
from portal.chat.relay import Relay
from portal.chat.threads import for_cards, for_safety, for_turns
from portal.chat.writing import NOT_WRITTEN

logger = logging.getLogger(__name__)

NOT_SIGNED_IN, NOT_ALLOWED, NO_SUCH_CONVERSATION, IDLE, TOO_MANY, COME_BACK = 4401, 4403, 4404, 4408, 4429, 4503
_CLOSED_BY_THE_PERSON = {1000, 1001}  # a browser says so when its page is closed or left; a lost line says nothing
_SESSION_CHECK_SECONDS = 15.0
_NOTICE_SECONDS = 2.0
_CHECK_SECONDS = 3.5  # how long a frame waits to hear whose session it is: longer than for a lock
_CARD_SECONDS = 0.5  # how long a hotline card waits for the database to write it down
_SAY_SECONDS = 3.5  # and how long everybody else waits before it is said that it takes longer
_ASK_AGAIN_SECONDS = 2.0  # how soon it is asked again who has opened a socket
_CARDS_UNKNOWN = 5  # questions of somebody of whom that is not known yet that are looked at
_FRAMES_AT_ONCE, _FRAMES_A_SECOND = 30, 10
_sockets: Counter[int] = Counter()  # open sockets a person, in this process


class ChatConsumer(AsyncWebsocketConsumer):
    """One browser tab on one conversation. See docs/architecture.md for the protocol."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Live, and clean up however the life ends: Channels calls `disconnect` only for an orderly one."""
        self.user_pk: int | None = None
        self.relays: dict[uuid.UUID, asyncio.Task[None]] = {}
        self.valkey: redis.asyncio.Redis | None = None
        self.errands: set[asyncio.Task[Any]] = set()
        self.last_frame = self.last_refill = time.monotonic()
        self.allowance = float(_FRAMES_AT_ONCE)
        self.is_page_closed = self.is_unknown = False
        self.asked_unknown = 0
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._clean_up()

    async def connect(self) -> None:
        """Accept, then close with a code that says why where the person may not be here: a browser can read the code
        of a socket that was accepted, not that of one refused."""
        self.conversation = uuid.UUID(str(self.scope["url_route"]["kwargs"]["conversation"]))
        await self.accept()
        asking = self._send_on_errand(self._let_in())
        await asyncio.wait({asking}, timeout=_CHECK_SECONDS)
        if asking.done() and not isinstance(asking.exception(), DatabaseError):
            asking.result()
            return
        self.is_unknown = True
        self._send_on_errand(self._come_back(asking))

    async def _let_in(self) -> bool:
        """See who has come, and whether they may be here; otherwise the socket is closed. Raises DatabaseError."""
        user = await self._checked_user()
        if user is None:
            return False
        try:
            await for_turns(conversation_of)(user, self.conversation)
        except NotAllowed:
            await self.close(NO_SUCH_CONVERSATION)
            return False
        if _sockets[user.pk] >= settings.HAVRE_SOCKETS_PER_PERSON:
            await self.close(TOO_MANY)
            return False
        self.user_pk = user.pk
        _sockets[user.pk] += 1
        self.valkey = valkey.async_client()
        self._send_on_errand(self._watch())
        return True

    async def _come_back(self, asking: asyncio.Future[Any]) -> None:
        """The database does not say who has come: ask until it does, and then have the browser come once more, with
        whatever it wants to go on with."""
        while self.is_unknown:
            try:
                may_stay = await asking
                self.is_unknown = False
            except DatabaseError as error:
                logger.error("a page was opened, and nobody can say by whom: %s", type(error).__name__)
                await asyncio.sleep(_ASK_AGAIN_SECONDS)
                asking = self._send_on_errand(self._checked_user())
        if may_stay:
            await self.close(COME_BACK)

    async def disconnect(self, code: int) -> None:
        """The socket has ended in good order: who ended it?"""
        self.is_page_closed = code in _CLOSED_BY_THE_PERSON

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """One frame. Whatever is wrong with it gets a typed error; the socket stays open."""
        if self.user_pk is None and not self.is_unknown:
            return  # sent before the refusal arrived
        self.last_frame = time.monotonic()
        content: dict[str, Any] = {}
        with translation.override(self._language()):
            try:
                if text_data is None:
                    raise FrameError("bad_frame", _("A message must be text, not bytes."))
                content = decode(text_data)
                if self.user_pk is None:
                    await self._answer_somebody(content)
                elif user := await self._checked_user_or_card(content):
                    await self.receive_json(content, user)
            except FrameError as error:
                await self._send_error(error.code, str(error), content)
            except NotAllowed:
                await self._send_error("not_found", _("There is no such turn."), content)
            except DatabaseError as error:
                logger.error("database not usable: %s", type(error).__name__)
                await self._answer_without_database(content)
            except vault.VaultError as error:
                logger.error("nothing can be recorded: %s", type(error).__name__)
                await self._send_error("forbidden", failures.message("key_missing", self._language()), content)
            except Exception as error:
                logger.error("frame not handled: %s", type(error).__name__, exc_info=error)
                await self._send_error("bad_frame", _("This message could not be handled."), content)

    async def receive_json(self, content: dict[str, Any], user: User) -> None:
        """Obey one decoded frame of a person who was checked a moment ago."""
        frame: Frame = parse(content)
        if not isinstance(frame, TurnStart) and not self._has_allowance():
            raise FrameError("rate_limited", _("These are too many messages at once. Please wait a moment."))
        match frame:
            case TurnStart():
                await self._start(user, frame)
            case TurnCancel():
                await self._stop(user, frame.turn)
            case TurnResume():
                turn = await for_turns(turn_of)(user, frame.turn)
                if turn.conversation_id != self.conversation:
                    raise NotAllowed
                self._follow(turn.id, frame.after, again=True)
            case Ping():
                await self._send({"type": "pong"})

    # --- channel-layer notices ---

    async def session_ended(self, event: dict[str, Any]) -> None:
        """A session of this person ended somewhere; if it is this one, close."""
        await self._checked_user()

    async def turn_started(self, event: dict[str, Any]) -> None:
        """Another tab started a turn in this conversation: show it here as well. Whoever opened a socket before the
        conversation was somebody else's hears nothing of it, and leaves."""
        if event.get("by") == self.channel_name:
            return
        try:
            user = await self._checked_user()
            if user is not None:
                self._follow((await for_turns(turn_of)(user, uuid.UUID(event["turn"]))).id, "")
        except NotAllowed:
            await self.close(NO_SUCH_CONVERSATION)
        except DatabaseError as error:
            logger.error("a turn of another tab is not shown: %s", type(error).__name__)

    # --- starting a turn ---

    async def _start(self, user: User, frame: TurnStart) -> None:
        """Start a turn and show it. One that has ended already (a crisis) is told from its row: that needs no Valkey,
        not even one that hangs. A card does not wait for a database that hangs either: it is shown from memory, and its
        record follows; anybody else is told after a while."""
        turn_id = uuid.uuid4()
        start = for_turns(services.start_turn)(user, self.conversation, frame, turn_id=turn_id)
        writing = asyncio.ensure_future(start)
        await asyncio.wait({writing}, timeout=_CARD_SECONDS)
        if not writing.done():
            unwritten = await for_cards(services.unrecorded)(self.conversation, frame, turn_id)
            if unwritten.card:
                await self._keep_card(unwritten)
                await self._send_all(stored.early(unwritten))
            else:
                self._send_on_errand(self._tell_when_slow(unwritten, writing))
        try:
            turn = await writing
        except services.NotRecorded as error:
            await self._send_all(stored.events(error.turn))
            return
        if turn.is_active:
            self._follow(turn.id, "")
        else:
            await self._send_all(await for_turns(stored.events)(turn))
        self._send_on_errand(self._tell_other_tabs(turn))

    async def _keep_card(self, unwritten: Turn) -> None:
        """Before it is sent, so that no card is shown without a trace, whatever ends here. A disk that hangs keeps
        nobody waiting."""
        keeping = asyncio.ensure_future(for_cards(services.keep_card)(self.user_pk or 0, unwritten))
        await asyncio.wait({keeping}, timeout=_CARD_SECONDS)

    async def _tell_when_slow(self, unwritten: Turn, writing: asyncio.Future[Turn]) -> None:
        await asyncio.wait({writing}, timeout=_SAY_SECONDS)
        if not writing.done():
            said = _("Your question waits to be written down; nothing is answered without its record.")
            notice = stored.notice(unwritten, {"rule": NOT_WRITTEN, "message": said})
            await self._send_all([*stored.early(unwritten), notice])

    async def _answer_somebody(self, content: dict[str, Any]) -> None:
        """Who has come is not known yet: whoever it is gets the hotlines, and no more than a few times, since each is
        kept for its record. Of anything else nobody can say what became of it: it may have been sent before."""
        frame = parse(content)
        if isinstance(frame, Ping):
            await self._send({"type": "pong"})
            return
        if isinstance(frame, TurnStart) and self.asked_unknown < _CARDS_UNKNOWN:
            self.asked_unknown += 1
            if (await for_cards(services.unrecorded)(self.conversation, frame, uuid.uuid4())).card:
                await self._answer_without_database(content)
                return
        raise FrameError("forbidden", _("Your session cannot be checked at this moment."))

    async def _answer_without_database(self, content: dict[str, Any]) -> None:
        """Not even the session can be checked: what needs no record, the hotlines, is shown; anything else says so."""
        try:
            frame = parse(content)
        except FrameError as error:
            await self._send_error(error.code, str(error), content)
            return
        if isinstance(frame, TurnStart):
            turn = await for_cards(services.unwritten)(self.user_pk or 0, self.conversation, frame, uuid.uuid4())
            await self._send_all(stored.events(turn))
        else:
            await self._send_error("forbidden", _("Your session cannot be checked at this moment."), content)

    async def _stop(self, user: User, turn: uuid.UUID) -> None:
        try:
            await for_turns(rescue.cancel_turn)(user, turn)
        except rescue.NotWritten as error:
            logger.error("a stop is not written down: %s", type(error.__cause__).__name__)
            said = _("The answer is being stopped, but nothing can be written down at this moment.")
            if not error.stops:
                said = _("The answer cannot be stopped: nothing can be written down at this moment. Please try again.")
            raise FrameError("forbidden", said) from error

    # --- plumbing ---

    def _follow(self, turn: uuid.UUID, after: str, *, again: bool = False) -> None:
        """Pass on what happens to a turn from the event `after` on. `again` restarts a relay that runs already."""
        running = self.relays.get(turn)
        if running and not running.done():
            if not again:
                return
            running.cancel()
        assert self.valkey is not None
        self.relays = {one: task for one, task in self.relays.items() if not task.done()}
        self.relays[turn] = asyncio.create_task(Relay(self.valkey, turn, after, self._send).run())

    async def _checked_user(self) -> User | None:
        """The person, asked anew of the session store; closes the socket and returns None when they may not be here."""
        session = self.scope.get("session")
        user = await for_safety(user_of_session)(getattr(session, "session_key", None))
        if user is None or not may_chat(user):
            if self.user_pk is not None:
                presence.signed_out(self.user_pk, self.channel_name)
            await self.close(NOT_ALLOWED if user else NOT_SIGNED_IN)
            return None
        return user

    async def _checked_user_or_card(self, content: dict[str, Any]) -> User | None:
        """The same for a frame. Raises DatabaseError where it takes too long and the frame is a crisis: a server that
        hangs answers to nobody, and a card is not to wait for it. Anything else does: what was sent twice may be
        written down already, and must not be said to have failed."""
        asking = asyncio.ensure_future(self._checked_user())
        asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())  # heard, whoever waits for it
        await asyncio.wait({asking}, timeout=_CHECK_SECONDS)
        if not asking.done() and isinstance(frame := parse(content), TurnStart):
            turn = await for_cards(services.unrecorded)(self.conversation, frame, uuid.uuid4())
            if turn.card and not asking.done():
                raise DatabaseError("the database does not say whose session this is")
        return await asking

    def _language(self) -> str:
        cookie = self.scope.get("cookies", {}).get(settings.LANGUAGE_COOKIE_NAME, "")
        known = dict(settings.LANGUAGES)
        if cookie in known:
            return str(cookie)
        accepted = dict(self.scope["headers"]).get(b"accept-language", b"").decode("latin-1").lower().split(",")
        return next((part.strip()[:2] for part in accepted if part.strip()[:2] in known), settings.LANGUAGE_CODE)

    def _has_allowance(self) -> bool:
        """A bucket of frames that refills: nobody needs more, and one browser cannot keep the server busy."""
        now = time.monotonic()
        refill = (now - self.last_refill) * _FRAMES_A_SECOND
        self.allowance, self.last_refill = min(_FRAMES_AT_ONCE, self.allowance + refill), now
        if self.allowance < 1:
            return False
        self.allowance -= 1
        return True

    async def _watch(self) -> None:
        """Join the groups, and see now and then that the session lives and somebody is there.

        The groups are joined again each time, because a Valkey that was restarted has forgotten them; the session is
        checked after joining, because it may have ended just before.
        """
        while True:
            await self._try(self.channel_layer.group_add(self._group, self.channel_name))
            await self._try(self.channel_layer.group_add(sessions_group(self.user_pk or 0), self.channel_name))
            await for_turns(presence.stay)(self.user_pk or 0, self.channel_name)
            try:
                if await self._checked_user() is None:
                    return
            except DatabaseError as error:
                logger.error("session not checked: %s", type(error).__name__)
            if time.monotonic() - self.last_frame > settings.HAVRE_SOCKET_IDLE_SECONDS:
                await self.close(IDLE)
                return
            await asyncio.sleep(_SESSION_CHECK_SECONDS)

    def _send_on_errand(self, errand: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Let something happen beside the frames; it ends with the socket at the latest."""
        task = asyncio.create_task(errand)
        self.errands.add(task)
        task.add_done_callback(self.errands.discard)
        return task

    async def _clean_up(self) -> None:
        for task in [*self.relays.values(), *self.errands]:
            task.cancel()
        if self.user_pk is None:
            return
        if self.is_page_closed:
            person = self.user_pk
            presence.page_closed(person, self.channel_name, lambda: bool(_sockets.get(person)))
        _sockets[self.user_pk] -= 1
        if not _sockets[self.user_pk]:
            del _sockets[self.user_pk]
        await self._try(self.channel_layer.group_discard(self._group, self.channel_name))
        await self._try(self.channel_layer.group_discard(sessions_group(self.user_pk), self.channel_name))
        if self.valkey is not None:
            await self.valkey.aclose()

    async def _tell_other_tabs(self, turn: Turn) -> None:
        notice = {"type": "turn.started", "turn": str(turn.id), "by": self.channel_name}
        await self._try(self.channel_layer.group_send(self._group, notice))

    @property
    def _group(self) -> str:
        return f"conversation.{self.conversation}"

    async def _try(self, notice: Awaitable[Any]) -> None:
        """Use the channel layer, which may be away or hang: its notices are a convenience (another tab shows a turn
        when it is loaded again, every frame checks its session), and nobody waits for them."""
        try:
            await asyncio.wait_for(notice, _NOTICE_SECONDS)
        except (*valkey.Unreachable, TimeoutError) as error:
            logger.warning("channel layer not reachable: %s", type(error).__name__)

    async def _send(self, event: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(event, ensure_ascii=False))

    async def _send_all(self, sequence: list[dict[str, Any]]) -> None:
        for event in sequence:
            await self._send(event)

    async def _send_error(self, code: str, message: str, content: dict[str, Any]) -> None:
        """A typed error; for a question it says which, so that the page can give the words back."""
        reference = content.get("client_ref")
        known = {"client_ref": reference} if isinstance(reference, str) and len(reference) <= 36 else {}
        await self._send({"type": "error", "code": code, "message": message, **known})


class NoSuchAddress(AsyncWebsocketConsumer):
    """Any other websocket address: accepted only to say so."""

    async def connect(self) -> None:
        await self.accept()
        await self.close(NO_SUCH_CONVERSATION)
