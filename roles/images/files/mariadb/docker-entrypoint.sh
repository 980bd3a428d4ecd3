#!/usr/bin/env bash
# First start: makes the database, root's password, a database and a user from the environment, and runs what lies in
# /docker-entrypoint-initdb.d. MARIADB_X_FILE names a file that holds the value of MARIADB_X; MYSQL_X is understood too.
set -euo pipefail
shopt -s nullglob

say() { echo "$(date --rfc-3339=seconds) [Entrypoint]: $*" >&2; }
die() {
    say "ERROR: $*"
    exit 1
}

# The value of MARIADB_<name> or MYSQL_<name>, given itself or by file, into MARIADB_<name>.
setting() {
    local name=$1 variable value=${2:-} found=
    for variable in "MARIADB_$name" "MYSQL_$name"; do
        if [ "${!variable:-}" ] && file=${variable}_FILE && [ "${!file:-}" ]; then
            die "both $variable and $file are set; set one of them"
        fi
        file=${variable}_FILE
        if [ ! "$found" ] && [ "${!variable:-}" ]; then
            value=${!variable} found=1
        elif [ ! "$found" ] && [ "${!file:-}" ]; then
            [ -r "${!file}" ] || die "$file: ${!file} cannot be read"
            value=$(<"${!file}") found=1
        fi
        unset "$file"
    done
    printf -v "MARIADB_$name" '%s' "$value"
}

# As the text between quotes in an SQL statement.
quoted() {
    local text=${1//\\/\\\\}
    printf "'%s'" "${text//\'/\\\'}"
}
# As the name of a database.
named() { printf '`%s`' "${1//\`/\`\`}"; }

arguments=("$@")
[ "${1:0:1}" != - ] || arguments=(mariadbd "$@")

wants_help=
for argument in "${arguments[@]}"; do
    case "$argument" in -'?' | --help | --print-defaults | -V | --version) wants_help=1 ;; esac
done
case "${arguments[0]}" in mariadbd | mysqld) ;; *) wants_help=1 ;; esac
[ ! "$wants_help" ] || exec "${arguments[@]}"

if [ "$(id -u)" = 0 ]; then
    mkdir -p /run/mysqld
    find /var/lib/mysql /run/mysqld \! -user mysql -exec chown mysql: {} +
    exec setpriv --reuid=mysql --regid=mysql --clear-groups --inh-caps=-all -- "$BASH_SOURCE" "${arguments[@]}"
fi

# The values stand in a table below a line of dashes, after pages of help.
settings=$("${arguments[0]}" "${arguments[@]:1}" --verbose --help 2>/dev/null |
    awk '/^-+ -+$/ { table = 1 } table && ($1 == "datadir" || $1 == "socket") { print $1, $2 }')
datadir=$(sed -n 's/^datadir //p' <<<"$settings")
socket=$(sed -n 's/^socket //p' <<<"$settings")
datadir=${datadir%/}

# Built beside its place and moved there when it is complete: a start that is interrupted leaves no half database.
building=$datadir/.initialising
move_in() {
    for path in "$building"/* "$building"/.[!.]*; do
        [ "$path" = "$building/mysql" ] || [ "$path" = "$building/.complete" ] || mv "$path" "$datadir/"
    done
    # Last: it is what says that there is a database.
    mv "$building/mysql" "$datadir/mysql"
    rm -rf "$building"
}
if [ ! -d "$datadir/mysql" ] && [ -e "$building/.complete" ]; then
    move_in
fi

if [ ! -d "$datadir/mysql" ]; then
    setting ROOT_PASSWORD
    setting ROOT_PASSWORD_HASH
    setting ROOT_HOST %
    setting ALLOW_EMPTY_ROOT_PASSWORD
    setting RANDOM_ROOT_PASSWORD
    setting DATABASE
    setting USER
    setting PASSWORD
    setting PASSWORD_HASH
    if [ ! "$MARIADB_ROOT_PASSWORD$MARIADB_ROOT_PASSWORD_HASH$MARIADB_ALLOW_EMPTY_ROOT_PASSWORD$MARIADB_RANDOM_ROOT_PASSWORD" ]; then
        die "the database is empty and no password is given: set one of MARIADB_ROOT_PASSWORD, MARIADB_ROOT_PASSWORD_HASH," \
            "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD and MARIADB_RANDOM_ROOT_PASSWORD"
    fi
    if [ "$MARIADB_USER" ] && [ ! "$MARIADB_PASSWORD$MARIADB_PASSWORD_HASH" ]; then
        die "MARIADB_USER is set, MARIADB_PASSWORD and MARIADB_PASSWORD_HASH are not"
    fi
    rm -rf "$building"
    say "Initializing database files"
    mariadb-install-db --datadir="$building" --rpm --auth-root-authentication-method=normal --skip-test-db \
        --cross-bootstrap --skip-log-bin --old-mode='' >/dev/null
    say "Starting temporary server"
    "${arguments[@]}" --datadir="$building" --skip-networking --socket="$socket" --skip-slave-start \
        --loose-innodb-buffer-pool-load-at-startup=0 &
    server=$!
    client() { mariadb --no-defaults --protocol=socket --socket="$socket" --user=root --comments "$@"; }
    for _ in $(seq 300); do
        ! client --execute='SELECT 1' >/dev/null 2>&1 || break
        kill -0 "$server" 2>/dev/null || die "the temporary server did not start"
        sleep 0.1
    done
    client --execute='SELECT 1' >/dev/null || die "the temporary server does not answer"

    if [ ! "${MARIADB_INITDB_SKIP_TZINFO:-}" ]; then
        { echo 'SET @@session.sql_log_bin = 0;'; mariadb-tzinfo-to-sql --skip-write-binlog /usr/share/zoneinfo 2>/dev/null; } |
            client --database=mysql
    fi
    if [ "$MARIADB_RANDOM_ROOT_PASSWORD" ]; then
        MARIADB_ROOT_PASSWORD=$(pwgen --numerals --capitalize --symbols --remove-chars="'\\" -1 32)
        say "GENERATED ROOT PASSWORD: $MARIADB_ROOT_PASSWORD"
    fi
    # IDENTIFIED BY [PASSWORD] for root and the user; nothing where the password may be empty.
    identified() { # password, hash
        if [ "$2" ]; then printf 'IDENTIFIED BY PASSWORD %s' "$(quoted "$2")"; elif [ "$1" ]; then printf 'IDENTIFIED BY %s' "$(quoted "$1")"; fi
    }
    root=$(identified "$MARIADB_ROOT_PASSWORD" "$MARIADB_ROOT_PASSWORD_HASH")
    health=$(pwgen --numerals --capitalize -1 32)
    say "Securing system users"
    {
        echo "SET @@session.sql_log_bin = 0; SET @@session.sql_mode = REPLACE(@@session.sql_mode, 'NO_BACKSLASH_ESCAPES', '');"
        echo "DROP USER IF EXISTS 'root'@'127.0.0.1', 'root'@'::1', ''@'localhost';"
        for host in localhost 127.0.0.1 ::1; do
            echo "CREATE USER IF NOT EXISTS 'healthcheck'@'$host' IDENTIFIED BY '$health';"
        done
        if [ "$MARIADB_ROOT_HOST" != localhost ]; then
            echo "CREATE USER IF NOT EXISTS 'root'@$(quoted "$MARIADB_ROOT_HOST") $root;"
            echo "GRANT ALL ON *.* TO 'root'@$(quoted "$MARIADB_ROOT_HOST") WITH GRANT OPTION;"
        fi
        [ ! "$MARIADB_DATABASE" ] || echo "CREATE DATABASE IF NOT EXISTS $(named "$MARIADB_DATABASE");"
        if [ "$MARIADB_USER" ]; then
            echo "CREATE USER $(quoted "$MARIADB_USER")@'%' $(identified "$MARIADB_PASSWORD" "$MARIADB_PASSWORD_HASH");"
            # An underscore in the name stands for itself.
            [ ! "$MARIADB_DATABASE" ] ||
                echo "GRANT ALL ON $(named "${MARIADB_DATABASE//_/\\_}").* TO $(quoted "$MARIADB_USER")@'%';"
        fi
        [ ! "$root" ] || echo "ALTER USER 'root'@'localhost' $root;"
    } | client
    printf '[mariadb-client]\nport=3306\nsocket=%s\nuser=healthcheck\npassword=%s\n' "$socket" "$health" \
        >"$building/.my-healthcheck.cnf"
    chmod 0600 "$building/.my-healthcheck.cnf"

    # Root's password is needed from here on; it goes by environment of this one child, never by argument.
    client() {
        MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb --no-defaults --protocol=socket --socket="$socket" --user=root --comments \
            ${MARIADB_DATABASE:+--database="$MARIADB_DATABASE"} "$@"
    }
    docker_process_sql() { client "$@"; }
    for file in /docker-entrypoint-initdb.d/*; do
        say "running $file"
        case "$file" in
        *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
        *.sql) client <"$file" ;;
        *.sql.gz) gunzip --stdout "$file" | client ;;
        *.sql.xz) xz --decompress --stdout "$file" | client ;;
        *.sql.zst) zstd --decompress --stdout "$file" | client ;;
        *) say "ignoring $file" ;;
        esac
    done
    say "Stopping temporary server"
    kill "$server"
    wait "$server" || true
    touch "$building/.complete"
    move_in
    unset MARIADB_ROOT_PASSWORD MARIADB_PASSWORD health root
    say "MariaDB init process done. Ready for start up."
fi

if [ "${MARIADB_AUTO_UPGRADE:-}" ] && [ "$(mariadbd --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -1)" != \
    "$(grep -oE '^[0-9]+\.[0-9]+\.[0-9]+' "$datadir/mariadb_upgrade_info" 2>/dev/null || true)" ]; then
    say "MARIADB_AUTO_UPGRADE is not supported by this image; run mariadb-upgrade in the container"
fi
exec "${arguments[@]}"
