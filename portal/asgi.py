"""The web process: HTTP by Django, websockets by Channels, both behind the same host and session checks."""

import os
import threading
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
_http = get_asgi_application()  # sets Django up: models may be imported after this line

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from channels.sessions import SessionMiddlewareStack  # noqa: E402

import guardrails  # noqa: E402
from portal import connections  # noqa: E402
from portal.chat.routing import websocket_urlpatterns  # noqa: E402

_routes = ProtocolTypeRouter(
    {
        "http": _http,
        "websocket": AllowedHostsOriginValidator(SessionMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
_prepared = threading.Event()
connections.answer_soon()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The web process. Its first connection loads the crisis screen beside it, so that no message waits for that."""
    if not _prepared.is_set():
        _prepared.set()
        threading.Thread(target=guardrails.prepare, name="guardrails", daemon=True).start()
    await _routes(scope, receive, send)
