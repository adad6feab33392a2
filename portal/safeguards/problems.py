"""Why something cannot be done here, in sentences for the person who tried."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from guardrails.releases import AdditionError


class SafeguardError(Exception):
    """A step that is not possible; the text says why and what to do, in one or two sentences."""


_SENTENCES = {
    ("empty", "phrase"): gettext_lazy("Write the word or phrase: at least one word."),
    ("empty", "name"): gettext_lazy("Give the line a name that people will recognise."),
    ("too_short", "phrase"): gettext_lazy(
        "This is too short: it would fire on ordinary words. Use three letters or more."
    ),
    ("too_many_words", "phrase"): gettext_lazy("A phrase has at most %(value)s words. Use the words that matter."),
    ("not_found", "phrase"): gettext_lazy(
        "As it stands, this phrase would never be found. Leave out full stops, question marks and line breaks."
    ),
    ("duplicate", "phrase"): gettext_lazy("This phrase is in the draft already."),
    ("unknown_category", "category"): gettext_lazy("Choose what the phrase means."),
    ("unknown_language", "language"): gettext_lazy("Choose a language from the list."),
    ("bad_number", ""): gettext_lazy(
        "This is not a telephone number: 2 to 15 digits, with spaces, hyphens, brackets and a leading + at most."
    ),
    ("bad_url", "url"): gettext_lazy("This is not a web address: it must begin with https:// or http://."),
    ("bad_region", ""): gettext_lazy("A region is a country code such as FR, or a part of a country such as CA-QC."),
    ("unknown_region", ""): gettext_lazy("There are no help lines for the region %(value)s."),
    ("bad_languages", "languages"): gettext_lazy("Languages are two-letter codes with commas between: fr, en."),
    ("bad_date", "checked_on"): gettext_lazy("This is not a date since the year 2000."),
    ("date_in_future", "checked_on"): gettext_lazy("Nobody can have checked the line in the future."),
    ("unknown_audience", "audience"): gettext_lazy("Choose whom the line is for."),
    ("no_way_to_reach", "phone"): gettext_lazy("Give a telephone number, a number for text messages or a web address."),
    ("too_long", ""): gettext_lazy("This is too long: at most %(value)s characters."),
    ("control_characters", ""): gettext_lazy(
        "This contains a line break or an invisible character. Type it as one line."
    ),
    ("too_many", "phrase"): gettext_lazy("The list of phrases is full. Remove some that no longer matter."),
    ("too_many", "hotline"): gettext_lazy("The list of lines is full. Remove some that no longer matter."),
}


def sentence(error: AdditionError) -> str:
    """What is wrong with an addition."""
    text = _SENTENCES.get((error.code, error.field)) or _SENTENCES.get((error.code, ""))
    return str(text) % {"value": error.value} if text else _("This cannot be used (%(code)s).") % {"code": error.code}
