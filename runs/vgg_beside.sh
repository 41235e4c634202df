#!/usr/bin/env bash
# The original's network beside the one that ships: same images, same parts, same audit. The figures of docs/results/vgg_beside.
# It gets its column in docs/results/targets.md by: python -m experiments.targets RUN_OF_DEFAULT RUN_FOLDER
# usage: runs/vgg_beside.sh FOLDER_OF_THE_RADIOGRAPHS LUNGS_RUN [RUN_FOLDER]     (LUNGS_RUN: a run of runs/lungs.sh, or a bundle)
set -euo pipefail
data=$1 lungs=$2 run=${3:-runs/vgg_beside}
baselines=docs/results/baselines/three-classes/baselines.json
mkdir -p "$(dirname "$run")"
python scripts/curate_cxr.py "$data" "$run.csv" "$run-curation.json"
covid-xray train --data "$run.csv" --images "$data" -o "$run" --config runs/vgg_beside.yaml --set lungs="$lungs"
covid-xray audit "$run" --data "$run.csv" --images "$data" --masks "$data/masks" --baselines "$baselines" --sample 400
covid-xray evaluate "$run" --data "$run.csv" --images "$data" --baselines "$baselines" --pdf
python scripts/publish_run.py "$run" vgg_beside --command "runs/vgg_beside.sh FOLDER LUNGS"
