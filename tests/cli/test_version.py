# SPDX-License-Identifier: Apache-2.0
"""The program's version, which is a part of every cache key: new for other sources, the same for
equal ones."""

import pathlib
import re
import subprocess


SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "cmake" / "WriteVersion.cmake"


def version_of(root):
    header = root / "version.h"
    subprocess.run(
        ["cmake", f"-DROOT={root}", "-DVERSION=1.2.3", f"-DOUTPUT={header}", "-P", str(SCRIPT)], check=True
    )
    return re.search(r'"(1\.2\.3\+[0-9a-f]{12})"', header.read_text()).group(1)


def make_tree(root):
    for name, text in {"lib/a/a.cpp": "int a;", "apps/b/b.h": "int b;", "docs/c.md": "c", "lib/README.md": "r"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_version_names_the_sources(tmp_path):
    one, other = make_tree(tmp_path / "one"), make_tree(tmp_path / "other")
    first = version_of(one)
    assert version_of(other) == first
    (one / "docs/c.md").write_text("new")
    (one / "lib/README.md").write_text("new")
    written = (one / "version.h").stat().st_mtime_ns
    assert version_of(one) == first
    assert (one / "version.h").stat().st_mtime_ns == written
    (one / "lib/a/a.cpp").write_text("int a ;")
    assert version_of(one) != first
    (other / "lib/a/a.cpp").rename(other / "lib/a/z.cpp")
    assert version_of(other) != first


def test_the_program_says_its_version(gradus):
    assert re.fullmatch(r"gradus \d+\.\d+\.\d+\+[0-9a-f]{12}\n", gradus("--version").stdout)
