from django.urls import path

from portal.chat import erasure_views, views

app_name = "chat"
urlpatterns = [
    path("", views.index, name="index"),
    path("<uuid:conversation_id>/", views.conversation, name="conversation"),
    path("turns/<uuid:turn_id>/checked/", views.checked, name="checked"),
    path("turns/<uuid:turn_id>/passages/<int:marker>/", views.passage, name="passage"),
    path("turns/<uuid:turn_id>/passages/<int:marker>/pages/<int:page>.png", views.passage_image, name="passage_image"),
    path("erasures/", erasure_views.index, name="erasures"),
    path("erasures/ask/", erasure_views.ask, name="ask_erasure"),
    path("erasures/<uuid:erasure_id>/", erasure_views.erasure, name="erasure"),
    path("erasures/<uuid:erasure_id>/decide/", erasure_views.decide, name="decide_erasure"),
    path("holds/", erasure_views.set_hold, name="set_hold"),
    path("holds/<uuid:hold_id>/lift/", erasure_views.lift_hold, name="lift_hold"),
]
