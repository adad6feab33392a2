#!/usr/bin/env python3
"""Print the two sample protocols from their Markdown to PDF, with headless Chromium (a tool of developers only).

python knowledge/samples/protocols/make_pdfs.py [path of chromium]
"""

import html
import subprocess
import sys
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt

HERE = Path(__file__).resolve().parent
STYLE = """
@page { size: A4; margin: 22mm 20mm; }
body { font: 10.2pt/1.4 "DejaVu Sans", Arial, sans-serif; color: #1d2b33; }
h1 { font-size: 22pt; line-height: 1.2; } h2 { font-size: 15pt; margin: 1.4em 0 .3em; } h3 { font-size: 12.5pt;
margin: 1.1em 0 .2em; } p, ul, ol { margin: .3em 0 .7em; } blockquote { margin: 1em 0; padding: .6em 1em; border: 1pt
solid #55737f; } blockquote p { margin: 0; } h2, h3 { break-after: avoid; } .page { break-after: page; }
"""


def main() -> None:
    """Write a PDF beside this folder for each Markdown file in it."""
    chromium = sys.argv[1] if len(sys.argv) > 1 else "chromium"
    for source in sorted(HERE.glob("*.md")):
        front, text = source.read_text(encoding="utf-8").removeprefix("---\n").split("\n---\n", 1)
        fields = dict(line.split(": ", 1) for line in front.splitlines())
        title, language = fields["title"].strip('"'), fields["language"]
        body = MarkdownIt("commonmark", {"html": True}).render(text)
        page = (
            f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
            f"<style>{STYLE}</style></head><body>{body}</body></html>"
        )
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "page.html"
            file.write_text(page, encoding="utf-8")
            subprocess.run(  # noqa: S603 - the developer names the browser
                [
                    chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile",
                    "--no-pdf-header-footer", "--generate-pdf-document-outline",
                    f"--print-to-pdf={HERE.parent / source.stem}-sample-protocol.pdf", file.as_uri(),
                ],
                check=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
