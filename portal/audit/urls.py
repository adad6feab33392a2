from django.urls import path

from portal.audit import activity_views, export_views, integrity_views, views

app_name = "audit"
urlpatterns = [
    path("", views.index, name="index"),
    path("activity/", activity_views.index, name="activity"),
    path("integrity/", integrity_views.index, name="integrity"),
    path("integrity/verify/", integrity_views.verify, name="verify"),
    path("integrity/progress/", integrity_views.progress, name="verify_progress"),
    path("export/", export_views.index, name="export"),
    path("export/ask/", export_views.ask, name="ask_export"),
    path("export/state/", export_views.state, name="export_state"),
    path("export/<uuid:export_id>/stop/", export_views.stop, name="stop_export"),
    path("export/<uuid:export_id>/file/", export_views.download, name="download_export"),
]
