#!/usr/bin/env bash
# docs/results/commission: what commissioning buys at hospitals that a network never saw. After runs/default.sh.
# usage: runs/commission.sh FOLDER [RUN_FOLDER]
set -euo pipefail
data=$1 run=${2:-runs/default}
python -m experiments.commission "$run-without-pakistan-hannover" "$run-without-nih-ieee8023" \
  --names without-pakistan-hannover without-nih-ieee8023 --data "$data" --table "$run.csv"
