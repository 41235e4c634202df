#!/usr/bin/env bash
# The clinical input of the network that ships and its study (docs/results/clinical), and the outcomes of the covid
# patients (docs/results/outcomes).
# usage: runs/fusion.sh FOLDER_OF_THE_RADIOGRAPHS TABLE.csv [RUN_OR_BUNDLE] [FOLDER_OF_THE_RESULTS]
# TABLE.csv is made by scripts/curate_cxr.py (runs/default.sh calls it): its column split says which images the image
# network was not trained on. The bundle is replaced in one step; its answers for images alone do not change.
set -euo pipefail
data=$1 table=$2 run=${3:-src/covid_xray/bundle/default} results=${4:-docs/results}
if [ -d "$run/bundle" ]; then bundle=$run/bundle; else bundle=$run; fi
covid-xray fuse "$run" --data "$table" --images "$data" -o "$results/clinical"
python scripts/summarise_clinical.py "$results/clinical/clinical.json"
covid-xray selftest --bundle "$bundle"
covid-xray outcomes --bundle "$bundle" --data "$data" --duplicates docs/results/cxr-duplicates.csv -o "$results/outcomes"
