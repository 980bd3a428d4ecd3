# One end of the fleet's metrics connection, in three steps. Arguments: step, folder, then what the step takes.
#   request FOLDER NAME ADDRESS CHECK   print a request where there is no fitting certificate (CHECK=1: only say so)
#   sign    FOLDER DAYS USE             standard input: a request; prints its certificate and the authority's
#   install FOLDER                      standard input: what `sign` printed
set -eu
step=$1 folder=$2
umask 022

case $step in
request)
    name=$3 address=$4 check=$5
    subject=$(printf '%s' "$name" | tr -c 'A-Za-z0-9.-' '-')
    if [ -s "$folder/tls.crt" ] && [ -s "$folder/ca.crt" ] && [ -s "$folder/tls.key" ] &&
        openssl x509 -in "$folder/tls.crt" -noout -checkend 2592000 >/dev/null &&
        openssl x509 -in "$folder/tls.crt" -noout -subject | grep -q "CN *= *$subject\$" &&
        { [ -z "$address" ] || openssl x509 -in "$folder/tls.crt" -noout -checkip "$address" | grep -q 'does match'; } &&
        openssl verify -CAfile "$folder/ca.crt" "$folder/tls.crt" >/dev/null 2>&1; then
        exit 0
    fi
    if [ "$check" = 1 ]; then
        echo "a certificate is wanted"
        exit 0
    fi
    # The outer folder closes the key to every user of the host; the user inside the container must be able to read it.
    install -d -m 0700 "$(dirname "$folder")"
    install -d -m 0755 "$folder"
    [ -s "$folder/tls.key" ] || openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$folder/tls.key" 2>/dev/null
    chmod 0444 "$folder/tls.key"
    names="DNS:$subject"
    [ -z "$address" ] || names="$names,IP:$address"
    openssl req -new -key "$folder/tls.key" -subj "/CN=$subject" -addext "subjectAltName=$names"
    ;;
sign)
    days=$3 use=$4
    install -d -m 0700 "$folder"
    # Hosts ask at the same time.
    exec 9>"$folder/lock"
    flock 9
    if [ ! -s "$folder/ca.crt" ]; then
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$folder/ca.key" 2>/dev/null
        chmod 0400 "$folder/ca.key"
        openssl req -x509 -new -key "$folder/ca.key" -days 7300 -subj "/CN=dockpress metrics" \
            -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign" -out "$folder/ca.crt.new"
        mv "$folder/ca.crt.new" "$folder/ca.crt"
    fi
    if [ "$use" = none ]; then
        cat "$folder/ca.crt"
        exit 0
    fi
    extensions=$(mktemp)
    trap 'rm -f "$extensions"' EXIT
    printf 'extendedKeyUsage=%s\nbasicConstraints=critical,CA:FALSE\n' "$use" >"$extensions"
    # A random serial number: a counter would be one more file.
    openssl x509 -req -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -set_serial "0x$(openssl rand -hex 16)" \
        -days "$days" -copy_extensions copy -extfile "$extensions" 2>/dev/null
    cat "$folder/ca.crt"
    ;;
install)
    cat >"$folder/new"
    openssl x509 -in "$folder/new" -out "$folder/tls.crt.new"
    awk '/BEGIN CERTIFICATE/ {n++} n == 2' "$folder/new" >"$folder/ca.crt.new"
    openssl verify -CAfile "$folder/ca.crt.new" "$folder/tls.crt.new" >/dev/null
    mv "$folder/ca.crt.new" "$folder/ca.crt"
    mv "$folder/tls.crt.new" "$folder/tls.crt"
    rm -f "$folder/new"
    ;;
esac
