# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_search_replace import check_pairs


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
