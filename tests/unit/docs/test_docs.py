# Copyright: Contributors to the dockpress.hosting collection
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lint of the pages finds what it is there for."""

import importlib.util
import pathlib

import pytest

PATH = pathlib.Path(__file__).resolve().parents[2] / "docs.py"
SPEC = importlib.util.spec_from_file_location("dockpress_docs", PATH)
docs = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(docs)

GOOD = "# A page\n\n```bash tag=one\ntrue\n```\n\n```yaml\nx: 1\n```\n"


def test_a_page_whose_blocks_are_run_is_good():
    assert docs.problems({"a.md": GOOD}, {"one": ["test.py"]}) == []


@pytest.mark.parametrize(
    ("page", "calls", "words"),
    [
        (GOOD, {}, "nothing runs the block one"),
        (GOOD.replace(" tag=one", ""), {}, "has no tag"),
        ("```console\n$ true\n```\n", {}, "has no tag"),
        (GOOD + GOOD, {"one": []}, "that of a block of a.md, too"),
        (GOOD.replace("```bash", "```text"), {"one": []}, "only bash is run"),
        (GOOD + "\nor\n\n    ansible-playbook dockpress.hosting.audit\n", {"one": []}, "no block holds the command"),
        (GOOD + "\nor\n\n    restic snapshots\n", {"one": []}, "no block holds the command"),
        (GOOD, {"one": [], "two": ["test.py"]}, "test.py: there is no block two"),
    ],
)
def test_what_is_wrong_is_told(page, calls, words):
    assert any(words in line for line in docs.problems({"a.md": page}, calls))


def test_calls_are_found_in_tests_and_in_playbooks(tmp_path):
    (tmp_path / "test_x.py").write_text('docs.run("one", SITE="a")\ndocs.run(\n    "two",\n)\n', encoding="utf-8")
    (tmp_path / "converge.yml").write_text("cmd: python tests/docs.py run three\n", encoding="utf-8")
    (tmp_path / "notes.txt").write_text('docs.run("four")', encoding="utf-8")
    assert sorted(docs.called([tmp_path])) == ["one", "three", "two"]


def test_a_block_runs_as_it_stands(monkeypatch, tmp_path):
    page = tmp_path / "a.md"
    page.write_text('```bash tag=one\necho "$WHAT"; false | true\necho never\n```\n', encoding="utf-8")
    monkeypatch.setattr(docs, "pages", lambda: [page])
    done = docs.run("one", check=False, WHAT="said")
    assert (done.returncode, done.stdout) == (1, "said\n")
    with pytest.raises(AssertionError, match="ended with 1:\nsaid"):
        docs.run("one", WHAT="said")
