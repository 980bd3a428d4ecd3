"""What the module does around a restore."""

from __future__ import annotations

import contextlib
import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.dockpress.hosting.plugins.module_utils._site_backup import Site
from ansible_collections.dockpress.hosting.plugins.modules import wp_restore


@pytest.fixture
def check(tmp_path, monkeypatch, capfd):
    """Call the module in check mode on a site below ``tmp_path`` that has no containers."""

    def init(self, params):
        self.params, self.name, self.root = params, params["site"], tmp_path / "sets"
        self.stage, self.journal = tmp_path / ".restore", tmp_path / ".restore.json"
        self.wp = contextlib.nullcontext()

    monkeypatch.setattr(Site, "__init__", init)
    monkeypatch.setattr(Site, "lock", lambda self, holder: contextlib.nullcontext())

    def call(**arguments):
        arguments = {
            "site": "blog.example.com",
            "directory": str(tmp_path),
            "container": "cron",
            "database_container": "database",
            "_ansible_check_mode": True,
            **arguments,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            wp_restore.main()
        return json.loads(capfd.readouterr().out)

    return call


@pytest.mark.parametrize("verify_only", [False, True])
def test_check_mode_leaves_what_an_interrupted_restore_put_aside(check, tmp_path, verify_only):
    saved = tmp_path / ".restore/saved/own.txt"
    saved.parent.mkdir(parents=True)
    saved.write_text("the only copy")
    (tmp_path / ".restore.json").write_text('{"phase": "swapping"}')
    result = check(verify_only=verify_only)
    assert result["failed"]
    assert "An interrupted restore has to be undone first: run without --check." in result["msg"]
    assert saved.read_text() == "the only copy"
