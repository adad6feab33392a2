from django.urls import include, path

from portal.guidelines import department_views, opening_views, page_views, reading_views, version_views, views

app_name = "guidelines"
urlpatterns = [
    path("", views.index, name="index"),
    path("upload/", views.upload, name="upload"),
    path("progress/", views.progress, name="progress"),
    path("batch/", views.batch, name="batch"),
    path("folder/", views.folder, name="folder"),
    path("bench/", include("portal.guidelines.bench_urls")),
    path("departments/", department_views.departments, name="departments"),
    path("departments/<uuid:department_id>/", department_views.department, name="department"),
    path("departments/<uuid:department_id>/rename/", department_views.rename, name="rename_department"),
    path("departments/<uuid:department_id>/remove/", department_views.remove, name="remove_department"),
    path("<uuid:guideline_id>/", version_views.detail, name="detail"),
    path("<uuid:guideline_id>/describe/", version_views.describe, name="describe"),
    path("<uuid:guideline_id>/opening/", opening_views.opening, name="opening"),
    path("<uuid:guideline_id>/switch/", views.switch, name="switch"),
    path("versions/<uuid:version_id>/retry/", version_views.retry, name="retry"),
    path("versions/<uuid:version_id>/likeness/", version_views.likeness, name="likeness"),
    path("versions/<uuid:version_id>/split/", version_views.split, name="split"),
    path("versions/<uuid:version_id>/pages/<int:page>.png", page_views.page_image, name="page_image"),
    path("versions/<uuid:version_id>/passages/", reading_views.passages, name="passages"),
    path("versions/<uuid:version_id>/compare/", reading_views.compare, name="compare"),
    path("versions/<uuid:version_id>/<slug:step>/", version_views.step, name="step"),
]
