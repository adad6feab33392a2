"""The errors of guardrails.

RuleError           the rules are missing or broken: whatever is screened is treated as a crisis
    ReleaseError    what the facility released is missing or is not what was released
AdditionError       a facility's phrase, line or region that cannot be taken, with a code that says why
"""


class RuleError(Exception):
    """A rule file is missing, unreadable or says something that the engine does not understand."""


class ReleaseError(RuleError):
    """The facility's released additions are missing, unreadable or other than what was released."""


class AdditionError(ValueError):
    """An addition that cannot be taken. `code` says why, `field` where, `value` what the sentence may name."""

    def __init__(self, code: str, field: str = "", value: str = "") -> None:
        super().__init__(f"{field or 'addition'}: {code}" + (f" ({value})" if value else ""))
        self.code = code
        self.field = field
        self.value = value
