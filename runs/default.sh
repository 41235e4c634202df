#!/usr/bin/env bash
# The network that ships: RUN_FOLDER/bundle, which is src/covid_xray/bundle/default, and docs/results/hospital_out.
# FOLDER holds `cxr` and `more`; LUNGS_RUN is made by runs/lungs.sh. Some hours on two cores, much of it decoding.
# usage: runs/default.sh FOLDER LUNGS_RUN [RUN_FOLDER]
set -euo pipefail
data=$1 lungs=$2 run=${3:-runs/default}
mkdir -p "$(dirname "$run")"
python scripts/curate_cxr.py "$data" "$run.csv" "$run-curation.json"

# Rankers that never see some hospitals, and are judged on those. Pakistan is in none that ships: no contrast, no
# threshold and no calibration used it, so its figures are those of a hospital never seen.
ranker() { # NAME SEED DROP [SOURCE ...]; then the same weights with heads and thresholds from all that is not left out
  python scripts/leave_out.py "$run.csv" "$run-$1.csv" --drop "$3" --leave "${@:4}"
  covid-xray train --data "$run-$1.csv" --images "$data" -o "$run-ranker-$1" --config runs/default.yaml \
    --set lungs="$lungs" --set seed="$2"
  python scripts/leave_out.py "$run.csv" "$run-$1.csv" --calibrate --drop "$3" --leave "${@:4}"
  covid-xray train --data "$run-$1.csv" --images "$data" -o "$run-$1" --config runs/default.yaml \
    --set lungs="$lungs" --set epochs=0 --set weights=null --set average_of="[$run-ranker-$1]"
}
ranker without-pakistan-hannover 1 "" pakistan hannover
ranker without-pakistan-cxnet 3 "" pakistan cxnet
ranker without-pakistan-ieee8023 7 "" pakistan ieee8023
# Judged only. Of Pakistan its healthy alone: its tuberculosis stands out by scanner.
ranker without-nih-ieee8023 6 pakistan:other nih rsna rsna-lungs ieee8023

# The mean of the weights of the first three, with heads, thresholds, calibration and gate of its own.
covid-xray train --data "$run.csv" --images "$data" -o "$run" --config runs/default.yaml --set lungs="$lungs" \
  --where 'source!=pakistan' --set epochs=0 --set weights=null \
  --set average_of="[$run-ranker-without-pakistan-hannover, $run-ranker-without-pakistan-cxnet, \
    $run-ranker-without-pakistan-ieee8023]"
python -m experiments.hospital_out --data "$data" --table "$run.csv" \
  "$run"-without-pakistan-hannover "$run"-without-pakistan-cxnet "$run"-without-pakistan-ieee8023 \
  "$run"-without-nih-ieee8023 "$run"
# What `covid-xray commission` compares a hospital with.
python scripts/record_site_reference.py "$run" --data "$run.csv" --images "$data" \
  --left-out "$run"-without-pakistan-{hannover,cxnet,ieee8023}/hospital_out.csv

selected=(--data "$run.csv" --images "$data" --where 'source!=pakistan' --label covid --label normal --label virus)
covid-xray audit "$run" "${selected[@]}" --sample 400
covid-xray evaluate "$run" "${selected[@]}" --pdf
python scripts/publish_run.py "$run" default --command "runs/default.sh FOLDER LUNGS"
