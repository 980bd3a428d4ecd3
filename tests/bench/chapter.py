"""The chapter's stack (files in chapter/) on the host of the benches, made of the same images as the sites there."""

from __future__ import annotations

import base64

import common

PORT = common.PORT + 11
SITE = "site01-localhost"
FILES = common.ROOT / "tests/bench/chapter"
IN_ITS_FOLDER = "cd /srv/chapter\n"
# What its operator types. Standard input is closed: `run` would eat the rest of the script.
INSTALL = (
    "docker compose run --rm wp core config --dbhost=mysql --dbname=wordpress --dbuser=wordpress --dbpass=bench </dev/null\n"
    "docker compose run --rm wp core install --url={url} --title=Bench --admin_user=admin --admin_password=bench "
    "--admin_email=admin@example.com --skip-email </dev/null\n"
)


def start() -> None:
    """Start it, with the code of WordPress in its web root and nothing else."""
    script = "mkdir -p /srv/chapter/web /srv/chapter/export\n" + IN_ITS_FOLDER
    script += "chown 33:33 web export\n"
    for path in sorted(FILES.iterdir()):
        script += f"base64 -d >{path.name} <<'END'\n{base64.b64encode(path.read_bytes()).decode()}\nEND\n"
    script += f"echo PORT={PORT} >.env\n"
    for name, container in (
        ("NGINX", "web"),
        ("WORDPRESS", "wordpress"),
        ("MARIADB", "database"),
        ("WORDPRESS_CLI", "cron"),
    ):
        script += f"echo {name}_IMAGE=$(docker inspect -f '{{{{.Config.Image}}}}' {SITE}-{container}-1) >>.env\n"
    script += "docker compose up --detach --wait --quiet-pull\n"
    script += "until docker compose logs wordpress | grep -q 'ready to handle'; do sleep 0.2; done\n"
    common.on_host(script)


def empty() -> None:
    """Back to code without configuration and an empty database."""
    common.on_host(
        IN_ITS_FOLDER + "rm -f web/wp-config.php\n"
        "docker compose exec -T mysql mariadb -uroot -pbench -e 'DROP DATABASE wordpress; CREATE DATABASE wordpress' </dev/null\n"
    )
