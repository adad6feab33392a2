"""Every page of the portal."""

from django.contrib.auth.decorators import login_not_required
from django.urls import include, path
from django.views.i18n import set_language

from portal import views
from portal.accounts.views import ChangePassword, SignIn, SignOut
from portal.chat.story_views import turn_story

urlpatterns = [
    path("", views.home, name="home"),
    path("hotlines/", views.hotlines, name="hotlines"),
    path("about/", views.about, name="about"),
    path("status/", views.status, name="status"),
    path("healthz", views.health, name="health"),
    path("theme/", views.theme, name="theme"),
    path("i18n/setlang/", login_not_required(set_language), name="set_language"),
    path("accounts/login/", SignIn.as_view(), name="login"),
    path("accounts/logout/", SignOut.as_view(), name="logout"),
    path("accounts/password/", ChangePassword.as_view(), name="password_change"),
    path("chat/", include("portal.chat.urls")),
    path("guidelines/", include("portal.guidelines.urls")),
    path("safeguards/", include("portal.safeguards.urls")),
    path("audit/turns/<uuid:turn_id>/", turn_story, name="story"),
    path("audit/", include("portal.audit.urls")),
    path("models/", include("portal.modelcards.urls")),
]

handler400 = "portal.views.bad_request"
handler500 = "portal.views.broken"
