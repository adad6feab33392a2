"""Who may open which page: denied unless a view says otherwise.

Every view needs a signed-in person (LoginRequiredMiddleware) except those marked `login_not_required`; a view made for
one role says so with `for_role`. The table in tests/portal/test_access.py lists every route with every role.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import add_never_cache_headers


def keep_out_of_caches(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: a browser keeps no page of a signed-in person, so that "back" after signing out shows nothing."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.resolver_match is not None and request.resolver_match.url_name not in _PUBLIC:
            add_never_cache_headers(response)
        return response

    return respond


_PUBLIC = frozenset({"hotlines", "health"})

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def for_role(*roles: str) -> Callable[[View[P]], View[P]]:
    """Let only people of these roles through; everybody else who is signed in gets 403."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if getattr(request.user, "role", None) not in roles:
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return cast("View[P]", guarded)

    return decorate
