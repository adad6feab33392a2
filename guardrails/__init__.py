"""Crisis detection, hotlines, screening of what goes in and of what comes out.

Django-free, no network, no model server: it must work when everything else is down. Rules are data.

`screen_input` judges what a person types and never raises; `crisis_card` and `hotlines` show lines of help and never
raise; `OutputScreen` withholds, checks and then shows what a model says. The one error is `RuleError`: the rule files
are missing or broken. What a facility adds to them is in `guardrails.releases`.
"""

from guardrails._errors import RuleError
from guardrails._grounding import passage_reader
from guardrails._hotlines import crisis_card, hotlines, notice
from guardrails._language import detect_language
from guardrails._meaning import sentence_encoder
from guardrails._output import OutputScreen, prepare_answers
from guardrails._passages import Neutralised, neutralise
from guardrails._places import resting_places
from guardrails._screen import prepare, screen_input
from guardrails._sentences import sentences
from guardrails._types import (
    Action,
    Category,
    CrisisCard,
    GroundedAnswer,
    Hotline,
    Notice,
    SourcePassage,
    Verdict,
)

__all__ = [
    "Action",
    "Category",
    "CrisisCard",
    "GroundedAnswer",
    "Hotline",
    "Neutralised",
    "Notice",
    "OutputScreen",
    "RuleError",
    "SourcePassage",
    "Verdict",
    "crisis_card",
    "detect_language",
    "hotlines",
    "neutralise",
    "notice",
    "passage_reader",
    "prepare",
    "prepare_answers",
    "resting_places",
    "screen_input",
    "sentence_encoder",
    "sentences",
]
