from __future__ import annotations

import jinja2
import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.dockpress.hosting.plugins.filter import sites as module

GROUPS = {"wordpress": ["shop.example.com", "blog.example.com"], "docker_hosts": ["web1", "web2"]}
HOSTVARS = {
    "web1": {},
    "web2": {},
    "blog.example.com": {"wordpress_docker_host": "web1", "wordpress_port": "8081"},
    "shop.example.com": {
        "wordpress_docker_host": "web2",
        "wordpress_url": "https://www.shop.example/",
        "wordpress_title": "5$ & up",
        "wordpress_bind_address": "127.0.0.1",
        "wordpress_environment": "staging",
    },
}


def test_sites_are_sorted_and_have_defaults():
    blog, shop = module.sites(HOSTVARS, GROUPS)
    assert blog == {
        "site": "blog.example.com",
        "stack": "blog-example-com",
        "docker_host": "web1",
        "domain": "blog.example.com",
        "url": "http://blog.example.com:8081",
        "port": 8081,
        "bind_address": "0.0.0.0",
        "title": "blog.example.com",
        "env": "production",
        "path": "/srv/dockpress/blog-example-com",
    }
    assert shop["url"] == "https://www.shop.example"
    assert (shop["title"], shop["port"], shop["env"]) == ("5$ & up", 80, "staging")


def test_sites_of_one_docker_host():
    assert [site["site"] for site in module.sites(HOSTVARS, GROUPS, docker_host="web2")] == ["shop.example.com"]


def test_no_group_no_sites():
    assert module.sites({}, {}) == []


def test_a_port_that_is_no_number_names_site_and_variable():
    hostvars = {"a.example": {"wordpress_port": "http"}}
    with pytest.raises(AnsibleFilterError, match=r"a\.example: wordpress_port is 'http'"):
        module.sites(hostvars, {"wordpress": ["a.example"]})


@pytest.mark.parametrize("port", [80, 8080])
def test_the_roles_defaults_mean_the_same(port):
    """The expressions in the role's defaults and the Python here must agree."""
    defaults = yaml.safe_load(module.DEFAULTS.read_text(encoding="utf-8"))
    variables = {"inventory_hostname": "Blog.example.com", "wordpress_port": port}

    def rendered(key: str) -> str:
        context = variables | {"wordpress_domain": variables["inventory_hostname"]}
        return jinja2.Environment(autoescape=False).from_string(str(defaults[key])).render(context)

    site = module.site_of("Blog.example.com", {"wordpress_port": port}, defaults)
    assert rendered("wordpress_url") == site["url"]
    assert rendered("wordpress_title") == site["title"]
    assert rendered("wordpress_domain") == site["domain"]
    assert rendered("wordpress_stack_name") == site["stack"]
