# Copyright: Contributors to the dockpress.hosting collection
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module makes of the program's answer; the program itself runs against WordPress in the scenario `dev`."""

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.dockpress.hosting.plugins.modules import wp_anonymise

NOTHING = {
    "users": 0,
    "comments": 0,
    "addresses": 0,
    "replaced": 0,
    "emptied": 0,
    "sessions": 0,
    "left": 0,
    "tables_without_transaction": [],
}


def run(monkeypatch, capsys, answer, **arguments):
    """Result of the module and what the program was given, with `answer` in WordPress' place."""
    given = {}

    class Site:
        def __enter__(self):
            return self

        def __exit__(self, *_exception):
            pass

        def eval(self, php, data, **options):
            given.update(data, php=php, **options)
            return answer

    monkeypatch.setattr(wp_anonymise.WpCli, "from_params", classmethod(lambda _cls, _params: Site()))
    with patch_module_args({"container": "site-cron-1", **arguments}), pytest.raises(SystemExit):
        wp_anonymise.main()
    return json.loads(capsys.readouterr().out), given


def test_a_second_run_changes_nothing(monkeypatch, capsys):
    result, given = run(monkeypatch, capsys, NOTHING)
    assert result["changed"] is False
    assert given["commit"] is True
    assert given["plugins"] is False, "no plugin of the site may see, or send, anything"


@pytest.mark.parametrize("what", ["users", "comments", "addresses", "replaced", "emptied", "sessions"])
def test_any_figure_is_a_change(monkeypatch, capsys, what):
    assert run(monkeypatch, capsys, NOTHING | {what: 1})[0]["changed"] is True


def test_a_check_is_rolled_back(monkeypatch, capsys):
    result, given = run(monkeypatch, capsys, NOTHING | {"users": 2}, _ansible_check_mode=True)
    assert (result["changed"], given["commit"]) == (True, False)


def test_an_address_that_is_left_is_a_failure(monkeypatch, capsys):
    result, _given = run(monkeypatch, capsys, NOTHING | {"users": 2, "left": 1})
    assert result["failed"]
    assert "Do not hand this copy out" in result["msg"]


def test_an_error_says_that_nothing_was_changed(monkeypatch, capsys):
    result, _given = run(
        monkeypatch, capsys, {"error": "keep names users that this site does not have: x."}, keep=["x"]
    )
    assert result["failed"]
    assert result["msg"].endswith("Nothing was changed.")
