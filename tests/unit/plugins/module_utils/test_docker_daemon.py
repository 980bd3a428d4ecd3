"""What daemon.json may hold, and what a change of it costs."""

from __future__ import annotations

import json

import pytest
from ansible_collections.dockpress.hosting.plugins.module_utils import _docker_daemon as daemon

# `systemctl show docker --property=ExecStart` on Debian 13 and with Docker's own package.
DEBIAN = (
    "{ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock "
    "$DOCKER_OPTS ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }"
)


def test_log_options_become_strings():
    assert daemon.normalise({"log-driver": "local", "log-opts": {"max-file": 3, "compress": True}})["log-opts"] == {
        "max-file": "3",
        "compress": "true",
    }


def test_network_options_become_strings_two_levels_down():
    wanted = daemon.normalise({"default-network-opts": {"bridge": {"com.docker.network.driver.mtu": 1400}}})
    assert wanted["default-network-opts"]["bridge"] == {"com.docker.network.driver.mtu": "1400"}


def test_numbers_elsewhere_stay_numbers():
    assert daemon.normalise({"max-concurrent-downloads": 3}) == {"max-concurrent-downloads": 3}


def test_null_unsets_a_default():
    assert daemon.normalise({"icc": None, "debug": False}) == {"debug": False}


def test_null_unsets_an_option_of_the_log_driver_too():
    config = {"log-driver": "journald", "log-opts": {"max-size": None, "tag": "x"}}
    assert daemon.normalise(config)["log-opts"] == {"tag": "x"}


def test_null_unsets_what_stands_deeper():
    config = {"default-ulimits": {"nofile": None, "core": {"Name": "core", "Soft": 0, "Hard": None}}}
    assert daemon.normalise(config) == {"default-ulimits": {"core": {"Name": "core", "Soft": 0}}}


@pytest.mark.parametrize(
    ("driver", "options", "named"),
    [
        ("local", {"max-size": "10q"}, "max-size"),
        ("local", {"max-size": "0m"}, "max-size"),
        ("json-file", {"max-file": 0}, "max-file"),
        ("local", {"max-file": "many"}, "max-file"),
        ("local", {"max-file": 1}, "compress"),
        ("local", {"compress": "maybe"}, "compress"),
        ("json-file", {"max-file": 1, "max-size": "1m", "compress": True}, "compress"),
        ("json-file", {"max-file": 3, "compress": True}, "max-size"),
    ],
)
def test_values_with_which_no_container_would_start_are_refused(driver, options, named):
    with pytest.raises(ValueError, match=f"log-opts: .*{named}"):
        daemon.normalise({"log-driver": driver, "log-opts": options})


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("local", {"max-size": "1.5 GiB", "max-file": 1, "compress": False}),
        ("local", {"max-size": "20m", "max-file": "5"}),
        ("json-file", {"max-file": 1}),
        ("json-file", {"max-size": "512k", "max-file": 2, "compress": True}),
    ],
)
def test_values_of_the_log_driver_that_are_right(driver, options):
    assert daemon.normalise({"log-driver": driver, "log-opts": options})


@pytest.mark.parametrize("value", ["true", "False", "yes"])
def test_a_truth_value_in_quotes_is_refused_by_name(value):
    with pytest.raises(ValueError, match="ipv6"):
        daemon.normalise({"ipv6": value})


def test_a_mistyped_log_option_is_refused_though_dockerd_would_accept_it():
    with pytest.raises(ValueError, match="max-sise"):
        daemon.normalise({"log-driver": "local", "log-opts": {"max-sise": "10m"}})


def test_options_of_a_log_driver_that_is_not_known_here_are_left_alone():
    assert daemon.normalise({"log-driver": "gelf", "log-opts": {"gelf-address": "udp://log:12201"}})


def test_a_tcp_socket_without_tls_is_refused():
    with pytest.raises(ValueError, match="tlsverify"):
        daemon.normalise({"hosts": ["fd://", "tcp://0.0.0.0:2375"]})


@pytest.mark.parametrize(
    ("before", "after", "keys", "action"),
    [
        ({"icc": False}, {"icc": False}, [], "none"),
        ({"debug": False}, {"debug": True}, ["debug"], "reload"),
        ({}, {"labels": ["a=b"], "registry-mirrors": ["https://mirror"]}, ["labels", "registry-mirrors"], "reload"),
        ({"debug": True, "icc": False}, {"icc": False}, ["debug"], "restart"),
        ({}, {"runtimes": {"crun": {"path": "crun"}}}, ["runtimes"], "reload"),
        ({"icc": False, "debug": True}, {"icc": True, "debug": False}, ["debug", "icc"], "restart"),
        ({"log-opts": {"max-size": "1m"}}, {"log-opts": {"max-size": "2m"}}, ["log-opts"], "restart"),
    ],
)
def test_what_a_change_costs(before, after, keys, action):
    assert daemon.differing(before, after) == keys
    assert daemon.action_for(keys, after) == action


def test_the_order_of_keys_makes_no_file():
    assert daemon.render({"b": 1, "a": {"d": 1, "c": 2}}) == daemon.render({"a": {"c": 2, "d": 1}, "b": 1})
    assert json.loads(daemon.render({"b": 1})) == {"b": 1}


def test_the_flags_of_the_unit():
    assert daemon.unit_flags(DEBIAN) == ["-H", "fd://", "--containerd=/run/containerd/containerd.sock"]
    assert daemon.unit_flags("") == []


def test_the_flags_that_the_environment_file_adds():
    text = '# Options\nDOCKER_OPTS="--dns 8.8.8.8 --debug"\n'
    assert daemon.unit_flags(DEBIAN, text)[-3:] == ["--dns", "8.8.8.8", "--debug"]
    assert daemon.unit_flags(DEBIAN, "#DOCKER_OPTS=--debug\n") == daemon.unit_flags(DEBIAN)
