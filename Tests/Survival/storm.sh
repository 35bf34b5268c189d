#!/usr/bin/env bash
# usage: Tests/Survival/storm.sh --model DIR --data-dir DIR [options]
#
# One undisturbed run, then many that save every step and are killed: kill -9 of a random rank at a random moment. Half
# of the moments lie between the start and the time the undisturbed run took, half in the part after loading, so that
# start-up, steps, evaluation and saving are all hit. Each run is resumed on 1 to 3 ranks, killed again or not, until it
# is done. Exits 1 unless every adapter has the bytes of the undisturbed run's, every kill costs one step of work at
# most, and no rank outlives the killed one for long.
#
#   --runs N          default 30
#   --seed S          of moments, ranks and number of kills; default 1
#   --max-kills N     a run is killed 1 to N times; default 3
#   --method NAME     default lora
#   --patience N      seconds the other ranks may take to leave; default 30
#   --task NAME       default imdb
#   --batch N         examples of a step, default 8: steps should take longer than the disk takes for a checkpoint
#   --program FILE    default .build/release/peft-dist
#   --work DIR        keep the runs there; default: a temporary folder
set -uo pipefail
. "$(dirname "$0")/training.bash"

runs=30 seed=1 max_kills=3 method=lora patience=30 batch=8
while (($#)); do
  case $1 in
  -h | --help)
    usage
    exit 0
    ;;
  esac
  (($# > 1)) || refuse "$1 needs a value, or is unknown; see --help"
  case $1 in
  --runs) runs=$2 ;;
  --seed) seed=$2 ;;
  --batch) batch=$2 ;;
  --max-kills) max_kills=$2 ;;
  --method) method=$2 ;;
  --patience) patience=$2 ;;
  *) common_option "$@" || refuse "unknown option $1, see --help" ;;
  esac
  shift 2
done
prepare
flags+=(--method "$method" --keep-checkpoints 2 --global-batch-size "$batch")
RANDOM=$seed

# Where in its life the attempt was when it was killed, from what it said ($2: the step it began at, if it came that far)
# and left behind.
phase_of() {
  local output=$1 step
  step=$(last_step "$output")
  if [[ -z $2 ]]; then
    echo "start-up"
  elif [[ -n $(find "$output/checkpoints" -maxdepth 1 -name '.step-*.partial-*' 2>/dev/null) ]]; then
    echo "saving"
  elif ((step > 0 && step % 4 == 0)) && ! grep -q "\"eval_loss\".*\"step\":$step\b" "$output/metrics.jsonl"; then
    echo "evaluation"
  elif ((step == total_steps)); then
    echo "end"
  else
    echo "step"
  fi
}

# One attempt on $2 ranks that is killed $3 milliseconds after its start, or with $4 = 1 after its loading. Sets `killed`
# (rank, or nothing if the run was done first), `code`, `moment` and `left_after`, the milliseconds the job took to end
# after the kill.
attempt_and_kill() {
  local output=$1 ranks=$2 delay=$3 after_loading=$4 began pids pid
  killed="" left_after=0 moment=0
  began=$(milliseconds)
  start_run "$output" "$ranks" 1 --resume
  if ((after_loading)) && ! wait_for_loading "$output"; then delay=0; fi
  local started=$began
  if ((after_loading)); then started=$(milliseconds); fi
  while kill -0 "$job" 2>/dev/null; do
    if (($(milliseconds) - started >= delay)); then
      mapfile -t pids < <(ranks_of_job)
      # Before all ranks have been started there is nobody to choose from.
      if ((${#pids[@]} == ranks)); then
        pid=${pids[RANDOM % ranks]}
        killed=$(rank_number "$pid")
        if kill -KILL "$pid" 2>/dev/null; then break; fi
        killed=""
      fi
    fi
    sleep 0.01
  done
  started=$(milliseconds) moment=$((started - began))
  finish_run "$patience"
  if [[ -n $killed ]]; then left_after=$(($(milliseconds) - started)); fi
}

# Waits until the last attempt has loaded everything: it says from which step it goes on.
wait_for_loading() {
  while kill -0 "$job" 2>/dev/null; do
    if [[ -n $(resumed_at "$1" "$first_line") ]]; then return 0; fi
    sleep 0.01
  done
  return 1
}

# What the last attempt says it resumed from: a step, or nothing if it did not come that far.
resumed_at() {
  tail -n +"$2" "$1.log" 2>/dev/null |
    sed -nE 's/.*resuming after step ([0-9]+) .*/\1/p; s/.*no usable checkpoint.*/0/p' | tail -n 1
}

started=$(milliseconds)
start_run "$work/reference" 2 1 --resume
first_line=1
wait_for_loading "$work/reference"
loading=$(($(milliseconds) - started))
finish_run
if ((code != 0)); then
  tail -n 20 "$work/reference.log" >&2
  exit 1
fi
duration=$(($(milliseconds) - started))
reference=$(adapter_hash "$work/reference") reference_record=$(record_hash "$work/reference")
seconds() { echo "$(($1 / 1000)).$(($1 % 1000 / 100))"; }
echo "reference: 2 ranks, $total_steps steps, $(seconds "$duration") s, of which loading $(seconds "$loading") s," \
  "adapter $reference"
printf '%4s  %-8s %s\n' run adapter "kills: rank/ranks @ seconds in PHASE after step N (lost steps)"

wrong=0 kills=0 most_lost=0 too_late=0 unexpected=0 slowest=0
declare -A hits=()
for ((run = 1; run <= runs; run++)); do
  output=$work/run-$run
  wanted=$((1 + RANDOM % max_kills)) story="" reached=0 tries=0 again=0
  while true; do
    tries=$((tries + 1))
    ranks=$((1 + RANDOM % 3))
    first_line=$(($(cat "$output.log" 2>/dev/null | wc -l) + 1))
    after_loading=$((RANDOM % 2))
    span=$duration
    if ((after_loading)); then span=$(((duration - loading) * (total_steps - reached + 1) / total_steps)); fi
    # Two random numbers of 15 bits: uniform to the millisecond.
    delay=$(((RANDOM * 32768 + RANDOM) % span))
    if ((tries > wanted)); then delay=$((1 << 40)) after_loading=0; fi
    attempt_and_kill "$output" "$ranks" "$delay" "$after_loading"
    began=$(resumed_at "$output" "$first_line")
    if [[ -n $began ]]; then
      # What the kills before have cost, known now.
      lost=$((reached - began))
      if ((tries > 1)); then
        story+=" ($lost)"
        if ((lost > most_lost)); then most_lost=$lost; fi
        if ((lost > 1)); then wrong=$((wrong + 1)); fi
      fi
      reached=$began
    elif ((tries > 1)); then
      story+=" (-)"
    fi
    step=$(last_step "$output")
    if ((step > reached)); then reached=$step; fi
    if [[ -z $killed ]] && ((code == 0 && tries == 1 && again < 20)); then
      # Done before its moment came, as the machine is less busy now: once more, with earlier moments.
      again=$((again + 1)) tries=0 reached=0 duration=$((loading + (duration - loading) * 9 / 10))
      rm -rf "$output" "$output.log"
      continue
    fi
    if [[ -z $killed ]]; then
      if ((code != 0)); then
        story+=" EXIT CODE $code"
        unexpected=$((unexpected + 1))
        tail -n 15 "$output.log" >&2
      fi
      break
    fi
    kills=$((kills + 1))
    phase=$(phase_of "$output" "$began")
    hits[$phase]=$((${hits[$phase]:-0} + 1))
    story+="  $killed/$ranks @ $(seconds "$moment") in $phase after step $step"
    if ((left_after > slowest)); then slowest=$left_after; fi
    if ((code == 124)); then
      story+=" OTHERS STAYED: $stuck;"
      too_late=$((too_late + 1))
    fi
  done
  verdict=same
  if [[ $(adapter_hash "$output") != "$reference" ]]; then
    verdict=DIFFERS
  elif [[ $(record_hash "$output") != "$reference_record" ]]; then
    verdict=RECORDS
  fi
  if [[ $verdict != same ]]; then wrong=$((wrong + 1)); fi
  printf '%4s  %-8s%s\n' "$run" "$verdict" "$story"
  if ((!keep)) && [[ $verdict == same ]]; then rm -rf "$output" "$output.log"; fi
done

summary=""
for phase in start-up step evaluation saving end; do summary+=", ${hits[$phase]:-0} in $phase"; done
echo "storm: $runs runs, $kills kills (${summary#, }); most steps lost by one kill: $most_lost;" \
  "slowest end after a kill: $(seconds "$slowest") s"
if ((wrong + too_late + unexpected > 0)); then
  echo "storm: FAILED: $wrong wrong adapters or losses, $too_late times ranks stayed, $unexpected unexpected endings"
  exit 1
fi
echo "storm: every adapter, metric and digest has the bytes of the undisturbed run"
