#!/usr/bin/env bash
# The network that finds the lungs: the figures of docs/results/lungs. FOLDER holds `cxr` and `more`; where a radiograph
# has two masks, the one that people reviewed (`more`) counts. Images whose licence forbids derivatives, or that state
# none, are in the test part.
# usage: runs/lungs.sh FOLDER [RUN_FOLDER]
set -euo pipefail
data=$1 run=${2:-runs/lungs}
masks=$(mktemp -d)
trap 'rm -r "$masks"' EXIT
cp -r "$data/cxr/masks/." "$masks"
cp -r "$data/more/masks/." "$masks"
covid-xray train-lungs --data "$data/cxr" --masks "$masks" -o "$run" \
  --duplicates docs/results/cxr-duplicates.csv --test-only-unlicensed --set epochs=60
