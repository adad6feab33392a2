"""What a change adds, takes away and alters, field by field, as whoever decides on it reads it."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from django.utils.dateformat import format as as_text
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from portal.safeguards import drafting, selectors
from portal.safeguards.forms import LANGUAGES, HotlineForm, PhraseForm, audience_of, label_of
from portal.safeguards.models import RuleRelease

_FORMS = {"phrase": PhraseForm, "hotline": HotlineForm}
_TITLES = {"phrase": "phrase", "hotline": "name"}

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A field under the name that it has where it is written, and its text on both sides; of an addition or a removal
    only one side has a text."""

    name: str
    before: str
    after: str

    @property
    def value(self) -> str:
        """The text of an addition or a removal."""
        return self.after or self.before


@dataclass(frozen=True, slots=True)
class Difference:
    """A phrase, a line of help or the regions (`kind`), added ("+"), removed ("−") or changed ("±")."""

    sign: str
    kind: str
    title: str
    fields: list[Field]


def content_differences(release: RuleRelease) -> list[Difference]:
    """How a change differs from what it was tested against (or from what holds)."""
    base = release.base or (selectors.active() if release.is_open else None)
    found: list[Difference] = []
    for kind in drafting.KINDS:
        before = base.content[kind] if base else []
        pairs = _pairs(kind, before, release.content[kind])
        found += [one for old, new in pairs if (one := _difference(kind, old, new))]
    regions = (base.content["regions"] if base else [], release.content["regions"])
    if regions[0] != regions[1]:
        before_text, after_text = (", ".join(one) or _("the setting of this installation") for one in regions)
        found.append(Difference("±", "regions", _("Regions"), [Field("", before_text, after_text)]))
    return found


def _pairs(kind: str, before: list[Entry], after: list[Entry]) -> list[tuple[Entry | None, Entry | None]]:
    """Both sides of every entry, by its key; one that was taken out and written again is the same entry."""
    left = {one["key"]: one for one in before}
    found: dict[str, Entry | None] = {one["key"]: left.pop(one["key"], None) for one in after}
    for one in after:
        if found[one["key"]] is None:
            again = next((key for key, old in left.items() if _is_again(kind, old, one)), "")
            found[one["key"]] = left.pop(again, None)
    return [*((found[one["key"]], one) for one in after), *((one, None) for one in left.values())]


def _is_again(kind: str, old: Entry, new: Entry) -> bool:
    if kind == "phrase":  # a draft has the same words once
        return bool(old["phrase"].casefold() == new["phrase"].casefold())
    return {**old, "key": ""} == {**new, "key": ""}


def _difference(kind: str, old: Entry | None, new: Entry | None) -> Difference | None:
    """None where both sides say the same."""
    entry = new or old or {}
    title = _TITLES[kind]
    fields: list[Field] = []
    for name, form_field in _FORMS[kind].base_fields.items():
        before, after = ((one.get(name) or "") if one else None for one in (old, new))
        if before == after or (name == title and None in (before, after)):
            continue
        texts = ["" if one is None else _text(kind, name, one) for one in (before, after)]
        if old and new:
            texts = [text or _nothing(name) for text in texts]
        if any(texts):
            fields.append(Field(str(form_field.label), *texts))
    if old and new and not fields:
        return None
    return Difference("±" if old and new else "+" if new else "−", kind, entry[title], fields)


def _text(kind: str, name: str, value: Any) -> str:
    """A stored value as people read it."""
    if (kind, name) == ("phrase", "language"):
        return str(dict(LANGUAGES).get(value, value.upper()))
    if not value:
        return ""
    if name == "languages":
        return ", ".join(value).upper()
    if name == "checked_on":
        return as_text(date.fromisoformat(value), "j N Y")
    return {"category": label_of, "audience": audience_of}.get(name, str)(value)


def _nothing(name: str) -> str:
    return pgettext("last checked", "never") if name == "checked_on" else pgettext("a field", "empty")
