"""Removes what is left of a site on this machine, however a test ended: remove.py PROJECT FOLDER."""

from __future__ import annotations

import shutil
import subprocess
import sys


def docker(*arguments: str) -> list[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.split()


project, folder = sys.argv[1:]
mine = f"label=com.docker.compose.project={project}"
for listing, removing in (
    (("ps", "--all"), ("rm", "--force", "--volumes")),
    (("volume", "ls"), ("volume", "rm")),
    (("network", "ls"), ("network", "rm")),
):
    if found := docker(*listing, "--quiet", "--filter", mine):
        docker(*removing, *found)
shutil.rmtree(folder, ignore_errors=True)
