"""What every template may rely on."""

from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _

import inference
from portal.safeguards import selectors

THEMES = ("auto", "light", "dark")
_PAGES = {
    "clinician": [("chat:index", _("Ask"))],
    "admin": [
        ("guidelines:index", _("Guidelines")),
        ("safeguards:index", _("Safeguards")),
        ("modelcards:index", _("Models")),
        ("chat:erasures", _("Erasure")),
    ],
    "compliance": [
        ("audit:index", _("Audit trail")),
        ("chat:erasures", _("Erasure")),
        ("safeguards:index", _("Safeguards")),
    ],
}


def installation(request: HttpRequest) -> dict[str, Any]:
    """The facility, the model that answers, the person's role, navigation and colours."""
    try:
        active = inference.ModelStore(settings.HAVRE_MODELS_DIR).active()
    except inference.InferenceError:  # a damaged register: no page may fail for that, least of all the hotlines
        active = None
    role = getattr(getattr(request, "user", None), "role", "")
    theme = request.COOKIES.get("theme", "auto")
    return {
        "facility": settings.HAVRE_FACILITY,
        "region": settings.HAVRE_REGION,
        "model": asdict(active) if active else None,
        "demonstration": active is not None and active.demonstration,
        "role": role,
        "theme": theme if theme in THEMES else "auto",
        # asked for by the pages of administrators alone: what of the safeguards wants their attention
        "safeguards": SimpleLazyObject(_safeguards),
        "navigation": [
            {"url": reverse(name), "label": label, "active": request.path.startswith(reverse(name))}
            for name, label in _PAGES.get(role, [])
        ],
    }


def _safeguards() -> dict[str, Any]:
    return {"in_force": selectors.in_force(), "lines": selectors.lines_to_check()}
