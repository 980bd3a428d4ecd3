from __future__ import annotations

import pathlib

import pytest
import yaml
from ansible_collections.dockpress.hosting.plugins.filter.site_problems import site_problems

ROLE = pathlib.Path(__file__).resolve().parents[4] / "roles" / "wordpress"
SPEC = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]["main"][
    "options"
]
DEFAULTS = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8"))
GOOD = {
    **DEFAULTS,
    "role_constants": ["DB_HOST", "AUTH_KEY"],
    "wordpress_docker_host": "web1",
    "wordpress_domain": "blog.example.com",
    "wordpress_stack_name": "blog-example-com",
    "wordpress_url": "http://blog.example.com:8080",
    "wordpress_port": 8080,
    "wordpress_title": "Blog",
    "wordpress_admin_email": "a@example.com",
    "wordpress_admin_password": "x",
    "wordpress_db_password": "y",
    "wordpress_db_root_password": "z",
    "wordpress_salts": "s" * 32,
    "wordpress_php_memory": "1536m",
    "wordpress_image": "docker.io/library/wordpress:7.1.1-php8.4-fpm",
}
GROUPS = {"docker_hosts": ["web1"], "wordpress": ["blog.example.com", "shop.example.com"]}
CONNECTION = {"ansible_connection": "docker", "ansible_host": "c1"}


def problems(values=None, site="blog.example.com", *, shop=None, connection=None, web1=None, monitoring=()):
    values = GOOD | (CONNECTION if connection is None else connection) | (values or {})
    hostvars = {
        "web1": CONNECTION | (web1 or {}),
        site: {
            key: values[key]
            for key in ("wordpress_docker_host", "wordpress_port", "wordpress_stack_name", "wordpress_bind_address")
        },
        "shop.example.com": {"wordpress_docker_host": "web1", "wordpress_port": 8081, **(shop or {})},
    }
    groups = GROUPS | {"wordpress": [site, "shop.example.com"], "monitoring": list(monitoring)}
    return "\n".join(site_problems(hostvars, groups, site, values, SPEC))


def test_spec_and_defaults_name_the_same_variables():
    assert set(SPEC) == set(DEFAULTS)


def test_a_good_site_has_none():
    assert problems() == ""
    assert problems({"wordpress_image": "registry.example:5000/own/php:1"}) == ""
    assert problems({"wordpress_image": "registry.example:5000/wordpress"}) == ""


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"wordpress_db_password": ""}, "wordpress_db_password is not set; write a long random value"),
        ({"wordpress_salts": "short"}, "wordpress_salts is too short"),
        ({"wordpress_salts": {"AUTH_KEY": "x"}}, "wordpress_salts lacks AUTH_SALT"),
        ({"wordpress_docker_host": ""}, "wordpress_docker_host is not set"),
        (
            {"wordpress_docker_host": "web9"},
            "wordpress_docker_host (web9) is not in the group docker_hosts; write one of its hosts (web1)",
        ),
        ({"wordpress_domain": "blog_.example.com"}, "wordpress_domain (blog_.example.com) is no hostname"),
        ({"wordpress_port": 8081}, "wordpress_port (8081) is also published by shop.example.com on web1"),
        ({"wordpress_port": 70000}, "is no port"),
        ({"wordpress_port": "http"}, "wordpress_port"),
        ({"wordpress_url": "blog.example.com"}, "wordpress_url (blog.example.com) is no address"),
        ({"wordpress_image": "wordpress:7.1-apache"}, "wordpress_image (wordpress:7.1-apache) has no PHP-FPM"),
        ({"wordpress_upload_limit": "64 MB"}, "wordpress_upload_limit (64 MB) is no size"),
        ({"wordpress_trusted_proxies": ["proxy"]}, "wordpress_trusted_proxies: proxy is no address"),
        ({"wordpress_writable_paths": ["../etc"]}, "wordpress_writable_paths: ../etc is no path"),
        ({"wordpress_writable_paths": ["/etc"]}, "is no path below the web root"),
        ({"wordpress_constants": {"A-B": 1}}, "wordpress_constants: A-B is no name"),
        ({"wordpress_secret_constants": {"A-B": 1}}, "wordpress_secret_constants: A-B is no name"),
        (
            {"wordpress_secret_constants": {"A": 1}, "wordpress_constants": {"A": 1}},
            "wordpress_secret_constants: A is also in wordpress_constants; take it out of one of them",
        ),
        (
            {"wordpress_secret_constants": {"DB_HOST": 1}},
            "wordpress_secret_constants: DB_HOST is a constant that the role sets",
        ),
        ({"wordpress_environment": "prod"}, "wordpress_environment"),
        ({"wordpress_plugins": "akismet: 1"}, "wordpress_plugins"),
        ({"wordpress_php_workers": 0}, "must be 1 or more"),
    ],
)
def test_bad_input_is_named(values, said):
    if values.get("wordpress_plugins"):
        values = {"wordpress_plugins": {"akismet": 1}}
    assert said in problems(values)


def test_a_site_that_is_no_hostname():
    assert "its inventory name (blog_1) is no hostname" in problems(site="blog_1")


def test_a_secret_is_not_repeated():
    assert "hunter2" not in problems(
        {
            "wordpress_db_password": ["hunter2"],
            "wordpress_admin_password": {"p": "hunter2"},
            "wordpress_secret_constants": "hunter2",
        }
    )
    assert "hunter2" not in problems({"wordpress_secret_constants": {"DB_HOST": "hunter2"}})


def test_other_addresses_may_share_a_port():
    values = {"wordpress_port": 8081}
    assert "is also published" in problems(values, shop={"wordpress_bind_address": "10.0.0.1"})


def test_ports_of_monitoring_are_taken():
    host = {"web1": {"docker_host_private_address": "10.0.0.11", "monitoring_grafana_port": 3001}}
    for port, name in ((9443, "host_metrics_port"), (3001, "monitoring_grafana_port")):
        said = f"wordpress_port ({port}) is {name} on web1; write another port"
        assert said in problems({"wordpress_port": port}, monitoring=["web1"], **host)
        assert problems({"wordpress_port": port}, **host) == ""
    assert problems({"wordpress_port": 3000}, monitoring=["web1"], **host) == ""
    # Metrics are published on the private address only.
    local = {"wordpress_port": 9443, "wordpress_bind_address": "127.0.0.1"}
    assert problems(local, monitoring=["web1"], **host) == ""


@pytest.mark.parametrize(("stack", "role"), [("monitoring", "monitoring"), ("host-metrics", "host_metrics")])
def test_stacks_of_other_roles_are_not_replaced(stack, role):
    assert f"wordpress_stack_name ({stack}) is that of the role {role}" in problems({"wordpress_stack_name": stack})


@pytest.mark.parametrize(
    ("stack", "site"), [("shop-example-com-drill", "blog.example.com"), ("blog", "shop.example.com.drill")]
)
def test_a_drill_of_another_site_would_remove_it(stack, site):
    said = problems({"wordpress_stack_name": stack}, site)
    assert f"a drill of shop.example.com makes and removes what is named like {site}" in said


def test_missing_connection_variables_print_the_block():
    said = problems(connection={})
    assert "group_vars/wordpress.yml" in said
    assert 'ansible_host: "{{ hostvars[wordpress_docker_host].ansible_host | default(wordpress_docker_host) }}"' in said
