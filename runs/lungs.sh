#!/usr/bin/env bash
# The network that finds the lungs: the figures of docs/results/lungs. Images whose licence forbids derivatives,
# or that state none, are in the test part.
# usage: runs/lungs.sh FOLDER_OF_THE_RADIOGRAPHS [RUN_FOLDER]
set -euo pipefail
data=$1 run=${2:-runs/lungs}
covid-xray train-lungs --data "$data" --masks "$data/masks" -o "$run" \
  --duplicates docs/results/cxr-duplicates.csv --test-only-unlicensed --set epochs=90
