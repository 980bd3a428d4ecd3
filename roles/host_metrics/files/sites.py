"""Prepares the sites of this host for being measured; runs on the host, standard library only.

Standard input: {"sites": {stack: site}, "credentials": path, "check": bool}. Every database gets an account of its own for the
mysqld exporter, that sees its state but no data. The passwords are made here and kept in the exporter's
configuration. Prints {"stacks": [those that are there], "changed": [...], "problems": [...], "digest": of the credentials,
"networks": digest of the identities of their networks, "kernel_log": whether it can be read}.
"""

import concurrent.futures
import configparser
import hashlib
import json
import os
import pathlib
import secrets
import subprocess
import sys

USER = "dockpress_exporter"
AS_ROOT = "MYSQL_PWD=$(cat /run/secrets/db_root_password) exec mariadb --user=root --protocol=socket --batch"
AS_EXPORTER = f'read -r MYSQL_PWD; export MYSQL_PWD; exec mariadb --user={USER} --host=127.0.0.1 --execute="SELECT 1"'
ACCOUNT = """CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY '{password}';
ALTER USER '{user}'@'%' IDENTIFIED BY '{password}' WITH MAX_USER_CONNECTIONS 5;
GRANT PROCESS, BINLOG MONITOR, SLAVE MONITOR ON *.* TO '{user}'@'%';
"""


def docker(*arguments, text=""):
    return subprocess.run(["docker", *arguments], input=text, capture_output=True, text=True, check=False)


def inside(stack, script, text):
    return docker("exec", "--interactive", f"{stack}-database-1", "sh", "-c", script, text=text)


def prepare(stack, password, check):
    """(whether an account was made, its password, what the database said against it)"""
    if password and inside(stack, AS_EXPORTER, password + "\n").returncode == 0:
        return False, password, ""
    if check:
        return True, password, ""
    new = secrets.token_urlsafe(24)
    done = inside(stack, AS_ROOT, ACCOUNT.format(user=USER, password=new))
    if done.returncode:
        return False, password, done.stderr.strip()[-300:] or f"mariadb ended with {done.returncode}"
    return True, new, ""


def explain(site, stack, words):
    if "Access denied" in words:
        remedy = (
            "wordpress_db_root_password is not the password of the database's root, which is set once, with the database. Set it "
            "to what it was, or set root's password in the database, and run playbooks/wordpress.yml for the site"
        )
    else:
        remedy = f"Look at the database's log (docker logs {stack}-database-1) and get it to answer"
    return (
        f"{site}: no account for the mysqld exporter could be made in its database, which is not measured: {words}. "
        f"{remedy}; then run playbooks/monitoring.yml again."
    )


def kernel_log(path="/dev/kmsg"):
    """Whether cAdvisor can learn of OOM kills: a host in a container has no such device, or another one in its place."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    device = os.fstat(descriptor).st_rdev
    os.close(descriptor)
    return device == os.makedev(1, 11)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def main():
    wanted = json.load(sys.stdin)
    path = pathlib.Path(wanted["credentials"])
    known = configparser.RawConfigParser()
    known.read(path)
    shown = docker("network", "ls", "--no-trunc", "--format", "{{.Name}} {{.ID}}").stdout
    networks = dict(line.split() for line in shown.splitlines())
    running = set(docker("ps", "--format", "{{.Names}}").stdout.split())
    stacks = [stack for stack in wanted["sites"] if {f"{stack}_front", f"{stack}_back"} <= networks.keys()]
    # A database that is stopped is none to complain of: a site that has moved away leaves one.
    reachable = [stack for stack in stacks if f"{stack}-database-1" in running]
    passwords = {stack: known.get(f"client.{stack}", "password", fallback="") for stack in stacks}
    changed, problems = [], []
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs = {stack: pool.submit(prepare, stack, passwords[stack], wanted["check"]) for stack in reachable}
    for stack, job in jobs.items():
        made, passwords[stack], words = job.result()
        changed += [stack] if made else []
        problems += [explain(wanted["sites"][stack], stack, words)] if words else []

    # The exporter wants a section `client`, though no target uses it.
    lines = ["[client]", "user = none", "password = none"]
    for stack in stacks:
        lines += [f"[client.{stack}]", f"user = {USER}", f"password = {passwords[stack]}"]
    text = "\n".join(lines) + "\n"
    if not wanted["check"] and (not path.exists() or path.read_text() != text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.parent.chmod(0o700)
        new = path.with_suffix(".new")
        new.write_text(text)
        new.chmod(0o444)
        new.replace(path)
    print(
        json.dumps(
            {
                "stacks": stacks,
                "changed": changed,
                "problems": problems,
                "digest": digest(text),
                # A site that was removed and made anew has other networks of the same names, to which nobody is connected.
                "networks": digest(
                    "".join(networks[f"{stack}_{end}"] for stack in stacks for end in ("front", "back"))
                ),
                "kernel_log": kernel_log(),
            }
        )
    )


if __name__ == "__main__":
    main()
