"""The websocket's address."""

from django.urls import path, re_path

from portal.chat.consumers import ChatConsumer, NoSuchAddress

websocket_urlpatterns = [
    path("ws/chat/<uuid:conversation>/", ChatConsumer.as_asgi()),
    re_path("", NoSuchAddress.as_asgi()),
]
