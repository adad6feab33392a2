"""Who a session belongs to, asked again whenever it matters: a websocket outlives the request that opened it."""

import logging
from importlib import import_module

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from portal.accounts.models import User

logger = logging.getLogger(__name__)


def user_of_session(session_key: str | None) -> User | None:
    """The active user whom this session signs in at this moment, or None: expired, signed out, password changed,
    deactivated. Reads the session from its store each time (the reasoning of django.contrib.auth.get_user)."""
    if not session_key:
        return None
    session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    if session.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS:
        return None
    user = User.objects.filter(pk=session.get(SESSION_KEY), is_active=True).first()
    if user is None:
        return None
    if not constant_time_compare(session.get(HASH_SESSION_KEY) or "", user.get_session_auth_hash()):
        return None
    return user


def end_sessions(user_pk: int) -> None:
    """Delete every session that signs this person in, expired ones, too."""
    mine = [one.pk for one in Session.objects.iterator() if str(one.get_decoded().get(SESSION_KEY)) == str(user_pk)]
    Session.objects.filter(pk__in=mine).delete()


def forget_expired() -> None:
    """Delete the sessions that nobody can use any more."""
    Session.objects.filter(expire_date__lt=timezone.now()).delete()


def sessions_group(user_pk: int) -> str:
    """The channel-layer group of all open sockets of one person."""
    return f"sessions.{user_pk}"


def announce_end(user_pk: int) -> None:
    """Tell this person's open sockets that a session ended, so that they check theirs at once. Best effort: each
    socket checks again by itself on every frame."""
    layer = get_channel_layer()
    if layer is None:
        return
    try:
        async_to_sync(layer.group_send)(sessions_group(user_pk), {"type": "session.ended"})
    except Exception as error:  # the broker may be down; signing out must work all the same
        logger.warning("session end not announced: %s", type(error).__name__)
