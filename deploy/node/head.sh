#!/usr/bin/env bash
# The head: the folder that all nodes share, and the tracking server. Running it again changes nothing.
#
# The server listens on this machine only and requires a password, which is generated here and stays here. Reach it from
# your machine with `ssh -L 5000:localhost:5000` and the two lines of ~/.config/letheon/tracking.env.
set -euo pipefail
umask 077

root="${LETHEON_ROOT:-/srv/letheon}"
settings=~/.config/letheon
port="${LETHEON_TRACKING_PORT:-5000}"

share() {
  sudo mkdir -p "$root"
  sudo chown "$(id -u):$(id -g)" "$root"
  chmod 755 "$root"
  sudo DEBIAN_FRONTEND=noninteractive apt-get -qq install -y nfs-kernel-server
  # Private networks only; the security group decides who may connect.
  echo "$root 10.0.0.0/8(rw,async,no_subtree_check) 172.16.0.0/12(rw,async,no_subtree_check)" |
    sudo tee /etc/exports.d/letheon.exports >/dev/null
  sudo exportfs -ra
}

secrets() {
  mkdir -p "$settings"
  [ -s "$settings/tracking.env" ] && return
  local password key
  password=$(head -c 24 /dev/urandom | base64 | tr -d '/+=')
  key=$(head -c 32 /dev/urandom | base64 | tr -d '/+=')
  cat >"$settings/tracking.env.new" <<EOF
MLFLOW_TRACKING_URI=http://localhost:$port
MLFLOW_TRACKING_USERNAME=admin
MLFLOW_TRACKING_PASSWORD=$password
EOF
  cat >"$settings/server.env" <<EOF
MLFLOW_AUTH_ADMIN_PASSWORD=$password
MLFLOW_FLASK_SERVER_SECRET_KEY=$key
MLFLOW_AUTH_CONFIG_PATH=$settings/auth.ini
MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
EOF
  cat >"$settings/auth.ini" <<EOF
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///$settings/auth.db
admin_username = admin
auth_cache_ttl_seconds = 60
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
EOF
  mv "$settings/tracking.env.new" "$settings/tracking.env"
}

serve() {
  local unit=~/.config/systemd/user/letheon-tracking.service
  mkdir -p "$(dirname "$unit")"
  cat >"$unit" <<EOF
[Unit]
Description=Letheon's tracking server

[Service]
Environment=LETHEON_ROOT=$root LETHEON_TRACKING_PORT=$port
ExecStart=/bin/bash $HOME/letheon/deploy/node/head.sh run
Restart=always

[Install]
WantedBy=default.target
EOF
  sudo loginctl enable-linger "$(id -un)"
  XDG_RUNTIME_DIR="/run/user/$(id -u)"
  export XDG_RUNTIME_DIR
  systemctl --user daemon-reload
  systemctl --user enable --now letheon-tracking
}

run() { # the server itself, in the foreground
  set -a
  # shellcheck source=/dev/null
  . "$settings/server.env"
  set +a
  exec "$HOME/letheon/.venv/bin/mlflow" server --app-name basic-auth --host 127.0.0.1 --port "$port" --workers 2 \
    --backend-store-uri "sqlite:///$root/mlflow.db" --artifacts-destination "$root/artifacts"
}

# All steps, or those that the arguments name: a cluster with a shared folder needs only `secrets serve`.
steps=("$@")
[ $# -gt 0 ] || steps=(share secrets serve)
for step in "${steps[@]}"; do "$step"; done
