#!/usr/bin/env bash
# The clinical input of the network that ships, and docs/results/clinical: what clinical values are worth beside it.
# usage: runs/fusion.sh FOLDER_OF_THE_RADIOGRAPHS TABLE.csv [RUN_OR_BUNDLE] [STUDY_FOLDER]
# TABLE.csv is made by scripts/curate_cxr.py (runs/default.sh calls it): its column split says which images the image
# network was not trained on. The bundle is replaced in one step; its answers for images alone stay, to the last bit.
set -euo pipefail
data=$1 table=$2 run=${3:-src/covid_xray/bundle/default} study=${4:-docs/results/clinical}
covid-xray fuse "$run" --data "$table" --images "$data" -o "$study"
covid-xray selftest --bundle "$(if [ -d "$run/bundle" ]; then echo "$run/bundle"; else echo "$run"; fi)"
