"""Word documents read as a person reads them: numbered, with notes and boxes, changes accepted, hidden text unseen."""

import pytest

from knowledge.parsing import Limits, ParsedDocument
from knowledge.parsing._docx import parse_docx
from knowledge.parsing._word_styles import written

from .documents import word_xml


def p(text: str, properties: str = "", run: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:rPr>{run}</w:rPr><w:t>{text}</w:t></w:r></w:p>"


def row(*cells: str, properties: str = "", run: str = "") -> str:
    inside = "".join(f"<w:tc>{cell if cell.startswith('<') else p(cell, run=run)}</w:tc>" for cell in cells)
    return f"<w:tr><w:trPr>{properties}</w:trPr>{inside}</w:tr>"


def read(body: str, **parts: str) -> ParsedDocument:
    return parse_docx(word_xml(body, **parts), Limits())


def lines(document: ParsedDocument) -> list[str]:
    return document.pages[0].text.split("\n")


def headings(document: ParsedDocument) -> list[tuple[int, str]]:
    page = document.pages[0]
    return [(h.level, page.text[h.start : h.end]) for h in page.headings]


def blocks(document: ParsedDocument) -> list[tuple[str, str]]:
    page = document.pages[0]
    return [(b.kind, page.text[b.start : b.end]) for b in page.blocks]


def test_headings_by_outline_level_and_by_styles_based_on_others() -> None:
    styles = """
        <w:style w:type="paragraph" w:styleId="T1"><w:name w:val="heading 1"/>
          <w:pPr><w:outlineLvl w:val="0"/></w:pPr></w:style>
        <w:style w:type="paragraph" w:styleId="Own"><w:name w:val="CH Titre bleu"/><w:basedOn w:val="T1"/></w:style>
        <w:style w:type="paragraph" w:styleId="Deep"><w:name w:val="Sous-partie"/>
          <w:pPr><w:outlineLvl w:val="2"/></w:pPr></w:style>
        <w:style w:type="paragraph" w:styleId="Loop"><w:name w:val="Loop"/><w:basedOn w:val="Loop"/></w:style>
        <w:style w:type="paragraph" w:styleId="TM1"><w:name w:val="toc 1"/></w:style>"""
    document = read(
        p("Contents 3", '<w:pStyle w:val="TM1"/>') + p("One", '<w:pStyle w:val="Own"/>')
        + p("Two", '<w:pStyle w:val="Deep"/>') + p("Three", '<w:outlineLvl w:val="1"/>')
        + p("None", '<w:pStyle w:val="Own"/><w:outlineLvl w:val="9"/>') + p("Loop", '<w:pStyle w:val="Loop"/>')
        + p("Unknown", '<w:pStyle w:val="Nowhere"/>'),
        styles=styles,
    )  # fmt: skip
    assert headings(document) == [(1, "One"), (3, "Two"), (2, "Three")]
    assert lines(document) == ["One", "Two", "Three", "None", "Loop", "Unknown"]


def test_bold_paragraphs_are_headings_where_nothing_else_is() -> None:
    body = p("Surveillance", run="<w:b/>") + p("Le pouls est pris.") + p("Attention : danger.", run="<w:b/>")
    assert headings(read(body)) == [(2, "Surveillance")]
    assert headings(read(body + p("Titre", '<w:outlineLvl w:val="0"/>'))) == [(1, "Titre")]


def test_lists_have_their_numbers_and_bullets() -> None:
    numbering = """
      <w:abstractNum w:abstractNumId="5">
        <w:lvl w:ilvl="0"><w:start w:val="3"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl>
        <w:lvl w:ilvl="1"><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="%1.%2)"/></w:lvl></w:abstractNum>
      <w:abstractNum w:abstractNumId="6">
        <w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/><w:lvlText w:val="o"/></w:lvl></w:abstractNum>
      <w:num w:numId="1"><w:abstractNumId w:val="5"/></w:num>
      <w:num w:numId="2"><w:abstractNumId w:val="6"/></w:num>
      <w:num w:numId="3"><w:abstractNumId w:val="5"/>
        <w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/></w:lvlOverride></w:num>"""

    def item(text: str, number: int, level: int = 0) -> str:
        return p(text, f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>')

    document = read(
        item("Ask", 1) + item("how", 1, 1) + item("when", 1, 1) + item("Listen", 1) + item("where", 1, 1)
        + item("Dot", 2) + item("Anew", 3) + item("Plain", 0),
        numbering=numbering,
    )  # fmt: skip
    assert lines(document) == [
        "3. Ask", "3.a) how", "3.b) when", "4. Listen", "4.a) where", "• Dot", "1. Anew", "Plain",
    ]  # fmt: skip


def test_tracked_changes_are_accepted_and_hidden_text_and_comments_are_out() -> None:
    body = """
      <w:p><w:r><w:t xml:space="preserve">The dose is </w:t></w:r>
        <w:del><w:r><w:delText>300</w:delText></w:r><w:r><w:t>301</w:t></w:r></w:del>
        <w:ins><w:r><w:t>600</w:t></w:r></w:ins><w:r><w:t xml:space="preserve"> mg.</w:t></w:r>
        <w:r><w:rPr><w:vanish/></w:rPr><w:t>secret</w:t></w:r>
        <w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t xml:space="preserve"> Seen.</w:t></w:r>
        <w:r><w:commentReference w:id="1"/></w:r><w:r><w:instrText>PAGE</w:instrText></w:r></w:p>
      <w:p><w:pPr><w:rPr><w:del/></w:rPr></w:pPr><w:r><w:t xml:space="preserve">First half, </w:t></w:r></w:p>
      <w:p><w:r><w:t>second half.</w:t></w:r></w:p>
      <w:moveFrom><w:p><w:r><w:t>Moved away.</w:t></w:r></w:p></w:moveFrom>"""
    document = read(body, comments="<w:comment><w:p><w:r><w:t>A remark</w:t></w:r></w:p></w:comment>")
    assert lines(document) == ["The dose is 600 mg. Seen.", "First half, second half."]


def test_notes_stand_in_brackets_below_what_refers_to_them() -> None:
    body = """<w:p><w:r><w:t>Lithium is first.</w:t></w:r><w:r><w:footnoteReference w:id="7"/></w:r>
      <w:r><w:t xml:space="preserve"> Always.</w:t></w:r><w:r><w:endnoteReference w:id="2"/></w:r></w:p>"""
    document = read(
        body + p("Next."),
        footnotes='<w:footnote w:type="separator" w:id="7"/><w:footnote w:id="7">'
        + p("Not in pregnancy.")
        + "</w:footnote>",
        endnotes='<w:endnote w:id="2">' + p("Smith 1998.") + "</w:endnote>",
    )
    assert lines(document) == ["Lithium is first.[1] Always.[1e]", "[1 Not in pregnancy.]", "[1e Smith 1998.]", "Next."]


def test_text_boxes_are_boxes_said_once() -> None:
    box = "<w:txbxContent>" + p("Call 15 at once.") + p("Then the physician.") + "</w:txbxContent>"
    body = f"""<w:p><w:r><w:t>Beside the box.</w:t></w:r><w:r><mc:AlternateContent>
      <mc:Choice><w:drawing><wps:txbx>{box}</wps:txbx></w:drawing></mc:Choice>
      <mc:Fallback><w:pict><v:textbox>{box}</v:textbox></w:pict></mc:Fallback></mc:AlternateContent></w:r></w:p>"""
    document = read(body + p("After."))
    assert lines(document) == ["Beside the box.", "Call 15 at once.", "Then the physician.", "After."]
    assert blocks(document) == [("box", "Call 15 at once.\nThen the physician.")]


def test_tables_name_their_columns_where_they_have_a_head() -> None:
    head = row("Drug", "Dose", properties="<w:tblHeader/>")
    rows = row("Lithium", "300 mg") + row("Old", "1 mg", properties="<w:del/>") + row("Valproate", "500 mg")
    assert blocks(read(f"<w:tbl>{head}{rows}</w:tbl>")) == [
        ("table", "Drug: Lithium; Dose: 300 mg\nDrug: Valproate; Dose: 500 mg")
    ]
    bold = row("Drug", "Dose", run="<w:b/>")
    assert blocks(read(f"<w:tbl>{bold}{rows}</w:tbl>"))[0][1].startswith("Drug: Lithium; Dose: 300 mg")
    plain = row("Drug", "Dose")
    assert blocks(read(f"<w:tbl>{plain}{rows}</w:tbl>"))[0][1].startswith("Drug | Dose\nLithium | 300 mg")


def test_cells_over_rows_and_columns() -> None:
    def cell(text: str, properties: str) -> str:
        return f"<w:tcPr>{properties}</w:tcPr>" + p(text)

    table = (
        row("Drug", "Dose", properties="<w:tblHeader/>")
        + row(cell("Lithium", '<w:vMerge w:val="restart"/>'), "300 mg")
        + row(cell("", "<w:vMerge/>"), "600 mg")
        + row(cell("All are given by mouth", '<w:gridSpan w:val="2"/>'))
    )
    assert lines(read(f"<w:tbl>{table}</w:tbl>")) == [
        "Drug: Lithium; Dose: 300 mg", "Drug: Lithium; Dose: 600 mg", "All are given by mouth",
    ]  # fmt: skip


def test_a_frame_of_one_cell_is_a_box_and_a_table_for_layout_is_none() -> None:
    frame = f"<w:tbl>{row(p('Recommendation 1') + p('Ask about suicide.'))}</w:tbl>"
    assert blocks(read(frame)) == [("box", "Recommendation 1\nAsk about suicide.")]
    left = p("Left", '<w:outlineLvl w:val="0"/>') + p("Words.")
    layout = f"<w:tbl>{row(left, 'Right')}</w:tbl>"
    document = read(layout)
    assert (headings(document), blocks(document)) == ([(1, "Left")], [])
    assert lines(document) == ["Left", "Words.", "Right"]


def test_content_controls_and_a_main_part_of_another_name() -> None:
    body = f"<w:sdt><w:sdtContent>{p('Inside.')}</w:sdtContent></w:sdt>"
    assert lines(parse_docx(word_xml(body, main="word/document2.xml"), Limits())) == ["Inside."]


@pytest.mark.parametrize(
    ("count", "form", "shown"),
    [(28, "lowerLetter", "bb"), (4, "upperRoman", "IV"), (1990, "lowerRoman", "mcmxc"), (7, "decimalZero", "07"),
     (0, "lowerLetter", "0"), (5, "ordinalText", "5"), (10**6, "lowerRoman", "1000000")],
)  # fmt: skip
def test_numbers_as_lists_write_them(count: int, form: str, shown: str) -> None:
    assert written(count, form) == shown
