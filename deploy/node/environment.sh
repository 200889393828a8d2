# shellcheck shell=bash
# Sourced on every node before Ray starts; jobs and workers inherit it. It has no secrets: those are in files of mode 0600.
export PATH="$HOME/letheon/.venv/bin:$PATH"
export LETHEON_ROOT="${LETHEON_ROOT:-/srv/letheon}"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$HOME/.ray/auth_token"
# On the head only: the address and account of the tracking server.
if [ -f "$HOME/.config/letheon/tracking.env" ]; then
  set -a
  # shellcheck source=/dev/null
  . "$HOME/.config/letheon/tracking.env"
  set +a
fi
