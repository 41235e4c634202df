#!/usr/bin/env bash
# Audit a trained run for shortcuts and test its heat maps, on its test part: audit.json, audit.md, figures.
# usage: runs/audit.sh FOLDER_OF_THE_RADIOGRAPHS RUN_FOLDER [more options of covid-xray audit, such as --other RUN2]
# Without a lung network in the bundle a box replaces the lungs: masks exist for 178 images of one class only.
set -euo pipefail
data=$1 run=$2
shift 2
classes=(--label ieee8023:covid --label cxnet:covid --label hannover:covid
         --label kermany:normal --label darkcovidnet:normal
         --label kermany:virus --label ieee8023:virus)
masks=()
if [ -d "$data/masks" ]; then masks=(--masks "$data/masks"); fi
covid-xray audit "$run" --data "$data" "${classes[@]}" --duplicates docs/results/cxr-duplicates.csv "${masks[@]}" \
  --baselines docs/results/baselines/three-classes/baselines.json --sample 800 "$@"
