from django.urls import path

from portal.safeguards import draft_views, line_views, views

app_name = "safeguards"
urlpatterns = [
    path("", views.index, name="index"),
    path("releases/<uuid:release_id>/", views.detail, name="detail"),
    path("releases/<uuid:release_id>/progress/", views.progress, name="progress"),
    path("releases/<uuid:release_id>/restore/", views.restore, name="restore"),
    path("files/", views.write_again, name="write_again"),
    path("cases/", views.cases, name="cases"),
    path("cases/add/", views.add_case, name="add_case"),
    path("cases/<int:case_id>/withdraw/", views.withdraw_case, name="withdraw_case"),
    path("draft/", draft_views.draft, name="draft"),
    path("draft/start/", draft_views.start, name="start"),
    path("draft/phrases/", draft_views.add_phrase, name="add_phrase"),
    path("draft/lines/", draft_views.add_hotline, name="add_hotline"),
    path("draft/lines/<slug:key>/", line_views.edit, name="edit_hotline"),
    path("draft/lines/<slug:key>/change/", line_views.change, name="change_hotline"),
    path("draft/lines/<slug:key>/check/", line_views.check, name="check_hotline"),
    path("draft/regions/", draft_views.set_regions, name="set_regions"),
    path("draft/remove/", draft_views.remove, name="remove"),
    path("draft/undo/", draft_views.undo, name="undo"),
    path("draft/discard/", draft_views.discard, name="discard"),
    path("draft/test/", draft_views.test, name="test"),
    path("draft/back/", views.send_back, name="send_back"),
    path("draft/ask/", draft_views.ask, name="ask"),
    path("draft/release/", views.release, name="release"),
]
