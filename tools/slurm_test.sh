#!/usr/bin/env bash
# Evaluate a checkpoint under Slurm, one task a GPU.
set -euo pipefail

if [ $# -lt 4 ]; then
    cat >&2 <<USAGE
usage: $0 PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test.py]
environment: GPUS (8), GPUS_PER_NODE (8, or GPUS where that is less), CPUS_PER_TASK (5),
    SRUN_ARGS, PY_ARGS (words, split at spaces), PYTHON (python)
USAGE
    exit 2
fi
partition=$1
job_name=$2
config=$3
checkpoint=$4
shift 4

root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" # a clone works without being installed

gpus=${GPUS:-8}
gpus_per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
read -ra srun_args <<<"${SRUN_ARGS:-}"
read -ra py_args <<<"${PY_ARGS:-}"

# ${array[@]+...}: an empty array is "unset" to bash before 4.4
exec srun -p "$partition" \
    --job-name="$job_name" \
    --gres="gpu:$gpus_per_node" \
    --ntasks="$gpus" \
    --ntasks-per-node="$gpus_per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${srun_args[@]+"${srun_args[@]}"} \
    "${PYTHON:-python}" -u "$root/tools/test.py" "$config" "$checkpoint" \
    --launcher slurm ${py_args[@]+"${py_args[@]}"} "$@"
