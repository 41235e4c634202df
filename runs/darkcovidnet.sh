#!/usr/bin/env bash
# DarkCovidNet's protocol on its own 1,124 pictures: 5 folds by image, as published, and by patient. The figures of
# docs/results/darkcovidnet. A stopped run goes on where it was when the same command is given again.
# usage: runs/darkcovidnet.sh FOLDER_OF_THE_RADIOGRAPHS [RUNS_FOLDER] [options of covid-xray crossval]
set -euo pipefail
data=$1 runs=${2:-runs/darkcovidnet}
# The original's network at 160 pixels; he_normal, since the set is small. Options given on the command line come last and win.
recipe=(--epochs 18 --set image_size=160 --set batch_size=16 --set initializer=he_normal --set early_stopping_patience=6
        "${@:3}")
for group in image patient; do
  resume=(); [ -e "$runs/$group/folds.csv" ] && resume=(--resume)
  covid-xray crossval --data "$data" --where source=darkcovidnet --duplicates docs/results/cxr-duplicates.csv \
    -o "$runs/$group" --folds 5 --group "$group" "${recipe[@]}" "${resume[@]}"
done
covid-xray compare "$runs/image" "$runs/patient" -o "$runs/comparison.json"
python scripts/publish_crossval.py darkcovidnet "$runs" --command "runs/darkcovidnet.sh FOLDER${3:+ RUNS ${*:3}}"
