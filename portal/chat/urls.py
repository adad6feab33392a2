from django.urls import path

from portal.chat import views
from portal.chat.reasoning import reasoning

app_name = "chat"
urlpatterns = [
    path("", views.index, name="index"),
    path("<uuid:conversation_id>/", views.conversation, name="conversation"),
    path("turns/<uuid:turn_id>/passages/<int:marker>/", views.passage, name="passage"),
    path("turns/<uuid:turn_id>/passages/<int:marker>/pages/<int:page>.png", views.passage_image, name="passage_image"),
    path("turns/<uuid:turn_id>/reasoning/", reasoning, name="reasoning"),
]
