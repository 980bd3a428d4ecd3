#!/usr/bin/env bash
# What the official image does at its start: puts WordPress into an empty web root, and a wp-config.php beside it when
# WORDPRESS_* is set. Called as docker-ensure-installed.sh it does that and ends.
set -euo pipefail
called_as=$(basename "$0")

if [[ "$called_as" == docker-ensure-installed.sh || "${1:-}" == php-fpm* ]]; then
    owner=www-data:www-data
    [ "$(id -u)" = 0 ] || owner=$(id -u):$(id -g)
    if [ ! -e index.php ] && [ ! -e wp-includes/version.php ]; then
        if [ "$(id -u)" = 0 ] && [ "$(stat -c %u:%g .)" = 0:0 ]; then
            chown "$owner" .
        fi
        echo >&2 "WordPress not found in $PWD - copying now..."
        # Plugins and themes that are there already (mounted, or of another version) stay as they are.
        excluded=()
        for path in /usr/src/wordpress/wp-content/*/*/; do
            path=${path%/}
            if [ -e "$PWD/${path#/usr/src/wordpress/}" ]; then
                excluded+=(--exclude "./${path#/usr/src/wordpress/}")
            fi
        done
        as_owner=(--owner="${owner%%:*}" --group="${owner##*:}")
        tar --create --directory /usr/src/wordpress "${as_owner[@]}" "${excluded[@]}" . |
            tar --extract --no-overwrite-dir $([ "$(id -u)" = 0 ] || echo --no-same-owner)
        echo >&2 "Complete! WordPress has been successfully copied to $PWD"
    fi
    if [ ! -s wp-config.php ] && compgen -A variable WORDPRESS_ >/dev/null; then
        echo >&2 "No wp-config.php in $PWD - copying wp-config-docker.php"
        # Every "put your unique phrase here" becomes a random value of its own.
        awk '/put your unique phrase here/ {
                command = "head -c1M /dev/urandom | sha1sum | cut -d\\  -f1"
                command | getline random
                close(command)
                gsub("put your unique phrase here", random)
            } { print }' /usr/src/wordpress/wp-config-docker.php >wp-config.php
        if [ "$(id -u)" = 0 ]; then
            chown "$owner" wp-config.php
        fi
    fi
fi

if [ "$called_as" = docker-ensure-installed.sh ]; then
    exit 0
fi
exec "$@"
