from django.urls import path

from portal.guidelines import bench_views as views

urlpatterns = [
    path("", views.bench, name="bench"),
    path("ask/", views.ask, name="ask"),
    path("<uuid:trial_id>/", views.trial, name="trial"),
    path("<uuid:trial_id>/state/", views.trial_state, name="trial_state"),
    path("<uuid:trial_id>/case/", views.add_case, name="add_case"),
    path("questions/", views.question_set, name="question_set"),
    path("questions/state/", views.set_state, name="set_state"),
    path("questions/ask/", views.ask_all, name="ask_all"),
    path("questions/import/", views.import_set, name="import_set"),
    path("questions/export/", views.export_set, name="export_set"),
    path("questions/<uuid:case_id>/remove/", views.remove_case, name="remove_case"),
    path("questions/<uuid:case_id>/keep/", views.keep_case, name="keep_case"),
]
