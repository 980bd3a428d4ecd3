#!/bin/sh
# Runs what lies in /docker-entrypoint.d before nginx starts: *.envsh is read, *.sh is run.
set -e
case "$1" in
nginx | nginx-debug)
    for script in $(find /docker-entrypoint.d/ -follow -type f | sort -V); do
        case "$script" in
        *.envsh) . "$script" ;;
        *.sh) if [ -x "$script" ]; then "$script"; fi ;;
        esac
    done
    ;;
esac
exec "$@"
