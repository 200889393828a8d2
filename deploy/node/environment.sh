# shellcheck shell=bash
# Sourced on every node before Ray starts: what jobs and workers inherit. Holds no secret; those are in files of mode 0600.
export PATH="$HOME/letheon/.venv/bin:$PATH"
export LETHEON_ROOT="${LETHEON_ROOT:-/srv/letheon}"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$HOME/.ray/auth_token"
# Only the head has it: the address of the tracking server, and who may write there.
if [ -f "$HOME/.config/letheon/tracking.env" ]; then
  set -a
  # shellcheck source=/dev/null
  . "$HOME/.config/letheon/tracking.env"
  set +a
fi
