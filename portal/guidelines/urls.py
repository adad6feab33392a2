from django.urls import path

from portal.guidelines import views

app_name = "guidelines"
urlpatterns = [
    path("", views.index, name="index"),
    path("upload/", views.upload, name="upload"),
    path("progress/", views.progress, name="progress"),
    path("<uuid:guideline_id>/", views.detail, name="detail"),
    path("<uuid:guideline_id>/switch/", views.switch, name="switch"),
    path("versions/<uuid:version_id>/retry/", views.retry, name="retry"),
]
