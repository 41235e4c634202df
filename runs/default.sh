#!/usr/bin/env bash
# The network that ships: the figures of docs/results/default, and RUN_FOLDER/bundle, which is src/covid_xray/bundle/default.
# usage: runs/default.sh FOLDER_OF_THE_RADIOGRAPHS LUNGS_RUN [RUN_FOLDER] [SEED]     (LUNGS_RUN: made by runs/lungs.sh)
set -euo pipefail
data=$1 lungs=$2 run=${3:-runs/default} seed=${4:-0}
baselines=docs/results/baselines/three-classes/baselines.json
mkdir -p "$(dirname "$run")"
python scripts/curate_cxr.py "$data" "$run.csv" "$run-curation.json"
covid-xray train --data "$run.csv" --images "$data" -o "$run" --config runs/default.yaml --set lungs="$lungs" --set seed="$seed"
covid-xray audit "$run" --data "$run.csv" --images "$data" --masks "$data/masks" --baselines "$baselines" --sample 400
runs/fusion.sh "$data" "$run.csv" "$run" "$run-clinical"
covid-xray evaluate "$run" --data "$run.csv" --images "$data" --baselines "$baselines" --pdf
python -m experiments.targets "$run"
python scripts/publish_run.py "$run" default --command "runs/default.sh FOLDER LUNGS"
