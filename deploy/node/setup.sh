#!/usr/bin/env bash
# Every node: Letheon with its locked packages in ~/letheon/.venv. Running it again changes nothing.
set -euo pipefail

if [ ! -s ~/.ray/auth_token ]; then
  echo "$HOME/.ray/auth_token is missing: run 'ray get-auth-token --generate' where you run 'ray up'" >&2
  exit 1
fi
chmod 600 ~/.ray/auth_token
if ! command -v make >/dev/null || ! python3 -c 'import ensurepip' 2>/dev/null; then
  sudo apt-get -qq update
  sudo DEBIAN_FRONTEND=noninteractive apt-get -qq install -y make python3-venv nfs-common
fi
make -C ~/letheon environment
