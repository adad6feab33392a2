"""The one way to a document on behalf of a person: its pages, its words, its passages."""

import uuid

from django.contrib.auth.models import AnonymousUser

from knowledge import selectors
from knowledge.models import GuidelineVersion
from portal.accounts.models import Role, User
from portal.accounts.selectors import departments_of


class NotAllowed(Exception):
    """The version does not exist or is not for this person: the two are not told apart."""


def version_for(user: User | AnonymousUser, version_id: uuid.UUID | str, *, is_cited: bool = False) -> GuidelineVersion:
    """The version, for whoever may see it: administrators every one; clinicians those that answer at this moment and
    are for everybody or for one of their departments. `is_cited` is for a caller who has made sure that a turn of this
    person's own cites the version: then it need not answer any more, but still be for them.

    Raises NotAllowed for everybody else, compliance officers among them: they read what happened, not the documents.
    """
    if not isinstance(user, User) or not user.is_active:
        raise NotAllowed
    version = GuidelineVersion.objects.select_related("guideline").filter(pk=version_id).first()
    if version is None:
        raise NotAllowed
    if user.role == Role.ADMIN:
        return version
    if user.role != Role.CLINICIAN:
        raise NotAllowed
    mine = departments_of(user)
    if is_cited:
        is_for_me = selectors.guidelines_open_to(mine).filter(pk=version.guideline_id).exists()
    else:
        is_for_me = selectors.answering_versions(departments=mine).filter(pk=version.pk).exists()
    if not is_for_me:
        raise NotAllowed
    return version
