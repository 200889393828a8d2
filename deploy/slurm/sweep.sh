#!/usr/bin/env bash
#SBATCH --job-name=letheon
#SBATCH --nodes=2                 # <-- the first also drives the sweep
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4         # <--
#SBATCH --cpus-per-task=32        # <--
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@300       # five minutes before the end the driver stops as after Ctrl-C
#SBATCH --requeue
#SBATCH --open-mode=append
#
#   sbatch deploy/slurm/sweep.sh search_spaces/x.yaml my-sweep
#
# A Ray cluster inside one allocation, on the shared file system of the checkout. Requeued or submitted again, it resumes
# the sweep of that name.
set -euo pipefail

space="$1" name="$2"
checkout="${LETHEON_CHECKOUT:-$SLURM_SUBMIT_DIR}"
export LETHEON_ROOT="${LETHEON_ROOT:-$checkout/.letheon}"
export PATH="$checkout/.venv/bin:$PATH"

# A token for this cluster only: other users of these nodes can reach its ports.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$LETHEON_ROOT/slurm-$SLURM_JOB_ID.token"
mkdir -p "$LETHEON_ROOT"
(umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$RAY_AUTH_TOKEN_PATH")

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 20000))
srun --overlap --nodes=1 --ntasks=1 -w "$head" \
  ray start --head --port="$port" --dashboard-host=127.0.0.1 --disable-usage-stats --block &
pids=($!)
until srun --overlap --nodes=1 --ntasks=1 -w "$head" ray health-check --address "$head:$port" >/dev/null 2>&1; do sleep 2; done
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  srun --overlap --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" \
    ray start --address="$head:$port" --disable-usage-stats --block &
  pids+=($!)
fi

finish() { kill "${pids[@]}" 2>/dev/null || true; rm -f "$RAY_AUTH_TOKEN_PATH"; }
trap finish EXIT

if [ -e "$LETHEON_ROOT/sweeps/$name/spec.yaml" ]; then verb=(resume "$name"); else verb=(sweep "$space" --name "$name"); fi
srun --overlap --nodes=1 --ntasks=1 -w "$head" letheon "${verb[@]}" --address "$head:$port" &
driver=$!
trap 'kill -TERM "$driver"' TERM
code=0
wait "$driver" || code=$?
if kill -0 "$driver" 2>/dev/null; then # that wait ended with the signal, this one when the records are written
  code=0
  wait "$driver" || code=$?
fi
exit "$code"
