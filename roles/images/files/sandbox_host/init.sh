#!/usr/bin/env bash
# Makes the container's own cgroup hierarchies writable and becomes systemd.
set -euo pipefail
while read -r _ point type _; do
    case "$type" in
    cgroup | cgroup2) mount -o remount,bind,rw "$point" ;;
    esac
done </proc/mounts
# Without it systemd's credentials silently do not appear.
mount --make-rshared /
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    exec /sbin/init
fi
# A kernel with the old cgroup hierarchies.
exec /sbin/init SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 systemd.unified_cgroup_hierarchy=0
