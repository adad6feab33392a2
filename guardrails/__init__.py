"""Crisis detection, hotlines, screening of what goes in and of what comes out.

Django-free, no network, no model server: it must work when everything else is down. Rules are data.
"""

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

__all__ = ["Action", "Category", "CrisisCard", "GroundedAnswer", "Hotline", "Notice", "SourcePassage", "Verdict"]
