"""What of a repository goes where."""

from __future__ import annotations

import shlex

from ansible_collections.dockpress.hosting.plugins.filter.restic import restic, restic_files

DECLARED = [
    {"name": "a", "repository": "rest:https://x/", "password": "p", "environment": {"B": "it's $x", "A": 1}},
    {"name": "b", "repository": "/srv/copies", "password": "q", "volume": "/srv/copies", "ca": "PEM"},
]


def test_modules_get_no_secrets():
    assert restic(DECLARED, "/etc/r") == [
        {"name": "a", "directory": "/etc/r/a", "network": "bridge", "volume": None},
        {"name": "b", "directory": "/etc/r/b", "network": "bridge", "volume": "/srv/copies"},
    ]


def test_secrets_are_files():
    files = {one["path"]: one["text"] for one in restic_files(DECLARED)}
    assert set(files) == {"a/repository", "a/password", "a/environment", "b/repository", "b/password", "b/ca.crt"}
    assert shlex.split(files["a/environment"]) == ["A=1", "B=it's $x"]
