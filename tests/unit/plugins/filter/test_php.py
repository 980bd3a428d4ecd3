from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.dockpress.hosting.plugins.filter.php import php


@pytest.mark.parametrize(
    ("value", "source"),
    [
        (True, "true"),
        (None, "null"),
        (-3, "-3"),
        (1.5, "1.5"),
        ("it's", r"'it\'s'"),
        ("x;\\", r"'x;\\'"),
        ("a$1b ?> */\n", "'a$1b ?> */\n'"),
        ({"a": [1, "b"]}, "['a' => [1, 'b']]"),
    ],
)
def test_literals(value, source):
    assert php(value) == source


def test_what_has_no_literal_is_refused():
    with pytest.raises(AnsibleFilterError):
        php(object())
