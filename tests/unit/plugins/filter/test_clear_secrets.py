"""Secrets in the clear are found, and what only looks like one is not."""

import pytest
from ansible_collections.dockpress.hosting.plugins.filter.clear_secrets import clear_secrets


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ([{"name": "a", "slack_configs": [{"api_url": "https://hooks.example/x"}]}], "x[0].slack_configs[0].api_url"),
        (
            [{"name": "a", "email_configs": [{"to": "a@b", "auth_password": "p"}]}],
            "x[0].email_configs[0].auth_password",
        ),
        ([{"name": "a", "pagerduty_configs": [{"routing_key": "k"}]}], "x[0].pagerduty_configs[0].routing_key"),
        ([{"name": "a", "discord_configs": [{"webhook_url": "https://d/x"}]}], "x[0].discord_configs[0].webhook_url"),
        ({"smtp_auth_password": "p"}, "x.smtp_auth_password"),
        ({"slack_api_url": "https://hooks.example/x"}, "x.slack_api_url"),
        ([{"url": "https://r", "basic_auth": {"username": "u", "password": "p"}}], "x[0].basic_auth.password"),
        ([{"url": "https://r", "authorization": {"credentials": "c"}}], "x[0].authorization.credentials"),
        ([{"name": "a", "webhook_configs": [{"url": "https://u:p@h/"}]}], "x[0].webhook_configs[0].url"),
    ],
)
def test_a_secret_is_named_with_its_place(value, place):
    (problem,) = clear_secrets(value, "x")
    assert problem.startswith(f"{place} ")
    assert "_file" in problem


@pytest.mark.parametrize(
    "value",
    [
        [{"name": "a", "slack_configs": [{"api_url_file": "/run/secrets/slack", "channel": "#ops"}]}],
        [{"name": "a", "opsgenie_configs": [{"api_url": "https://api.example/", "api_key_file": "/run/secrets/k"}]}],
        [{"name": "a", "webhook_configs": [{"url": "https://h:8443/a@b"}]}],
        {
            "smtp_smarthost": "mail.example:587",
            "smtp_auth_password_file": "/run/secrets/mail",
            "smtp_auth_password": "",
        },
        [{"url": "https://r", "basic_auth": {"username": "u", "password_file": "/run/secrets/r"}}],
    ],
)
def test_files_and_plain_addresses_are_fine(value):
    assert clear_secrets(value, "x") == []
