"""Reads about people."""

from django.utils.crypto import salted_hmac

from portal.accounts.models import User


def subject_of(name: str) -> str:
    """What the audit trail says of a name that somebody typed into the sign-in form: the name where there is such a
    person, else a keyed hash of it, because it may be a password typed into the wrong field."""
    name = name[:150]
    if User.objects.filter(username=name).exists():
        return name
    return "unknown:" + salted_hmac("portal.accounts.unknown-name", name).hexdigest()[:16]
