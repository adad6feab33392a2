"""The check of `make lint` for translations: what it collects and what it complains about."""

import ast
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


def _formatted_at_once(tree: ast.Module) -> list[int]:
    """The lines on which a text that is to be translated later is filled in with `%` while the module is loaded."""
    later = {"gettext_lazy", "ngettext_lazy", "pgettext_lazy"}
    later |= {
        name.asname or name.name
        for one in ast.walk(tree)
        if isinstance(one, ast.ImportFrom)
        for name in one.names
        if name.name in later
    }
    waiting: list[ast.AST] = [tree]
    found = []
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        is_filled = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Call)
        if is_filled and getattr(node.left.func, "id", "") in later:
            found.append(node.lineno)
        waiting += ast.iter_child_nodes(node)
    return found


def test_what_is_translated_later_is_filled_in_later() -> None:
    """`gettext_lazy(…) % …` in a form or a table speaks the language of whoever started the server, for everybody."""
    assert _formatted_at_once(ast.parse("from x import gettext_lazy as _\nclass A:\n    b = _('c %s') % 1")) == [3]
    found = {
        str(one): _formatted_at_once(ast.parse((repository.ROOT / one).read_text()))
        for one in repository.python_files()
    }
    assert {one: lines for one, lines in found.items() if lines} == {}
