"""Where nothing can be written down, nobody signs in and nothing is changed: a page that says so, and why."""

import logging
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _

from portal import vault
from portal.connections import may_be_done
from portal.database import NOT_TAKEN, is_unfit

logger = logging.getLogger(__name__)


class SayThatNothingIsRecorded:
    """Middleware: a view that failed for a missing key or a database that does not take anything answers 503."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass on."""
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The page; None for any other error."""
        return page(request, exception)


def page(request: HttpRequest, error: BaseException | None, *, also: str = "") -> HttpResponse | None:
    """The page that says so, where this error is of that kind, and what else there is to say; None otherwise."""
    if isinstance(error, vault.NoKey):
        why = _("A key of this installation is missing.")
    elif isinstance(error, NOT_TAKEN) and not is_unfit(error):
        why = _("The database cannot be written at this moment.")
    else:
        return None
    logger.error("%s %s: nothing can be recorded: %s", request.method, request.path, type(error).__name__)
    # no context of a request: who is signed in is a question to the database
    words = {"why": why, "also": also, "may_be_done": may_be_done(request)}
    return render(None, "503.html", words, status=503)
