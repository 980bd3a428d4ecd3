# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import Result
from ansible_collections.dockpress.hosting.plugins.modules import wp_site_info


class FakeWp:
    def __init__(self, answer, checked=None):
        self.answer, self.checked, self.query = answer, checked, None

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        pass

    def eval(self, _php, data, **_options):
        self.query = data
        return self.answer

    def run(self, _argv, check=True):
        return self.checked


@pytest.fixture
def info(monkeypatch, capsys):
    def call(wp, **params):
        monkeypatch.setattr(wp_site_info.WpCli, "from_params", lambda _params: wp)
        with patch_module_args({"container": "cron", **params}), pytest.raises(SystemExit):
            wp_site_info.main()
        return json.loads(capsys.readouterr().out)

    return call


def test_another_site_of_the_network_is_no_answer(info):
    wp = FakeWp({"installed": True, "no_such_site": True})
    result = info(wp, url="http://blog.example.com/typo")
    assert "no site http://blog.example.com/typo" in result["msg"]
    assert wp.query["url"] == "http://blog.example.com/typo"


@pytest.mark.parametrize(
    ("rc", "stdout", "stderr", "ok"),
    [
        (0, "Success: WordPress installation verifies against checksums.", "", True),
        (
            1,
            "",
            "Warning: File doesn't verify against checksum: a.php\nError: WordPress installation doesn't verify against checksums.",
            False,
        ),
        (1, "", "Error: Couldn't get checksums from WordPress.org.", None),
    ],
)
def test_checksums_that_cannot_be_had_are_no_difference(info, rc, stdout, stderr, ok):
    wp = FakeWp({"code": {"version": "7.1.1"}}, Result(rc, stdout.encode(), stderr.encode(), ["wp"]))
    checksums = info(wp, verify_checksums=True)["site"]["checksums"]
    assert checksums["ok"] is ok
    assert checksums["said"] == (stdout + stderr).splitlines()
