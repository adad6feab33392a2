"""The one way to a document on behalf of a person: its pages, its words, its passages."""

import uuid

from django.contrib.auth.models import AnonymousUser

from knowledge import selectors
from knowledge.models import GuidelineVersion
from portal.accounts.models import Role, User
from portal.accounts.selectors import departments_of


class NotAllowed(Exception):
    """The version does not exist or is not for this person: the two are not told apart."""


def version_for(user: User | AnonymousUser, version_id: uuid.UUID | str) -> GuidelineVersion:
    """The version, for whoever may see it: administrators every one; clinicians those that answer at this moment and
    are for everybody or for one of their departments. What their own turns cite opens by way of the turn, also when it
    no longer answers (`portal.chat.access.passage_of`).

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
    if not selectors.answering_versions(departments=departments_of(user)).filter(pk=version.pk).exists():
        raise NotAllowed
    return version
