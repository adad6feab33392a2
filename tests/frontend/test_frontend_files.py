"""What templates, styles and scripts may contain: nothing that the content security policy forbids, nothing from
elsewhere, nothing that is missing, nothing that is not used."""

import re
from pathlib import Path

import pytest
from django.template import engines

from tests.project import translations

from .repository_files import PAGES, SCRIPTS, STATIC, STYLES, TEMPLATES, name, text, without_comments

MARKUP = re.sub(r"{% comment %}.*?{% endcomment %}", "", text(PAGES), flags=re.DOTALL)
SCRIPT = without_comments(text(SCRIPTS))
RENDERED = (Path(__file__).parents[2] / "portal" / "chat" / "rendering.py").read_text("utf-8")  # answers as HTML


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_nothing_inline(page: Path) -> None:
    source = page.read_text(encoding="utf-8")
    assert not re.search(r"<style\b|\sstyle\s*=", source)
    assert not re.search(r"\son[a-z]+\s*=\s*[\"']", source)
    assert not re.search(r"javascript:|\bdata:[a-z]+/", source)
    assert all("src=" in tag for tag in re.findall(r"<script\b[^>]*>", source))
    assert "|safe" not in source.replace("field.help_text|safe", "")  # Django's own words


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_template_compiles(page: Path) -> None:
    engines["django"].get_template(page.relative_to(TEMPLATES).as_posix())


@pytest.mark.parametrize("path", [*PAGES, *STYLES, *SCRIPTS], ids=name)
def test_nothing_from_elsewhere(path: Path) -> None:
    addresses = re.findall(r"(?:https?:)?//[a-z][\w.-]+\.[a-z]{2,}[^\s\"']*", without_comments(path.read_text("utf-8")))
    assert addresses == []
    assert "@import" not in path.read_text("utf-8")


def test_html_of_the_server_is_used_in_one_place() -> None:
    assert len(re.findall(r"innerHTML", SCRIPT)) == 1
    assert not re.search(
        r"outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\(\"style", SCRIPT
    )


def test_nothing_stays_in_the_browser_after_its_tab() -> None:
    assert not re.search(r"localStorage|indexedDB|document\.cookie", SCRIPT)


def test_scripts_import_what_is_there() -> None:
    for path in SCRIPTS:
        source = path.read_text("utf-8")
        for names, target in re.findall(r"import (?:\{([^}]*)\} from )?\"(\.[^\"]+)\"", source):
            imported = (path.parent / target).read_text("utf-8")
            for one in filter(None, (part.strip() for part in names.split(","))):
                assert re.search(rf"export (async )?(function|const|class) {one}\b", imported), f"{one} in {target}"
                assert len(re.findall(rf"\b{one}\b", source)) > 1, f"{one} is not used in {path.name}"


def test_every_export_is_used_somewhere() -> None:
    tests = text(sorted(Path(__file__).parent.glob("*.mjs")))
    for one in re.findall(r"export (?:async )?(?:function|const|class) (\w+)", SCRIPT):
        assert len(re.findall(rf"\b{one}\b", SCRIPT + tests)) > 1, one


def test_the_page_has_every_text_that_a_script_says() -> None:
    there = set(re.findall(r'data-key="([\w.-]+)"', MARKUP))
    single = set(re.findall(r"say\(\s*(?:[^\"`]*\? )?\"([\w.-]+)\"(?:\s*:\s*\"([\w.-]+)\")?", SCRIPT))
    said = {one for pair in single for one in pair if one}
    counted = set(re.findall(r"sayCount\(\"([\w.-]+)\"", SCRIPT))
    assert said <= there
    assert {f"{one}.{form}" for one in counted for form in ("one", "other")} <= there
    families = set(re.findall(r"say\([^\n]*?`([\w.]+)\$", SCRIPT))
    unsaid = {
        key
        for key in there - said
        if key.rpartition(".")[0] not in counted
        and not any(key.startswith(family) for family in families)
        and f'"{key}"' not in SCRIPT
    }
    assert not unsaid, "texts that no script says"


def test_the_page_has_every_part_that_a_script_fills() -> None:
    there = set(re.findall(r'data-part="([\w-]+)"', MARKUP))
    wanted = set(re.findall(r"(?:part|fill|#once)\([^,()]+(?:\.element)?, \"([\w-]+)\"", SCRIPT))
    wanted |= set(re.findall(r"\[data-part=\"?([\w-]+)", SCRIPT))
    assert wanted <= there


def test_every_icon_is_in_the_sprite() -> None:
    sprite = set(re.findall(r'<symbol id="([\w-]+)"', (STATIC / "icons.svg").read_text("utf-8")))
    used = set(re.findall(r'icon\.html" with name="([\w-]+)"', MARKUP))
    assert used == sprite


def test_every_class_of_the_stylesheets_is_used() -> None:
    selectors = re.sub(r"\{[^{}]*\}", "{}", without_comments(text(STYLES)))
    classes = set(re.findall(r"\.([a-z][\w-]+)", selectors))
    made = {f"notice--{level}" for level in ("success", "error", "warning")}  # from django.contrib.messages
    used = MARKUP + SCRIPT + RENDERED
    unused = {one for one in classes - made if not re.search(rf"(?<![\w-]){re.escape(one)}(?![\w-])", used)}
    assert not unused


def test_every_text_is_translated_and_compiled() -> None:
    assert translations.problems() == []


def test_texts_with_names_in_braces_keep_them_in_french() -> None:
    for message in translations.catalogue("fr"):
        if isinstance(message.id, str) and message.id:
            assert set(re.findall(r"\{\w+\}", message.id)) == set(re.findall(r"\{\w+\}", str(message.string)))


def test_french_says_vous_and_spaces_its_signs() -> None:
    for message in translations.catalogue("fr"):
        for string in [message.string] if isinstance(message.string, str) else message.string:
            assert not re.search(r"\b(tu|ton|ta|tes|toi)\b", string), string
            assert "'" not in string, string
            assert not re.search(r"[^\s\u00a0\u202f\w»)…][?!;]| [?!;:»]|« ", string), string
