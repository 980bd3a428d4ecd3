#!/usr/bin/env bash
# healthcheck.sh --connect --innodb_initialized: every named test must pass. The user `healthcheck` has no rights.
set -uo pipefail
datadir=/var/lib/mysql

query() {
    local extra=()
    [ ! -r "$datadir/.my-healthcheck.cnf" ] || extra=(--defaults-extra-file="$datadir/.my-healthcheck.cnf")
    mariadb "${extra[@]}" --batch --skip-column-names "$@"
}

# Over TCP: the server that initialises the database listens on its socket only. Who asks does not matter.
connect() {
    local output
    output=$(query --host=localhost --protocol=tcp --execute='SELECT 1' 2>&1) || ! grep -qF "Can't connect" <<<"$output"
}

innodb_initialized() {
    [ "$(query --execute="SELECT 1 FROM information_schema.ENGINES WHERE engine = 'innodb'
        AND support IN ('YES', 'DEFAULT', 'ENABLED')")" = 1 ]
}

innodb_buffer_pool_loaded() {
    [[ "$(query --execute="SELECT variable_value FROM information_schema.GLOBAL_STATUS
        WHERE variable_name = 'Innodb_buffer_pool_load_status'")" == *'load completed'* ]]
}

if [ $# = 0 ]; then
    echo "healthcheck.sh: name at least one test: --connect, --innodb_initialized, --innodb_buffer_pool_loaded" >&2
    exit 1
fi
for argument in "$@"; do
    case "$argument" in
    --datadir=*) datadir=${argument#*=} ;;
    --connect | --innodb_initialized | --innodb_buffer_pool_loaded)
        if ! "${argument#--}"; then
            echo "healthcheck.sh: ${argument#--} failed" >&2
            exit 1
        fi
        ;;
    *)
        echo "healthcheck.sh: unknown test $argument" >&2
        exit 1
        ;;
    esac
done
