"""roles/host_metrics/files/sites.py, which runs on the host: here with a `docker` that plays a host with databases."""

from __future__ import annotations

import importlib.util
import pathlib

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[4] / "roles" / "host_metrics" / "files" / "sites.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("prepare_sites", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", ["/nowhere/kmsg", "/dev/null"])
def test_what_is_not_the_kernels_log_is_not_passed_to_cadvisor(script, path):
    assert script.kernel_log(path) is False
