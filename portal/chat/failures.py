"""Why a turn can fail, in words for the person who asked: what happened, and what to do."""

from django.utils import translation
from django.utils.translation import gettext_lazy as _

MESSAGES = {
    "valkey_down": _(
        "The message service of this installation is not running, so no question can be answered. "
        "Please tell your IT department. Hotlines keep working."
    ),
    "inference_down": _(
        "The answering service is not running. Your question was not lost: ask again in a minute. "
        "If this goes on, please tell your IT department. Hotlines keep working."
    ),
    "knowledge_down": _(
        "The guideline service is not running. Your question was not lost: ask again in a minute. "
        "If this goes on, please tell your IT department. Hotlines keep working."
    ),
    "model_unavailable": _(
        "No language model is ready to answer. Please tell your IT department: "
        "`manage.py models list` says which models are installed."
    ),
    "worker_lost": _("The answering service stopped twice while it answered. Please ask again."),
    "retrieval_failed": _("The guidelines could not be searched. Please ask again."),
    "engine_failed": _("The language model broke off. Please ask again."),
    "malformed_output": _("The language model's output could not be read, twice. Please ask again."),
    "empty_answer": _(
        "The language model thought, twice, and gave no answer. Please ask something narrower, or in other words."
    ),
    "too_long": _("Your question is too long for the language model. Please shorten it."),
    "deadline": _("The answer took too long and was stopped. Please ask a narrower question."),
    "not_recorded": _(
        "Your question could not be written down (the disk may be full), and nothing is answered without its record. "
        "Please tell your IT department. Hotlines keep working."
    ),
    "key_missing": _(
        "A key of this installation is missing, so nothing can be written down, and nothing is answered without its "
        "record. Please tell your IT department. Hotlines keep working."
    ),
    "erased": _("This conversation was erased. Please start a new one."),
    "internal": _("Something went wrong here. Please ask again; if it goes on, tell your IT department."),
}


def message(code: str, language: str) -> str:
    """The sentence for a failure code in "fr" or "en"."""
    with translation.override(language):
        return str(MESSAGES[code])
