"""What a newcomer needs to see Havre work: a small model, sample guidelines, a sign-in for each role and for a second
administrator."""

import sys
from collections.abc import Callable

from django.conf import settings
from tqdm import tqdm

import inference
from knowledge import selectors as library
from portal.accounts.models import TERMINAL, Role, User
from portal.accounts.services import create_user, random_password, renew_password
from portal.workers import engine_settings

MODEL = "smollm2-135m-instruct"
_SIGN_INS = (
    (Role.CLINICIAN, "clinician"),
    (Role.ADMIN, "admin"),
    (Role.ADMIN, "reviewer"),  # guidelines and rules take a second person
    (Role.COMPLIANCE, "compliance"),
)


def ensure_model(say: Callable[[str], None]) -> None:
    """Fetch and activate the demonstration model, unless a model is active already.

    Raises inference.InferenceError with a sentence when it cannot be had.
    """
    store = inference.ModelStore(settings.HAVRE_MODELS_DIR, offline=settings.HAVRE_OFFLINE)
    if store.active() is not None:
        return
    if all(one.name != MODEL for one in store.list()):
        say("Fetching the demonstration model (95 MB) …")
        with Bar("model", unit="B", unit_scale=True) as bar:
            store.pull(MODEL, on_progress=bar.show)
    store.activate(MODEL, lambda one: inference.smoke(one, engine_settings(one.path)))


def ensure_guidelines(say: Callable[[str], None]) -> None:
    """Ingest the sample guidelines, unless the library holds documents already."""
    import knowledge

    if library.list_guidelines().exists() and not library.pending_versions().exists():
        return
    say("Reading the sample guidelines …")
    with Bar("guidelines", unit="step") as bar:
        knowledge.ingest_samples(lambda step: bar.show(step.done, step.total, f"{step.title[:34]}: {step.step}"))


def ensure_people() -> list[tuple[str, str, str]]:
    """(role, name, password) of the demonstration sign-ins, each with a fresh password. Empty once the installation has
    people of its own; a sign-in whose password its owner changed is left alone."""
    people = User.objects.exclude(username=TERMINAL)
    if people.exists() and not people.filter(demonstration=True).exists():
        return []
    signs = []
    for role, name in _SIGN_INS:
        user = people.filter(username=name).first()
        if user is None:
            password = random_password()
            create_user(name, role=role, password=password, demonstration=True, actor="system")
        elif user.demonstration:
            password = renew_password(user, actor="system")
        else:
            continue
        signs.append((role.value, name, password))
    return signs


class Bar:
    """A progress bar on standard error whose total may change on the way."""

    def __init__(self, label: str, unit: str, unit_scale: bool = False) -> None:
        form = None if unit_scale else "{desc:<48} {percentage:3.0f}% |{bar:30}|"
        self._bar = tqdm(desc=label, unit=unit, unit_scale=unit_scale, bar_format=form, file=sys.stderr, leave=False)

    def show(self, done: int, total: int, label: str = "") -> None:
        """Show `done` of `total`."""
        self._bar.total = total
        self._bar.n = done
        if label:
            self._bar.set_description_str(label)
        self._bar.refresh()

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
