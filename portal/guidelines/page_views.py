"""Pages of guidelines as pictures."""

import uuid

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

import knowledge
from portal.access import for_role
from portal.guidelines.access import NotAllowed, version_for
from portal.pictures import image_response

_LONGEST_NUMBER = 9  # digits


@require_GET
@for_role("admin", "clinician")
def page_image(request: HttpRequest, version_id: uuid.UUID, page: int) -> HttpResponse:
    """A page of a version as PNG; `?start=&end=` are the characters of the page's text that are marked, `?large=1` is
    for small print."""
    try:
        version = version_for(request.user, version_id)
    except NotAllowed as error:
        raise Http404 from error
    start, end = _number(request, "start"), _number(request, "end")
    large = "large" in request.GET
    person = str(request.user.pk)
    return image_response(
        request, lambda: knowledge.page_image(version.pk, page, start, end, large=large, person=person)
    )


def _number(request: HttpRequest, name: str) -> int | None:
    """A number of the query; None where it is not given. What is no number names no place."""
    given = request.GET.get(name, "")
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= _LONGEST_NUMBER):
        raise Http404
    return int(given)
