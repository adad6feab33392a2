"""What a facility adds to the rules, from a draft to a release that holds in every process.

`facility_phrase`, `facility_hotline`, `facility_region` and `facility_additions` make checked values (AdditionError
otherwise, with a code); `check_phrase`, `share_of_ordinary_messages` and `silences_a_crisis` say what a draft would do;
within `trying` the screen works with it; `write_release` and `point_at` put it into force, `current` says what holds.
"""

from guardrails._drafting import (
    BROAD_SHARE,
    check_phrase,
    labelled_cases,
    share_of_ordinary_messages,
    silences_a_crisis,
)
from guardrails._errors import AdditionError, ReleaseError
from guardrails._facility import (
    AUDIENCES,
    NOT_A_CRISIS,
    PHRASE_CATEGORIES,
    FacilityAdditions,
    FacilityHotline,
    FacilityPhrase,
    from_toml,
    to_toml,
)
from guardrails._facility import additions as facility_additions
from guardrails._facility import hotline as facility_hotline
from guardrails._facility import phrase as facility_phrase
from guardrails._facility import region as facility_region
from guardrails._hotlines import known_regions, lines_to_check
from guardrails._releases import (
    Release,
    current,
    make_release,
    point_at,
    releases_folder,
    trying,
    use_releases,
    write_release,
)
from guardrails._rules import rule_set, shipped_rules

__all__ = [
    "AUDIENCES",
    "BROAD_SHARE",
    "NOT_A_CRISIS",
    "PHRASE_CATEGORIES",
    "AdditionError",
    "FacilityAdditions",
    "FacilityHotline",
    "FacilityPhrase",
    "Release",
    "ReleaseError",
    "check_phrase",
    "current",
    "facility_additions",
    "facility_hotline",
    "facility_phrase",
    "facility_region",
    "from_toml",
    "known_regions",
    "labelled_cases",
    "lines_to_check",
    "make_release",
    "point_at",
    "releases_folder",
    "rule_set_id",
    "share_of_ordinary_messages",
    "shipped_rule_set_id",
    "silences_a_crisis",
    "to_toml",
    "trying",
    "use_releases",
    "write_release",
]


def rule_set_id() -> str:
    """Version and hash of the rules that hold now, as verdicts carry them. Raises RuleError."""
    return rule_set().id


def shipped_rule_set_id() -> str:
    """Version and hash of the shipped rules alone. Raises RuleError."""
    return shipped_rules().id
