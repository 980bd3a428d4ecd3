#!/bin/sh
# Runs the site's due events, once in a while, each in a process of its own: one that exits,
# dies or hangs is seen, and does not take the others with it.
. /etc/dockpress/cron/settings.sh # sets site, url, lock, interval, limit
skipped=0 events=0 failures=0 success=1 failed_at=0 stop=
# Of before this start, for the lock may be held from the first tick on.
looked=$(sed -n 's/^dockpress_cron_last_tick_timestamp_seconds{.*} //p' /run/dockpress/metrics.prom)
looked=${looked:-0}

trap 'stop=1' TERM INT

wp_file() { timeout "$limit" wp --quiet --url="$1" eval-file "/etc/dockpress/cron/$2" /tmp/outcome 9<&-; }

# In place and always of one length: the file is mounted by itself, so it cannot be replaced, and must never be seen empty.
report() {
    text=$(printf '%s\n' \
        '# HELP dockpress_cron_last_tick_timestamp_seconds When due events were last looked for.' \
        '# TYPE dockpress_cron_last_tick_timestamp_seconds gauge' \
        "dockpress_cron_last_tick_timestamp_seconds{site=\"$site\"} $looked" \
        '# HELP dockpress_cron_tick_success Whether the last look at the due events succeeded.' \
        '# TYPE dockpress_cron_tick_success gauge' \
        "dockpress_cron_tick_success{site=\"$site\"} $success" \
        '# HELP dockpress_cron_skipped_ticks_total Ticks that found the lock of the site held.' \
        '# TYPE dockpress_cron_skipped_ticks_total counter' \
        "dockpress_cron_skipped_ticks_total{site=\"$site\"} $skipped" \
        '# HELP dockpress_cron_events_total Events that were run.' \
        '# TYPE dockpress_cron_events_total counter' \
        "dockpress_cron_events_total{site=\"$site\"} $events" \
        '# HELP dockpress_cron_event_failures_total Events that did not come to their end.' \
        '# TYPE dockpress_cron_event_failures_total counter' \
        "dockpress_cron_event_failures_total{site=\"$site\"} $failures" \
        '# HELP dockpress_cron_last_failure_timestamp_seconds When an event last failed; 0 for never since the start.' \
        '# TYPE dockpress_cron_last_failure_timestamp_seconds gauge' \
        "dockpress_cron_last_failure_timestamp_seconds{site=\"$site\"} $failed_at")
    printf '%s\n%*s\n' "$text" "$((3000 - ${#text}))" '' | dd of=/run/dockpress/metrics.prom bs=4096 conv=notrunc 2>/dev/null
}

run_events() {
    count=0
    while [ "$count" -lt 100 ] && [ -z "$stop" ]; do
        touch /tmp/beat
        echo none >/tmp/outcome
        wp_file "$1" event.php
        read -r outcome hook </tmp/outcome
        case "$outcome" in
        none) return ;;
        kept)
            success=0
            echo "Event $hook of $1 was not run: it cannot be taken out of the list" >&2
            return
            ;;
        done) ;;
        *)
            failures=$((failures + 1))
            failed_at=$(date +%s)
            echo "Event $hook of $1 did not come to its end" >&2
            ;;
        esac
        events=$((events + 1))
        count=$((count + 1))
    done
}

tick() {
    : >/tmp/outcome
    if ! wp_file "$url" due.php; then
        success=0
        return
    fi
    success=1
    cp /tmp/outcome /tmp/due
    while read -r due <&8; do
        run_events "$due"
    done 8</tmp/due
}

while [ -z "$stop" ]; do
    touch /tmp/beat
    # Uploads and pictures whose process was ended while it worked on them. Sessions are PHP's own to end.
    find /var/tmp -maxdepth 1 -type f ! -name 'sess_*' -mmin +60 -delete
    # Before the first deployment has finished there is no code and no configuration.
    if [ -f /var/www/html/wp-includes/version.php ]; then
        [ -e "$lock" ] || : >"$lock"
        exec 9<"$lock"
        if flock -n 9; then
            tick
            looked=$(date +%s)
        else
            skipped=$((skipped + 1))
        fi
        exec 9<&-
        report
    fi
    [ -n "$stop" ] || { sleep "$interval" & wait $!; }
done
