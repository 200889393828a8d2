#!/usr/bin/env bash
# A worker: mounts the head's folder under the same name. The first argument is the head's address.
set -euo pipefail

root="${LETHEON_ROOT:-/srv/letheon}"
mountpoint -q "$root" && exit
sudo mkdir -p "$root"
# hard: a trial waits for a restarting head instead of failing. noac would turn every file access into a request.
sudo mount -t nfs4 -o hard,noatime,actimeo=3 "$1:$root" "$root"
