"""Who may be given a code."""

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied

from portal.audit.models import Actor

TERMINAL = "terminal:"
"""What stands before the name of whoever runs a command: no account."""


class NoSuchPerson(PermissionDenied):
    """Somebody acts under a name that nobody here has: it was erased while what they began was on its way."""


def refuse_who_left(name: str) -> None:
    """Give nobody's name a code. A request that began before its person was erased still knows the name, and would have
    it written down anew; where nobody was ever erased it cannot be such a one. Raises NoSuchPerson."""
    if name.startswith(TERMINAL) or not Actor.objects.filter(name=None).exists():
        return
    if not get_user_model()._default_manager.filter(username=name).exists():
        raise NoSuchPerson("Whoever acts has no account here any more.")
