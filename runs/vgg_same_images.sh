#!/usr/bin/env bash
# The original's network on the images of the network that ships: same parts, same audit. The figures of docs/results/vgg_same_images.
# Its column in docs/results/targets.md: python -m experiments.targets RUN_OF_DEFAULT RUN_FOLDER
# usage: runs/vgg_same_images.sh FOLDER_OF_THE_RADIOGRAPHS LUNGS_RUN [RUN_FOLDER]     (LUNGS_RUN: a run of runs/lungs.sh, or a bundle)
set -euo pipefail
data=$1 lungs=$2 run=${3:-runs/vgg_same_images}
baselines=docs/results/baselines/three-classes/baselines.json
mkdir -p "$(dirname "$run")"
python scripts/curate_cxr.py "$data" "$run.csv" "$run-curation.json"
covid-xray train --data "$run.csv" --images "$data" -o "$run" --config runs/vgg_same_images.yaml --set lungs="$lungs"
covid-xray audit "$run" --data "$run.csv" --images "$data" --masks "$data/masks" --baselines "$baselines" --sample 400
covid-xray evaluate "$run" --data "$run.csv" --images "$data" --baselines "$baselines" --pdf
python scripts/publish_run.py "$run" vgg_same_images --command "runs/vgg_same_images.sh FOLDER LUNGS"
