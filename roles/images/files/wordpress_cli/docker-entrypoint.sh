#!/usr/bin/env bash
# "docker run IMAGE plugin list" means "wp plugin list": an option, or the name of a WP-CLI command, comes without wp.
set -euo pipefail
if [ "${1#-}" != "${1:-}" ] || { ! command -v "${1:-}" >/dev/null && wp help "$1" >/dev/null 2>&1; }; then
    set -- wp "$@"
fi
exec "$@"
