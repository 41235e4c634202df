#!/usr/bin/env bash
# The network of the original on every public radiograph of its three classes: the figures of docs/results/vgg_cxr.
# It uses the whole picture, as the original did; the lung network in its bundle serves the audit and the figures about heat maps.
# usage: runs/vgg_cxr.sh FOLDER_OF_THE_RADIOGRAPHS [RUN_FOLDER] [LUNGS]   (LUNGS: a run of runs/lungs.sh, or a bundle that holds one)
set -euo pipefail
data=$1 run=${2:-runs/vgg_cxr} lungs=${3:-src/covid_xray/bundle/default}
classes=(--label ieee8023:covid --label cxnet:covid --label hannover:covid
         --label kermany:normal --label darkcovidnet:normal
         --label kermany:virus --label ieee8023:virus)
covid-xray train --data "$data" -o "$run" "${classes[@]}" --duplicates docs/results/cxr-duplicates.csv --epochs 25 \
  --set lungs="$lungs" --set crop=none
runs/audit.sh "$data" "$run"
covid-xray evaluate "$run" --data "$data" "${classes[@]}" --baselines docs/results/baselines/three-classes/baselines.json --pdf
python scripts/publish_run.py "$run" vgg_cxr --command "runs/vgg_cxr.sh FOLDER"  # --note: remarks
