#!/usr/bin/env bash
# Train and test on LVIS v1 what papers report, one after the other, and keep a page of the results.
set -euo pipefail

gpus=${1:-8}
out=${2:-work_dirs/reproduce_lvis}
if [ $# -gt 2 ] || ! [[ $gpus =~ ^(1|2|4|8|16)$ ]]; then
    cat >&2 <<USAGE
usage: $0 [GPUS (8)] [FOLDER (work_dirs/reproduce_lvis)]
GPUS is 1, 2, 4, 8 or 16: an iteration has 16 images. Started again, it goes on where it stopped.
environment: NAMES (all; configs of configs/lvis without .py), PYTHON (python), PORT (29500)
USAGE
    exit 2
fi
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHON=${PYTHON:-python}
results=("$PYTHON" "$root/tools/analysis/lvis_results.py" "$out")

"${results[@]}" --plan
# a name, and the name of the config whose checkpoint it evaluates: its own, or a rule at test alone
"${results[@]}" --names ${NAMES:-} | while read -r name trained; do
    config=$root/configs/lvis/$name.py
    run=$out/$trained
    if [ "$name" = "$trained" ] && [ ! -f "$run/trained" ]; then
        bash "$root/tools/dist_train.sh" "$config" "$gpus" --work-dir "$run" --resume \
            --cfg-options train_dataloader.batch_size=$((16 / gpus)) < /dev/null
        touch "$run/trained"
    fi
    if [ ! -f "$out/$name/test/metrics.json" ]; then
        bash "$root/tools/dist_test.sh" "$config" "$(cat "$run/last_checkpoint")" "$gpus" \
            --work-dir "$out/$name/test" < /dev/null
    fi
    "${results[@]}"
done
