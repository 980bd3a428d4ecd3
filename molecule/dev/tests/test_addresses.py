"""How an address is found in texts: the program of the module wp_search_replace, in the PHP of the site on this machine."""

from __future__ import annotations

import base64
import json

import engine
import pytest
from ansible_collections.dockpress.hosting.plugins.module_utils import _wp_search_replace

CLASS = "final class Replacer"
RUN = """
echo json_encode(array_map(function ($case) {
    $replacer = new Replacer([], $case[0]);
    $new = $replacer->value($case[1]);
    return [$new, $replacer->value($new), $replacer->left($new)];
}, json_decode(stream_get_contents(STDIN), true)));
"""
BLOG = ("https://blog.example.com", "http://staging.example.org:8090")
BOOKS = ("https://bücher.example", "https://xn--staging-x.example")
FOLDER = ("https://example.com/blog", "https://staging.example.com")
PORT = ("http://localhost:8080", "http://localhost:8090")
WWW = ("http://example.com", "https://www.example.com")


def packed(text):
    return base64.b64encode(text.encode()).decode()


CASES = [
    (BLOG, "http://blog.example.com/x", "http://staging.example.org:8090/x"),
    (BLOG, "HTTPS://Blog.Example.COM/x", "http://staging.example.org:8090/x"),
    (BLOG, "https://www.blog.example.com/", "http://staging.example.org:8090/"),
    (BLOG, "https://blog.example.com:8443/x", "http://staging.example.org:8090/x"),
    (BLOG, "https://me:secret@blog.example.com/x", "http://staging.example.org:8090/x"),
    (BLOG, "src='//blog.example.com/a.js'", "src='//staging.example.org:8090/a.js'"),
    (BLOG, "see blog.example.com. Or not", "see staging.example.org:8090. Or not"),
    (BLOG, r'{"u":"https:\/\/blog.example.com\/x"}', r'{"u":"http:\/\/staging.example.org:8090\/x"}'),
    (
        BLOG,
        r'{"j":"{\"u\":\"https:\\\/\\\/blog.example.com\\\/x\"}"}',
        r'{"j":"{\"u\":\"http:\\\/\\\/staging.example.org:8090\\\/x\"}"}',
    ),
    (BLOG, r"https:\u002F\u002Fblog.example.com\u002Fx", r"http:\u002F\u002Fstaging.example.org:8090\u002Fx"),
    (BLOG, "https:&#x2F;&#x2F;blog.example.com", "http:&#x2F;&#x2F;staging.example.org:8090"),
    (BLOG, "?r=https%3A%2F%2Fblog.example.com%2Fy", "?r=http%3A%2F%2Fstaging.example.org%3A8090%2Fy"),
    (BLOG, "?r=https%3a%2f%2fblog.example.com", "?r=http%3a%2f%2fstaging.example.org%3a8090"),
    (BLOG, "https%253A%252F%252Fblog.example.com", "http%253A%252F%252Fstaging.example.org%253A8090"),
    (
        BLOG,
        '<!-- wp:image {"url":"https://blog.example.com/a.png"} -->',
        '<!-- wp:image {"url":"http://staging.example.org:8090/a.png"} -->',
    ),
    (
        BLOG,
        'a:1:{s:24:"https://blog.example.com";s:16:"blog.example.com";}',
        'a:1:{s:31:"http://staging.example.org:8090";s:24:"staging.example.org:8090";}',
    ),
    (
        BLOG,
        'a:1:{i:0;s:44:"a:1:{i:0;s:26:"https://blog.example.com/x";}";}',
        'a:1:{i:0;s:51:"a:1:{i:0;s:33:"http://staging.example.org:8090/x";}";}',
    ),
    (BLOG, 'a:1:{i:0;s:99:"https://blog.example.com";}', 'a:1:{i:0;s:99:"http://staging.example.org:8090";}'),
    (
        BLOG,
        r'{"s":"a:1:{i:0;s:24:\"https:\/\/blog.example.com\";}"}',
        r'{"s":"a:1:{i:0;s:31:\"http:\/\/staging.example.org:8090\";}"}',
    ),
    (
        BLOG,
        "data:text/html;base64," + packed('<a href="https://blog.example.com/">x</a>'),
        "data:text/html;base64," + packed('<a href="http://staging.example.org:8090/">x</a>'),
    ),
    (
        BLOG,
        packed("%3Ca%20href%3D%22https%3A%2F%2Fblog.example.com%22%3E"),
        packed("%3Ca%20href%3D%22http%3A%2F%2Fstaging.example.org%3A8090%22%3E"),
    ),
    (BOOKS, "https://xn--bcher-kva.example/", "https://xn--staging-x.example/"),
    (BOOKS, "https://bücher.example/x", "https://xn--staging-x.example/x"),
    (BOOKS, r'"b\u00fccher.example"', '"xn--staging-x.example"'),
    (BOOKS, "https://b%C3%BCcher.example/", "https://xn--staging-x.example/"),
    # As the attributes of a block have two dashes.
    (
        BOOKS,
        r'{"url":"https://xn\u002d\u002dbcher-kva.example/x"}',
        r'{"url":"https://xn\u002d\u002dstaging-x.example/x"}',
    ),
    (FOLDER, "https://example.com/blog/x", "https://staging.example.com/x"),
    (FOLDER, r"https:\/\/example.com\/blog\/x", r"https:\/\/staging.example.com\/x"),
    (PORT, "http://localhost:8080/x", "http://localhost:8090/x"),
    (WWW, "http://example.com/x", "https://www.example.com/x"),
    (WWW, "example.com", "www.example.com"),
]
# What only looks like it.
OTHERS = [
    (BLOG, "info@blog.example.com"),
    (BLOG, "?to=info%40blog.example.com"),
    (BLOG, "https://myblog.example.com/"),
    (BLOG, "https://my.blog.example.com/"),
    (BLOG, "https://blog.example.com.au/"),
    (BLOG, "https://blog.example.community/"),
    (BLOG, "https://blog.example.com-shop.example/"),
    (FOLDER, "https://example.com/shop https://example.com/blogger"),
    (PORT, "http://localhost:8081/ localhost"),
    (WWW, "https://www.example.com/x"),
]


@pytest.fixture(scope="module")
def answers(here):
    """(pair, text) -> [the new text, that of a second run, what is left of the old address], all by one process."""
    asked = [case[:2] for case in CASES + OTHERS]
    given = [
        [_wp_search_replace.check_addresses([dict(zip(("from", "to"), pair, strict=True))]), text]
        for pair, text in asked
    ]
    php = _wp_search_replace.PHP
    program = php[php.index(CLASS) : php.index("function dp_connect")] + RUN
    done = engine.run(
        ["docker", "exec", "-i", f"{here.folder.name}-cron-1", "php", "-r", program],
        input=json.dumps(given),
        text=True,
        check=True,
    )
    return dict(zip(asked, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize(("pair", "text", "expected"), CASES)
def test_an_address_is_found_however_it_is_written(answers, pair, text, expected):
    new, again, left = answers[pair, text]
    assert new == expected
    assert again == new, "a second run changes nothing"
    assert left == []


@pytest.mark.parametrize(("pair", "text"), OTHERS)
def test_what_only_looks_like_it_stays(answers, pair, text):
    assert answers[pair, text] == [text, text, []]
