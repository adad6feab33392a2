"""The check of `make lint` for translations: what it collects and what it complains about."""

import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

from . import repository, translations

_TEMPLATE = """{% load i18n %}
<h1>{% translate "Sources" %}</h1>
    <p>{% blocktranslate count number=pages trimmed %}
      {{ number }} page
    {% plural %}
      {{ number }} pages
    {% endblocktranslate %}</p>
  <p title="{% translate "Light" context "appearance" %}">{{ name|default:_("nobody") }}</p>
"""


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project: one template, one module; no translations yet."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "page.html").write_text(_TEMPLATE)
    (tmp_path / "portal").mkdir()
    (tmp_path / "portal" / "views.py").write_text('from x import gettext as _\nA = _("Wait %(minutes)d minutes.")\n')
    monkeypatch.setattr(translations, "ROOT", tmp_path)
    monkeypatch.setattr(translations, "LOCALE", tmp_path / "locale")
    monkeypatch.setattr(translations, "tracked_files", lambda: (Path("templates/page.html"), Path("portal/views.py")))
    return tmp_path


def _translate(folder: Path, minutes: str) -> None:
    catalog = Catalog(locale="fr", domain="django", fuzzy=False)
    catalog.add("Sources", "Sources")
    catalog.add(("%(number)s page", "%(number)s pages"), ("%(number)s page", "%(number)s pages"))
    catalog.add("Light", "Claire", context="appearance")
    catalog.add("nobody", "personne")
    catalog.add("Wait %(minutes)d minutes.", minutes, flags=["python-format"])
    (folder / "locale" / "fr" / "LC_MESSAGES").mkdir(parents=True)
    with (folder / "locale" / "fr" / "LC_MESSAGES" / "django.po").open("wb") as file:
        write_po(file, catalog)


@pytest.mark.usefixtures("sources")
def test_every_marked_text_is_collected() -> None:
    found = {(message.context, message.id) for message in translations.collect() if message.id}
    assert found == {
        (None, "Sources"),
        (None, ("%(number)s page", "%(number)s pages")),
        ("appearance", "Light"),
        (None, "nobody"),
        (None, "Wait %(minutes)d minutes."),
    }


@pytest.mark.usefixtures("sources")
def test_texts_without_translation_are_named_with_their_file() -> None:
    assert "fr: no translation of 'nobody' (templates/page.html)" in translations.problems()


def test_a_translation_that_loses_a_placeholder_is_found(sources: Path) -> None:
    _translate(sources, minutes="Attendez quelques minutes %(heures)d.")
    translations.update()
    assert any("Wait %(minutes)d minutes." in problem for problem in translations.problems())


def test_complete_and_compiled_translations_pass(sources: Path) -> None:
    _translate(sources, minutes="Attendez %(minutes)d minutes.")
    assert translations.problems() == ["fr: django.mo is not compiled from django.po: make messages"]
    translations.update()
    assert translations.problems() == []
    assert translations.main(["--check"]) == 0


def test_texts_are_marked_with_names_that_are_collected() -> None:
    """Under another name (`gettext as __`) a text would stay English without anybody being told."""
    renamed = re.compile(r"^from django\.utils\.translation import .*\bn?p?gettext\w* as (?!_\b)\w+", re.MULTILINE)
    assert [str(one) for one in repository.python_files() if renamed.search((repository.ROOT / one).read_text())] == []
