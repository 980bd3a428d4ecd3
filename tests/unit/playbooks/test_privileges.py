# Copyright: Contributors to the dockpress.hosting collection
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory's hosts may be reached by a user who is not root: the sandbox, where root connects, would not show what is missing."""

import pathlib

import pytest
import yaml

PLAYBOOKS = pathlib.Path(__file__).resolve().parents[3] / "playbooks"
# This machine, and the site on it: without root on purpose.
OWN = ("localhost", "dev_site")
PLAYS = [
    pytest.param(play, id=f"{path.name}: {play['name']}")
    for path in sorted(PLAYBOOKS.glob("*.yml"))
    if not path.name.startswith("sandbox")
    for play in yaml.safe_load(path.read_text(encoding="utf-8"))
    if "hosts" in play and play["hosts"] not in OWN and play.get("connection") != "local"
]


@pytest.mark.parametrize("play", PLAYS)
def test_plays_on_the_inventorys_hosts_become_root(play):
    assert play.get("become") is True
