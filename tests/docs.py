"""The command blocks of the pages in docs/ are run by the scenarios that do what the page is about, so that no page goes stale.

A block is a fence with the language ``bash`` and a tag: three backticks, ``bash tag=NAME``.

    python tests/docs.py lint        every block has a tag of its own, and something under molecule/ runs it
    python tests/docs.py show NAME   the text of a block
    python tests/docs.py run NAME    run it in the root of the repository

Scenarios call ``docs.run("NAME", VARIABLE="...")`` (or a ``docs`` method of their own) in a test, or
``python tests/docs.py run NAME`` in a playbook. What differs between a page's example and a scenario are environment variables
that the page tells its reader to set (ANSIBLE_INVENTORY, SITE, ...).
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
# What looks like a shell, whatever it is called: it has to be run by something.
SHELLS = {"bash", "sh", "shell", "console", "shell-session"}
# Commands that are indented instead of fenced would escape.
INDENTED = re.compile(r"^(?: {4}|\t)\s*(?P<command>(?:ansible\S*|docker|restic) .*)$", re.MULTILINE)
CALL = re.compile(r"""\bdocs(?:\.run)?\(\s*["']([a-z0-9-]+)["']|docs\.py\s+run\s+([a-z0-9-]+)""")


def pages() -> list[pathlib.Path]:
    """Every page for operators. Runbooks are for looking around in an emergency, and not for a scenario to follow."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def fences(text: str) -> list[tuple[str, str, str]]:
    """(language, tag or "", text) of every fenced block; a language without a tag is one word."""
    found = []
    for match in FENCE.finditer(text):
        words = match["info"].split()
        tag = next((word.removeprefix("tag=") for word in words if word.startswith("tag=")), "")
        found.append((words[0] if words else "", tag, match["text"]))
    return found


def blocks() -> dict[str, str]:
    """Text of every tagged block of all pages."""
    return {tag: text for page in pages() for _language, tag, text in fences(page.read_text(encoding="utf-8")) if tag}


def called(folders: list[pathlib.Path]) -> dict[str, list[str]]:
    """Tag -> files that run it."""
    calls: dict[str, list[str]] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".yml") and path.is_file():
                for match in CALL.finditer(path.read_text(encoding="utf-8")):
                    calls.setdefault(match[1] or match[2], []).append(str(path))
    return calls


def problems(texts: dict[str, str], calls: dict[str, list[str]]) -> list[str]:
    """What is wrong with the pages `texts` (name -> text), given which tags are run by what."""
    told, seen = [], {}
    for name, text in texts.items():
        told += [
            f"{name}: no block holds the command {match['command']!r}: write ```bash tag=NAME around it"
            for match in INDENTED.finditer(FENCE.sub("", text))
        ]
        for language, tag, _block in fences(text):
            if language in SHELLS and not tag:
                told.append(
                    f"{name}: a block of commands has no tag: write ```bash tag=NAME, and let a scenario run it"
                )
            elif tag and language != "bash":
                told.append(f"{name}: the block {tag} is {language or 'of no language'}; only bash is run")
            elif tag in seen:
                told.append(f"{name}: the tag {tag} is that of a block of {seen[tag]}, too")
            elif tag and tag not in calls:
                told.append(f'{name}: nothing runs the block {tag}: call docs.run("{tag}") where a scenario does this')
            if tag:
                seen.setdefault(tag, name)
    told += [f"{', '.join(files)}: there is no block {tag}" for tag, files in calls.items() if tag not in seen]
    return told


def run(
    tag: str, check: bool = True, prefix: tuple[str, ...] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the block `tag` as it stands, in the root of the repository, with `variables` in its environment.

    `prefix` is a command that starts the shell, as another user for example.
    Raises KeyError for a tag that no page has, AssertionError with all output where a command fails (unless not `check`).
    """
    done = subprocess.run(
        [*prefix, "bash", "-euo", "pipefail", "-c", blocks()[tag]],
        cwd=ROOT,
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, f"the block {tag} ended with {done.returncode}:\n{done.stdout}"
    return done


def main(arguments: list[str]) -> int:
    match arguments:
        case ["lint"]:
            found = problems(
                {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in pages()},
                called([ROOT / "molecule"]),
            )
            print("\n".join(found), end="\n" if found else "")
            return bool(found)
        case ["show", tag]:
            print(blocks()[tag], end="")
            return 0
        case ["run", tag]:
            done = run(tag, check=False)
            print(done.stdout, end="")
            return done.returncode
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
