"""The web process: HTTP by Django, websockets by Channels, both behind the same host and session checks."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
_http = get_asgi_application()  # sets Django up: models may be imported after this line

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from channels.sessions import SessionMiddlewareStack  # noqa: E402

import guardrails  # noqa: E402
from portal.chat.routing import websocket_urlpatterns  # noqa: E402

guardrails.screen_input("")  # reads the rules now, so that the first message of the day does not wait for them

application = ProtocolTypeRouter(
    {
        "http": _http,
        "websocket": AllowedHostsOriginValidator(SessionMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
