"""Texts to translate, collected without GNU gettext: from Python sources and Django templates into portal/locale.

`make messages` brings django.po up to date and compiles it; `make lint` (--check) fails when a text has no translation,
a translation lacks a placeholder, or the compiled file is older than its source. Babel is the only tool needed.
"""

import io
import re
import sys
from collections.abc import Iterator
from gettext import GNUTranslations
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from .repository import PACKAGES, ROOT, tracked_files

LOCALE = ROOT / "portal" / "locale"
LANGUAGES = ("fr",)  # English is the language of the sources
_KEYWORDS = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop"), None),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), ((1, "c"), 2)),
    **dict.fromkeys(("npgettext", "npgettext_lazy"), ((1, "c"), 2, 3)),
}


def collect() -> Catalog:
    """Every text marked for translation, with the files that it stands in."""
    catalog = Catalog(domain="django", project="Havre", fuzzy=False)
    for path in tracked_files():
        if path.parts[0] not in (*PACKAGES, "templates") or path.suffix not in {".py", ".html", ".txt"}:
            continue
        for text, context, comments in _messages(path):
            catalog.add(text, None, [(path.as_posix(), 0)], auto_comments=comments, context=context, flags=_flags(text))
    return catalog


def _messages(path: Path) -> Iterator[tuple[str | tuple[str, ...], str | None, list[str]]]:
    source = (ROOT / path).read_text(encoding="utf-8")
    if path.suffix != ".py":
        if path.parts[0] != "templates":
            return
        source = _as_python(source, path.name)
    for _, text, comments, context in extract(
        "python", io.BytesIO(source.encode()), _KEYWORDS, comment_tags=("Translators",)
    ):
        yield text, context, comments


def _as_python(template: str, name: str) -> str:
    """A template as Django turns it for gettext: gettext("…") calls among placeholders; indentation means nothing."""
    from django.utils.translation.template import templatize

    return "\n".join(line.strip() for line in templatize(template, origin=name).splitlines())


def _flags(text: str | tuple[str, ...]) -> list[str]:
    return ["python-format"] if re.search(r"%\(\w+\)[sd]", str(text)) else []


def catalogue(language: str) -> Catalog:
    """The translations of a language as they lie in the repository; empty when there are none yet."""
    path = LOCALE / language / "LC_MESSAGES" / "django.po"
    if not path.exists():
        return Catalog(locale=language, domain="django", project="Havre", fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=language, domain="django")


def update() -> None:
    """Bring every django.po up to date with the sources and compile it; new texts are left untranslated."""
    collected = collect()
    for language in LANGUAGES:
        translations = catalogue(language)
        translations.update(collected, no_fuzzy_matching=True, update_creation_date=False)
        translations.obsolete.clear()
        folder = LOCALE / language / "LC_MESSAGES"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "django.po").open("wb") as file:
            write_po(file, translations, width=100, sort_by_file=True, include_lineno=False)
        (folder / "django.mo").write_bytes(_compile(translations))


def problems() -> list[str]:
    """What is wrong with the translations, a sentence each."""
    return [problem for language in LANGUAGES for problem in _problems(language, collect())]


def _problems(language: str, collected: Catalog) -> Iterator[str]:
    translations = catalogue(language)
    for message in collected:
        if not message.id:
            continue
        known = translations.get(message.id if isinstance(message.id, str) else message.id[0], message.context)
        texts = [] if known is None else [known.string] if isinstance(known.string, str) else list(known.string)
        if not texts or not all(texts) or known is None or known.fuzzy:
            places = ", ".join(sorted({place for place, _ in message.locations}))
            yield f"{language}: no translation of {message.id!r} ({places})"
            continue
        for error in known.check(translations):
            yield f"{language}: {message.id!r}: {error}"
    compiled = LOCALE / language / "LC_MESSAGES" / "django.mo"
    if not compiled.exists() or _texts(compiled.read_bytes()) != _texts(_compile(translations)):
        yield f"{language}: django.mo is not compiled from django.po: make messages"


def _compile(translations: Catalog) -> bytes:
    written = io.BytesIO()
    write_mo(written, translations)
    return written.getvalue()


def _texts(compiled: bytes) -> dict[object, str]:
    """What gettext reads out of a compiled file, but for its header with dates."""
    texts = dict(GNUTranslations(io.BytesIO(compiled))._catalog)  # type: ignore[attr-defined]
    del texts[""]
    return texts


def main(arguments: list[str]) -> int:
    """`--check` reports and changes nothing; without it the catalogues are written. Returns an exit status."""
    if "--check" not in arguments:
        update()
    found = problems()
    for problem in found:
        print(problem)
    print(f"{len(found)} problems with the translations." if found else "Every text has its translation.")
    return 1 if found and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
