# SPDX-License-Identifier: Apache-2.0
"""HTML of a manual page to a list of plain-text blocks.

Goal: the readable words of the PostgreSQL (DocBook) and SQLite (hand-written, unclosed tags)
manuals, code samples as they stand, tables as one line per row. Non-goal: a general renderer.
"""

import html as html_entities
import re
from html.parser import HTMLParser
from typing import NamedTuple


class Block(NamedTuple):
    """kind: heading | prose | term | code | row."""

    kind: str
    text: str


SKIPPED_TAGS = {"head", "script", "style", "svg", "button", "form", "colgroup"}
SKIPPED_CLASSES = {
    "navheader", "navfooter", "toc", "nosearch", "fancy_toc", "fancy_title", "list-of-tables",
    "footnotes", "hlist",
}
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
BREAKS = HEADINGS | {
    "p", "div", "li", "ul", "ol", "dl", "dt", "dd", "table", "thead", "tbody", "blockquote", "hr",
    "pre", "center", "body", "html", "caption",
}
ADMONITIONS = {"note", "tip", "caution", "warning", "important", "see also", "synopsis"}
SPACES = re.compile(r"\s+")
NUMBER = re.compile(r"^(?:Chapter\s+|Appendix\s+)?(?:[0-9A-Z]+\.)(?:\d+\.?)*\s+")
CAPTION = re.compile(r"^(?:Table|Figure|Example) [0-9A-Z]+\.\d+\. ")
SYNTAX_NAME = re.compile(r"^[a-z]+(-[a-z]+)*:$")  # caption of a SQLite syntax diagram


def squeeze(text):
    return SPACES.sub(" ", text.replace("\xad", "").replace("\u200b", "")).strip()


def strip_number(heading):
    """'20.5.1. Settings' -> 'Settings'."""
    return NUMBER.sub("", heading)


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.blocks = []
        self.pieces = []
        self.kind = "prose"
        self.skip_tag = None
        self.skip_depth = 0
        self.in_pre = 0
        self.cells = None  # cells of the open table row
        self.cell = None  # paragraphs of the open cell

    def handle_starttag(self, tag, attrs):
        if self.skip_tag is not None:
            self.skip_depth += tag == self.skip_tag
            return
        classes = set((dict(attrs).get("class") or "").split())
        if tag in SKIPPED_TAGS or classes & SKIPPED_CLASSES:
            self.flush()
            self.skip_tag, self.skip_depth = tag, 1
            return
        self.open_tag(tag)

    def open_tag(self, tag):
        if tag == "tr":
            self.close_row()
            self.cells = []
        elif tag in ("td", "th"):
            self.close_cell()
            self.cell = []
        elif tag == "br":
            self.pieces.append("\n" if self.in_pre else " ")
        elif tag in BREAKS:
            self.flush()
            self.set_kind(tag)
            self.in_pre += tag == "pre"

    def set_kind(self, tag):
        if tag in HEADINGS:
            self.kind = "heading"
        elif tag == "dt":
            self.kind = "term"
        elif tag == "pre":
            self.kind = "code"
        else:
            self.kind = "prose"

    def handle_endtag(self, tag):
        if self.skip_tag is not None:
            self.skip_depth -= tag == self.skip_tag
            if self.skip_depth == 0:
                self.skip_tag = None
            return
        if tag in ("td", "th"):
            self.close_cell()
        elif tag in ("tr", "table"):
            self.close_row()
        elif tag in BREAKS:
            self.flush()
            self.kind = "prose"
            if tag == "pre":
                self.in_pre = max(0, self.in_pre - 1)

    def handle_data(self, data):
        if self.skip_tag is None:
            self.pieces.append(data)

    def flush(self):
        raw = "".join(self.pieces)
        self.pieces = []
        if self.kind == "code":
            text = "\n".join(line.rstrip() for line in raw.expandtabs(4).strip("\n").split("\n"))
            text = text.replace("\u200b", "")
        else:
            text = squeeze(raw)
        if not text.strip():
            return
        if self.cell is not None:
            self.cell.append(squeeze(text))
        else:
            self.blocks.append(Block(self.kind, text))

    def close_cell(self):
        self.flush()
        if self.cell:
            self.cells = self.cells if self.cells is not None else []
            self.cells.append(" - ".join(self.cell))
        self.cell = None

    def close_row(self):
        self.close_cell()
        if self.cells:
            self.blocks.append(Block("row", " | ".join(self.cells)))
        self.cells = None
        self.flush()


def clean_block(block):
    if block.kind == "heading":
        return Block("heading", strip_number(block.text))
    return Block(block.kind, CAPTION.sub("", block.text)) if block.kind == "prose" else block


def keep_block(block):
    if not block.text or SYNTAX_NAME.match(block.text):
        return False
    if block.kind == "heading":
        return block.text.lower() not in ADMONITIONS and block.text.lower() != "table of contents"
    return "This page last modified on" not in block.text


def page_blocks(html):
    """Blocks of one page in reading order; headings lose their section numbers."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    reader.close_row()
    return [block for block in map(clean_block, reader.blocks) if keep_block(block)]


TITLE = re.compile(r"<title>(.*?)</title>", re.S | re.I)
UP = re.compile(r'<a accesskey="u" href="([^"]+)" title="([^"]*)"')


def page_title(html):
    match = TITLE.search(html)
    return strip_number(squeeze(_unescape(match.group(1)))) if match else ""


def page_parent(html):
    """(file, title) of the page that the navigation header calls "Up"; DocBook only."""
    match = UP.search(html)
    return (match.group(1), squeeze(_unescape(match.group(2)))) if match else None


def _unescape(text):
    return html_entities.unescape(re.sub(r"<[^>]*>", "", text))


def page_text(blocks):
    return "\n".join(block.text for block in blocks)
