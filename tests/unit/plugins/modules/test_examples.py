"""Every example of every module is a task that the module takes: known options, of the right type, none missing."""

from __future__ import annotations

import json
import pathlib
import subprocess

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

COLLECTION = "dockpress.hosting"
ROOT = pathlib.Path(__file__).resolve().parents[4]
MODULES = [f"{COLLECTION}.{path.stem}" for path in sorted((ROOT / "plugins/modules").glob("*.py"))]
KEPT = ("type", "elements", "choices", "required", "default")


@pytest.fixture(scope="module")
def rendered() -> dict:
    """The documentation of all modules, with what their fragments add, as ansible-doc renders it."""
    command = ["ansible-doc", "--type", "module", "--json", *MODULES]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def spec(options: dict) -> dict:
    """An argument spec out of the documentation, which ansible-test compares with the module's own."""
    return {
        name: {key: about[key] for key in KEPT if key in about}
        | ({"options": spec(about["suboptions"])} if "suboptions" in about else {})
        for name, about in options.items()
    }


SAMPLES = {"dict": {}, "list": [], "int": 1, "bool": True, "float": 1.0}


def filled(given: dict, options: dict) -> dict:
    """The options of a task; a variable that stands for more than text becomes something of its type."""
    kinds = {name: options.get(name, {}).get("type", "str") for name in given}
    variable = {name for name, value in given.items() if str(value).startswith("{{")}
    return {name: SAMPLES.get(kinds[name], value) if name in variable else value for name, value in given.items()}


@pytest.mark.parametrize("module", MODULES)
def test_examples(rendered, module):
    tasks = yaml.safe_load(rendered[module]["examples"])
    own = [task[module] or {} for task in tasks if module in task]
    assert own, "no example runs the module itself"
    options = rendered[module]["doc"].get("options") or {}
    validator = ArgumentSpecValidator(spec(options))
    for given in own:
        assert validator.validate(filled(given, options)).error_messages == []


def test_modules_that_share_options_are_in_the_action_group(rendered):
    """``module_defaults`` of the group would otherwise leave one out, without a word."""
    group = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["action_groups"]["wp"]
    shared = {name for name, about in rendered.items() if "fpm_container" in about["doc"].get("options", {})}
    says_so = {name for name, about in rendered.items() if "action_group" in about["doc"].get("attributes", {})}
    assert {f"{COLLECTION}.{name}" for name in group} == shared == says_so
