from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.dockpress.hosting.plugins.filter.image import image

PINS = {
    "mariadb": {"registry": "docker.io", "repository": "library/mariadb", "tag": "11.8"},
    "sandbox_host": {"from": ["base"]},
}


@pytest.mark.parametrize(
    ("name", "registry", "expected"),
    [
        ("mariadb", "", "docker.io/library/mariadb:11.8"),
        ("mariadb", "mirror.example:5000/", "mirror.example:5000/library/mariadb:11.8"),
        ("sandbox_host", "mirror.example:5000", "mirror.example:5000/dockpress/sandbox-host:latest"),
        ("sandbox_host", "", "dockpress/sandbox-host:latest"),
    ],
)
def test_reference(name, registry, expected):
    assert image(name, registry, PINS) == expected


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(AnsibleFilterError, match="known are: mariadb, sandbox_host"):
        image("mysql", "", PINS)
