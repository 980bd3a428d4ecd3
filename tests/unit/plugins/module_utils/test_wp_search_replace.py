# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_search_replace import check_addresses, check_pairs


def pair(old, new):
    return {"from": old, "to": new}


def test_pairs():
    assert check_pairs([pair("http://a", "http://b"), pair("http://a", "http://b"), pair("//a", "//b")]) == [
        ["http://a", "http://b"],
        ["//a", "//b"],
    ]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "name at least one"),
        ([pair("http://a", "b"), pair("", "x")], "pair 2 has an empty from"),
        ([pair("ab", "x")], "too short"),
        ([pair("http://a", "x"), pair("http://a", "y")], "two different texts"),
    ],
)
def test_pairs_that_are_refused(pairs, message):
    with pytest.raises(ValueError, match=message):
        check_pairs(pairs)


@pytest.mark.parametrize(
    ("old", "new", "hosts"),
    [
        ("https://blog.example.com/", "http://localhost:8080", ["blog.example.com", "www.blog.example.com"]),
        ("https://www.example.com", "https://staging.example.com", ["www.example.com", "example.com"]),
        # The new address is the twin of the old one: it must not be found again.
        ("https://example.com", "https://www.example.com", ["example.com"]),
        ("https://www.example.com", "https://example.com", ["www.example.com"]),
        (
            "https://bücher.example",
            "https://b.example",
            ["bücher.example", "xn--bcher-kva.example", "www.bücher.example", "www.xn--bcher-kva.example"],
        ),
        ("http://localhost:8080", "http://localhost:8090", ["localhost"]),
        ("http://192.0.2.1", "http://blog.example.com", ["192.0.2.1"]),
        ("http://[2001:db8::1]", "http://blog.example.com", ["[2001:db8::1]"]),
    ],
)
def test_names_of_an_address(old, new, hosts):
    (found,) = check_addresses([pair(old, new)])
    assert found["hosts"] == hosts
    assert found["to"] == new


def test_port_and_path_of_an_address():
    (found,) = check_addresses([pair("https://example.com:8443/blog/", "https://staging.example.com/")])
    assert found["port"] == "8443"
    assert found["path"] == "/blog"
    assert found["to"] == "https://staging.example.com"


@pytest.mark.parametrize(
    "address", ["", "blog.example.com", "ftp://blog.example.com", "https://", "https://a.example/?x=1"]
)
@pytest.mark.parametrize("end", ["from", "to"])
def test_addresses_that_are_refused(end, address):
    with pytest.raises(ValueError, match=f"{end} of pair 1 is '.*'. Write the address of a site"):
        check_addresses([pair("https://blog.example.com", "https://staging.example.com") | {end: address}])
