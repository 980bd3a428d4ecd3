"""Every example of every module is a task that the module takes: known options, of the right type, none missing."""

from __future__ import annotations

import pathlib

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.loader import fragment_loader, init_plugin_loader
from ansible.utils.plugin_docs import get_docstring

MODULES = sorted((pathlib.Path(__file__).resolve().parents[4] / "plugins/modules").glob("*.py"))
COLLECTION = "dockpress.hosting"
KEPT = ("type", "elements", "choices", "required", "default")


@pytest.fixture(scope="module", autouse=True)
def loaders():
    init_plugin_loader([])


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


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_examples(path):
    doc, examples, _returns, _metadata = get_docstring(str(path), fragment_loader, collection_name=COLLECTION)
    tasks = yaml.safe_load(examples)
    own = [task[f"{COLLECTION}.{path.stem}"] or {} for task in tasks if f"{COLLECTION}.{path.stem}" in task]
    assert own, "no example runs the module itself"
    options = doc.get("options") or {}
    validator = ArgumentSpecValidator(spec(options))
    for given in own:
        assert validator.validate(filled(given, options)).error_messages == []
