"""Answering with a picture of a page, or with a sentence that says why there is none."""

import hashlib
import logging
from collections.abc import Callable

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag

from knowledge import KnowledgeError, NoSuchPage, RenderingBusy

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 5


def image_response(request: HttpRequest, draw: Callable[[], bytes]) -> HttpResponse:
    """The PNG that `draw` makes; where it cannot, a sentence as plain text: 404 where there is no such page, 410 where
    its file is lost or cannot be drawn, 503 where others must be waited for.

    Like every page of a signed-in person it is kept by no cache (`portal.access`); the tag spares a view that is open
    the way of the same bytes again. Access is checked before, also for a tag that fits.
    """
    try:
        data = draw()
    except NoSuchPage as error:
        raise Http404 from error
    except RenderingBusy as error:
        busy = _said(error, 503)
        busy["Retry-After"] = str(_RETRY_SECONDS)
        return busy
    except KnowledgeError as error:
        logger.warning("a page could not be drawn: %s", error.code)
        return _said(error, 410)
    response = HttpResponse(data, content_type="image/png")
    tag = quote_etag(hashlib.sha256(data).hexdigest()[:32])
    response["ETag"] = tag
    response["Content-Disposition"] = "inline"
    return get_conditional_response(request, etag=tag, response=response) or response


def _said(error: KnowledgeError, status: int) -> HttpResponse:
    return HttpResponse(str(error), status=status, content_type="text/plain; charset=utf-8")
