from django.urls import path, re_path

from portal.modelcards import views

app_name = "modelcards"
urlpatterns = [
    path("", views.index, name="index"),
    path("trial/", views.trial, name="trial"),
    re_path(r"^(?P<sha256>[0-9a-f]{64})/$", views.card, name="card"),
    re_path(r"^(?P<sha256>[0-9a-f]{64})/activate/$", views.activate, name="activate"),
]
