# Copyright (c) 2026, the dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Docker daemon.json may hold, and what a change of it costs: nothing, a reload, or a restart."""

from __future__ import annotations

import json
import re
import shlex

# The environment file of the engine's unit, on Debian and in Docker's own package of old.
ENVIRONMENT_FILE = "/etc/default/docker"

# Keys that dockerd takes over on SIGHUP (its own documentation, "Configuration reload behavior").
RELOADABLE = frozenset(
    {
        "allow-nondistributable-artifacts",
        "authorization-plugins",
        "debug",
        "default-runtime",
        "features",
        "insecure-registries",
        "labels",
        "live-restore",
        "max-concurrent-downloads",
        "max-concurrent-uploads",
        "max-download-attempts",
        "registry-mirrors",
        "runtimes",
        "shutdown-timeout",
    }
)

# Mappings whose values dockerd wants as strings, whatever they look like.
STRING_MAPS = ("log-opts", "exec-opts", "default-network-opts", "proxies")

# `dockerd --validate` accepts any option of a log driver; the engine then refuses to start.
LOG_OPTIONS = {
    "local": {"max-size", "max-file", "compress", "mode", "max-buffer-size"},
    "json-file": {
        "max-size",
        "max-file",
        "compress",
        "labels",
        "labels-regex",
        "env",
        "env-regex",
        "tag",
        "mode",
        "max-buffer-size",
    },
    "journald": {"tag", "labels", "labels-regex", "env", "env-regex", "mode", "max-buffer-size"},
}


def _as_string(value):
    """Scalars as dockerd reads them in a map of strings; mappings and lists all the way down."""
    if isinstance(value, dict):
        return {key: _as_string(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_string(item) for item in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


SIZE = re.compile(r"(?=.*[1-9])\d+(\.\d+)? ?[kmgtp]?i?b?", re.IGNORECASE)
TRUTH = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


def check_log_options(driver: str, options: dict[str, str]) -> None:
    """Values with which the engine starts, and no container does.

    :raises ValueError: names the option and what to write.
    """
    if driver not in ("local", "json-file"):
        return
    for name in ("max-size", "max-buffer-size"):
        if name in options and not SIZE.fullmatch(str(options[name])):
            raise ValueError(f"log-opts: {name}: {options[name]!r} is no size; write for example 10m.")
    if not re.fullmatch(r"[1-9]\d*", str(options.get("max-file", "1"))):
        raise ValueError(f"log-opts: max-file: {options['max-file']!r}; write a number from 1 on.")
    # The driver local compresses unless told otherwise.
    compress = str(options.get("compress", "true" if driver == "local" else "false")).lower()
    if compress not in TRUTH:
        raise ValueError(f"log-opts: compress: {compress!r}; write true or false.")
    files = int(options.get("max-file", "5" if driver == "local" else "1"))
    if TRUTH[compress] and (files < 2 or (driver == "json-file" and "max-size" not in options)):
        raise ValueError(
            "log-opts: the engine compresses only files that it has put aside; write max-file: 2 or more and a max-size, or compress: false."
        )


def without_nulls(value):
    """Mappings without the keys that are null (they unset a default), all the way down."""
    if isinstance(value, dict):
        return {str(key): without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def normalise(config: dict) -> dict:
    """The configuration with its maps of strings made of strings, and without keys that are null (they unset a default).

    :raises ValueError: names the key that dockerd could not take, and what to write.
    """
    result = {}
    for key, value in without_nulls(config).items():
        if isinstance(value, str) and value.strip().lower() in ("true", "false", "yes", "no"):
            raise ValueError(f"{key}: {value!r} is a text; write {key}: true or {key}: false, without quotes.")
        result[key] = _as_string(value) if key in STRING_MAPS else value
    driver = result.get("log-driver", "json-file")
    options = result.get("log-opts", {})
    if not isinstance(options, dict):
        raise ValueError("log-opts: has to be a mapping of option to value.")
    unknown = sorted(set(options) - LOG_OPTIONS.get(driver, set(options)))
    if unknown:
        raise ValueError(
            f"log-opts: the log driver {driver} has no option {', '.join(unknown)}; it has "
            f"{', '.join(sorted(LOG_OPTIONS[driver]))}. With such an option no container would start."
        )
    check_log_options(driver, options)
    if any(str(host).startswith("tcp://") for host in result.get("hosts", [])) and not result.get("tlsverify"):
        raise ValueError("hosts: a tcp:// socket without tlsverify: true gives root to everyone who reaches it.")
    return result


def render(config: dict) -> str:
    """The file's text: sorted, so that the order of the variables makes no difference."""
    return json.dumps(config, indent=2, sort_keys=True) + "\n"


def differing(before: dict, after: dict) -> list[str]:
    """Names of the top-level keys whose values differ."""
    return sorted(key for key in set(before) | set(after) if before.get(key, ...) != after.get(key, ...))


def action_for(keys: list[str], after: dict) -> str:
    """What the engine needs after these keys changed: V(none), V(reload) or V(restart).

    A reload takes over what stands in the file; a key that no longer does keeps its value in most cases until a restart.
    """
    if not keys:
        return "none"
    return "reload" if set(keys) <= RELOADABLE & set(after) else "restart"


def unit_flags(exec_start: str, environment: str = "") -> list[str]:
    """The flags that a systemd unit gives dockerd, out of C(systemctl show -p ExecStart docker).

    :param environment: text of the unit's environment file, for the words that systemd expands; what it does not say expands to nothing.
    """
    marker = "argv[]="
    if marker not in exec_start:
        return []
    command = exec_start.split(marker, 1)[1].split(" ; ", 1)[0]
    values = dict(re.findall(r"(?m)^\s*(\w+)=(.*?)\s*$", environment))
    flags: list[str] = []
    for word in shlex.split(command)[1:]:
        flags += " ".join(shlex.split(values.get(word[1:], ""))).split() if word.startswith("$") else [word]
    return flags
