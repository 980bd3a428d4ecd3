"""A site to try the modules on: modules are run on its host, effects are read by SQL and HTTP.

Through Ansible, as an operator runs them, go check, apply and apply again (``Live.rhythm``), and whatever carries a file. Single calls
run the module's own program on the host: the same code, without the second or two that each start of Ansible costs.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import pathlib
import subprocess
import tarfile
import tempfile
import urllib.parse

import ansible.module_utils
import engine

# Inventories of the scenario, as molecule gives them to Ansible; other ones for work on a single site by hand.
INVENTORIES = os.environ.get(
    "WP_LIVE_INVENTORIES",
    f"{os.environ.get('MOLECULE_SCENARIO_DIRECTORY', '')}/../shared/inventory/:{os.environ.get('MOLECULE_SCENARIO_DIRECTORY', '')}/inventory/",
).split(":")
INVENTORY_ARGUMENTS = [part for path in INVENTORIES for part in ("-i", path)]

CARRYING = ("wp_core", "wp_plugin", "wp_site", "wp_theme")
COLLECTION = "ansible_collections/dockpress/hosting/plugins"
ROOT = pathlib.Path(__file__).resolve().parents[3]


def inside_json(text: str) -> str:
    """How ``json.dumps`` writes a text, without the quotes around it."""
    return json.dumps(text)[1:-1]


class Host:
    """A Docker host on which module programs run. ``prefix``: the command that reaches it, empty for this machine."""

    def __init__(self, prefix: list[str], python: str = "python3", folder: str = "/var/tmp/dockpress-modules") -> None:
        self.prefix = prefix
        self.python = ["env", f"PYTHONPATH={folder}", python, "-m"]
        tree = io.BytesIO()
        with tarfile.open(fileobj=tree, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("ansible/__init__.py"))
            archive.add(pathlib.Path(ansible.module_utils.__file__).parent, "ansible/module_utils")
            for name in ("modules", "module_utils"):
                archive.add(ROOT / "plugins" / name, f"{COLLECTION}/{name}")
        script = 'rm -rf "$1" && mkdir -p "$1" && tar -x -C "$1"'
        subprocess.run([*prefix, "sh", "-ec", script, "sh", folder], input=tree.getvalue(), check=True)

    def start(self, module: str, arguments: dict, check: bool = False) -> subprocess.Popen:
        """The running module; ``end`` waits for it."""
        given = arguments | {"_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": "/var/tmp"}
        command = [*self.prefix, *self.python, f"{COLLECTION.replace('/', '.')}.modules.{module}"]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode())
        process.stdin.close()
        process.stdin = None
        return process

    @staticmethod
    def end(process: subprocess.Popen) -> dict:
        """The module's result, with ``failed`` in any case."""
        out, err = process.communicate(timeout=600)
        try:
            result = json.loads(out.decode().strip().splitlines()[-1])
        except (ValueError, IndexError) as error:
            raise AssertionError(out.decode() + err.decode()) from error
        return {"failed": process.returncode != 0} | result


class Live:
    """One site: an inventory host whose variables name its containers."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.common: dict[str, str] = {}
        names = ("prefix", "python", "cli", "fpm", "image", "path", "url", "connect", "database", "schema", "sql")
        shown = "{{ {" + ", ".join(f"'live_{name}': live_{name}" for name in names) + "} }}"
        self.vars = self._play({"ansible.builtin.debug": {"msg": shown}})[0]["msg"]
        # How a command reaches the Docker engine of the site's host.
        self.docker = [*self.vars["live_prefix"], "docker"]
        self.runner = Host(self.vars["live_prefix"], self.vars["live_python"])
        self.common = {
            "container": self.vars["live_cli"],
            "fpm_container": self.vars["live_fpm"],
            "image": self.vars["live_image"],
            "path": self.vars["live_path"],
            "url": self.vars["live_url"],
        }
        self.url = self.vars["live_url"]
        self.connect = self.vars["live_connect"]

    def batch(self, *calls: tuple[str, bool, dict]) -> list[dict]:
        """Results of (module, check mode, arguments), all from one start of Ansible. A failure is a result too."""
        tasks = [
            {
                f"dockpress.hosting.{module}": arguments,
                "check_mode": check,
                "ignore_errors": True,
                "no_log": False,
            }
            for module, check, arguments in calls
        ]
        return self._play(*tasks)

    def _play(self, *tasks: dict) -> list[dict]:
        # As operators write it: the containers are named once, for the whole action group.
        defaults = {"group/dockpress.hosting.wp": self.common}
        play = [{"hosts": self.host, "gather_facts": False, "module_defaults": defaults, "tasks": list(tasks)}]
        environment = os.environ | {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_NOCOLOR": "1"}
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as playbook:
            json.dump(play, playbook)
            playbook.flush()
            command = ["ansible-playbook", *INVENTORY_ARGUMENTS, playbook.name]
            said = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        try:
            answer = json.loads(said.stdout[said.stdout.index("{") :])
            return [task["hosts"][self.host] for task in answer["plays"][0]["tasks"]]
        except (ValueError, KeyError, IndexError) as error:
            raise AssertionError(said.stdout + said.stderr) from error

    def run(self, module: str, *, check: bool = False, **arguments: object) -> dict:
        """The module's result; a failure is a result too."""
        if module in CARRYING and '"source": "/' in json.dumps(arguments):
            # A file on the control node: its action plugin carries it.
            return self.batch((module, check, arguments))[0]
        return self.runner.end(self.runner.start(module, self.common | arguments, check))

    def ok(self, module: str, *, check: bool = False, **arguments: object) -> dict:
        """The result of a run that must go well."""
        result = self.run(module, check=check, **arguments)
        assert not result.get("failed"), json.dumps(result, indent=2)
        return result

    def fails(self, module: str, **arguments: object) -> dict:
        """The result of a run that must fail."""
        result = self.run(module, **arguments)
        assert result.get("failed"), json.dumps(result, indent=2)
        return result

    def rhythm(self, module: str, **arguments: object) -> dict:
        """Check, apply, check, apply again: predicted, done, and nothing left to do. The result of the run that did it."""
        predicted, done, again = self.batch(
            (module, True, arguments), (module, False, arguments), (module, False, arguments)
        )
        for result in (predicted, done, again):
            assert not result.get("failed"), json.dumps(result, indent=2)
        assert predicted["changed"], "nothing to do"
        assert done["changed"]
        assert predicted["changes"] == done["changes"]
        assert not again["changed"], json.dumps(again, indent=2)
        return done

    def inside(self, container: str, *command: str, stdin: bytes | None = None, check: bool = True) -> str:
        """Run a command in a container of the site."""
        options = ["-i"] if stdin is not None else []
        said = engine.run([*self.docker, "exec", *options, container, *command], input=stdin, check=check)
        return said.stdout.decode("utf-8", "replace")

    def wp(self, *arguments: str, check: bool = True) -> str:
        """What plain WP-CLI says."""
        return self.inside(self.vars["live_cli"], "wp", f"--path={self.common['path']}", *arguments, check=check)

    def sh(self, script: str) -> str:
        """Run a shell script in the site's web root."""
        return self.inside(self.vars["live_cli"], "sh", "-ec", f"cd {self.common['path']}; {script}")

    def write(self, path: str, content: str) -> None:
        """Write a file below the web root."""
        self.inside(
            self.vars["live_cli"],
            "sh",
            "-ec",
            'mkdir -p "$(dirname "$1")"; cat >"$1"',
            "sh",
            f"{self.common['path']}/{path}",
            stdin=content.encode(),
        )

    def sql(self, query: str) -> str:
        """What the database says, read by its own client as its root: tab-separated rows without a head."""
        return self.inside(self.vars["live_database"], "sh", "-c", self.vars["live_sql"], "sh", query).rstrip("\n")

    def option(self, name: str) -> str:
        """An option as it is stored."""
        packed = self.sql(f"SELECT HEX(option_value) FROM wp_options WHERE option_name = '{name}'")
        return bytes.fromhex(packed).decode()

    def get(self, path: str = "/", method: str = "GET", form: dict | None = None) -> tuple[int, str, str]:
        """Status, Location and text of a page."""
        connection = http.client.HTTPConnection(self.connect, timeout=60)
        headers = {
            "Host": urllib.parse.urlsplit(self.url).netloc,
            "Cookie": "wordpress_test_cookie=WP%20Cookie%20check",
        }
        body = None
        if form is not None:
            method, body = "POST", urllib.parse.urlencode(form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace")
        connection.close()
        return response.status, response.getheader("Location") or "", text

    def login(self, user: str, password: str) -> bool:
        """Whether the real login form lets them in."""
        status, location, _text = self.get("/wp-login.php", form={"log": user, "pwd": password, "testcookie": "1"})
        return status == 302 and "wp-login" not in location
