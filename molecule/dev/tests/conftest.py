"""What the tests of this scenario share."""

from __future__ import annotations

import grp
import os
import pathlib
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import engine
import pytest

import docs

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, os.environ["ANSIBLE_COLLECTIONS_PATH"])

INVENTORIES = f"{ROOT}/molecule/shared/inventory/,{ROOT}/molecule/dev/inventory/"


class Here:
    """The sandbox, the sites, and the site on this machine."""

    def __init__(self) -> None:
        os.environ["ANSIBLE_INVENTORY"] = INVENTORIES
        self.sandbox = os.environ["SANDBOX_NAME"]
        self.port_base = int(os.environ["SANDBOX_PORT_BASE"])
        # The same as `dev_environment` of the inventory, which converge uses.
        self.environment = {
            "DEV_DIR": f"{os.environ['SANDBOX_DIR']}/dev-{self.sandbox}",
            "DEV_PORT": str(self.port_base + 50),
            "DEV_UID": "12345",
            "DEV_IMAGES": "build",
            "ARGS": "-e '{\"wordpress_php_workers\": 2}'",
        }
        self.folder = pathlib.Path(self.environment["DEV_DIR"])
        self.port = int(self.environment["DEV_PORT"])
        self.uid = int(self.environment["DEV_UID"])

    def docs(self, tag: str, **variables: str) -> str:
        """Run a block of the pages for the site on this machine; its output."""
        return docs.run(tag, **(self.environment | variables)).stdout

    def playbook(self, name: str, *arguments: str, check: bool = True, **variables: str) -> str:
        """Run a playbook of the collection; its output, in one line, for Ansible folds what it says."""
        done = subprocess.run(
            ["ansible-playbook", f"dockpress.hosting.{name}", *arguments],
            cwd=ROOT,
            env=os.environ | self.environment | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) == check, done.stdout
        return " ".join(done.stdout.split())

    def wp(self, *arguments: str, stdin: str = "") -> str:
        """WP-CLI of the site on this machine."""
        return self._run(["docker", "exec", "-i", f"{self.folder.name}-cron-1", "wp", *arguments], stdin)

    def site_wp(self, site: str, *arguments: str, stdin: str = "") -> str:
        """WP-CLI of a site of the inventory."""
        host = {"shop.localhost": "web1", "staging.localhost": "web2"}[site]
        container = site.replace(".", "-") + "-cron-1"
        return self._run(
            ["docker", "exec", "-i", f"{self.sandbox}-{host}", "docker", "exec", "-i", container, "wp", *arguments],
            stdin,
        )

    @staticmethod
    def _run(command: list[str], stdin: str) -> str:
        done = engine.run(command, input=stdin, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def here() -> Here:
    return Here()


class Developer:
    """A user of this machine who may talk to the engine, and is not root."""

    # The Python of the virtual environment may lie in root's own folder. It may be read, and nothing more.
    AS = ("--init-groups", "--no-new-privs", "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")

    def __init__(self, name: str, home: pathlib.Path) -> None:
        self.name, self.home = name, home
        group = grp.getgrgid(pathlib.Path("/var/run/docker.sock").stat().st_gid).gr_name
        command = ["useradd", "--create-home", "--home-dir", str(home), "--groups", group, name]
        subprocess.run(command, check=True)
        self.uid = pwd.getpwnam(name).pw_uid

    def docs(self, tag: str, check: bool = True, **variables: str) -> str:
        """Run a block of the pages as this user; its output."""
        prefix = ("setpriv", f"--reuid={self.name}", f"--regid={self.name}", *self.AS)
        return docs.run(tag, check=check, prefix=prefix, HOME=str(self.home), **variables).stdout

    def remove(self) -> None:
        subprocess.run(["userdel", "--remove", self.name], check=True)


@pytest.fixture
def developer(here: Here) -> Iterator[Developer]:
    one = Developer(f"dev-{here.sandbox}"[:32], pathlib.Path(tempfile.gettempdir()) / f"dev-{here.sandbox}")
    yield one
    one.remove()
