#!/usr/bin/env bash
# usage: Tests/Survival/faults.sh --model DIR --data-dir DIR [options]
#
# Makes one thing after the other go wrong in a short run on two ranks and shows what the user sees, the exit code and how
# long it took. Where a run can go on, it is resumed and must end in the bytes of an undisturbed one. Exits 1 unless all
# is as it should be.
#
#   --only LIST       comma-separated, of: stopped-rank hanging-rank failing-rank corrupt-rank not-finite full-disk
#                     disk-full-to-the-end folder-gone flipped-byte truncated-manifest no-checkpoint-left
#                     signal-in-a-step signal-in-evaluation two-signals; the two about the disk need root (a tmpfs)
#   --stall-timeout N seconds without progress that end a run; default 5
#   --task NAME       default imdb
#   --program FILE    default .build/release/peft-dist
#   --work DIR        keep the runs there; default: a temporary folder
set -uo pipefail
. "$(dirname "$0")/training.bash"

all="stopped-rank hanging-rank failing-rank corrupt-rank not-finite full-disk disk-full-to-the-end folder-gone
  flipped-byte truncated-manifest no-checkpoint-left signal-in-a-step signal-in-evaluation two-signals"
only=$all stall=5
while (($#)); do
  case $1 in
  -h | --help)
    usage
    exit 0
    ;;
  esac
  (($# > 1)) || refuse "$1 needs a value, or is unknown; see --help"
  case $1 in
  --only) only=${2//,/ } ;;
  --stall-timeout) stall=$2 ;;
  *) common_option "$@" || refuse "unknown option $1, see --help" ;;
  esac
  shift 2
done
for name in $only; do
  [[ " ${all//[[:space:]]/ } " == *" $name "* ]] || refuse "there is no case $name, see --help"
done
prepare
flags+=(--method lora --keep-checkpoints 3)
watched=()
if train_knows --stall-timeout-seconds; then watched=(--stall-timeout-seconds "$stall"); fi

# --- judging -------------------------------------------------------------------------------------------------------

failures=0 table=()
begin() {
  name=$1 output=$work/$1 problems=0 ending="" verdict=""
  shift
  echo
  echo "=== $name: $*"
}
wrong() {
  echo "    WRONG: $1"
  problems=$((problems + 1)) failures=$((failures + 1))
}
skip() {
  echo "    skipped: $1"
  verdict="skipped: $1"
}
# Adds the case to the table.
finish() {
  if ((problems > 0)); then verdict="$problems WRONG"; fi
  table+=("$(printf '%-22s %s  %s' "$name" "${ending:-   -        -}" "${verdict:-as it should be}")")
}

# What the user saw since line $1 of the log: warnings, errors, what it resumed from; not mpirun's frames.
show() {
  tail -n +"$1" "$output.log" | grep -vE '^-+$|^$|^Primary job|non-zero exit code|^peft-dist: (t5 |[0-9]+ (train|steps))' |
    grep -iE 'peft-dist|rank|error|warning|signal|stop|resum|checkpoint|progress' | cut -c1-240 | tail -n 8 | sed 's/^/    | /'
}

# The exit code must match the pattern $1, and the run have ended within $2 seconds of `since`.
expect_end() {
  local took=$(($(milliseconds) - since))
  echo "    exit code $code, $((took / 1000)).$((took % 1000 / 100)) s after the event"
  ending=$(printf '%4s %6s s' "$code" "$((took / 1000)).$((took % 1000 / 100))")
  # shellcheck disable=SC2053  # a pattern on purpose
  [[ $code == $1 ]] || wrong "the exit code is $code, expected $1"
  ((took <= $2 * 1000)) || wrong "it took longer than $2 s"
}
expect_text() {
  grep -qiE -- "$1" <(tail -n +"${2:-1}" "$output.log") || wrong "nothing in the output matches '$1'"
}
# No process of the run is left.
expect_nobody() {
  local left
  sleep 0.3
  left=$(pgrep -f -- "--output $output( |\$)" | paste -sd' ')
  [[ -z $left ]] || wrong "processes are left: $left"
}

# Resumes the run on $1 ranks to its end, which must have the reference's bytes.
expect_resume() {
  local first=$(($(wc -l <"$output.log") + 1))
  start_run "$output" "$1" 1 --resume
  finish_run
  show "$first"
  ((code == 0)) || wrong "the resumed run ended with exit code $code"
  expect_same
}
expect_same() {
  local hash
  hash=$(adapter_hash "$output")
  if [[ $hash == "$reference" ]]; then
    echo "    adapter $hash, the same"
  else
    wrong "the adapter is $hash, expected $reference"
  fi
}

# Starts a run on two ranks and waits for its step $1.
start_until_step() {
  local step=$1
  start_run "$output" 2 1 "${watched[@]}"
  wait_for_step "$output" "$step" || wrong "the run never came to step $step"
  since=$(milliseconds)
}
rank_process() {
  local pid
  for pid in $(ranks_of_job); do
    if [[ $(rank_number "$pid") == "$1" ]]; then echo "$pid"; fi
  done
}
newest_checkpoint() { find "$output/checkpoints" -maxdepth 1 -name 'step-*' | sort | tail -n 1; }

# --- ranks ---------------------------------------------------------------------------------------------------------

stopped-rank() {
  begin stopped-rank "SIGSTOP of rank 1 after step 2"
  if ((${#watched[@]} == 0)); then
    skip "this program knows no --stall-timeout-seconds"
    return
  fi
  start_until_step 2
  kill -STOP "$(rank_process 1)"
  finish_run $((stall * 3 + 30))
  show 1
  expect_end '[1-9]*' $((stall * 2 + 15))
  ((code != 124)) || wrong "the others waited for ever"
  expect_text 'rank 1 \(.*\) made no progress for [0-9]+ s in '
  expect_nobody
  expect_resume 3
}

# A run on $1 ranks to its end; PEFT_DIST_FAULT says what goes wrong.
injected() {
  start_run "$output" "$1" 1 "${watched[@]}"
  since=$(milliseconds)
  finish_run $((stall * 3 + 60))
  show 1
}

knows_faults() {
  if [[ -e $work/reference/digests.jsonl ]]; then return 0; fi
  skip "this program knows no PEFT_DIST_FAULT"
  return 1
}

hanging-rank() {
  begin hanging-rank "the main thread of rank 1 never comes back from step 3"
  knows_faults || return
  if ((${#watched[@]} == 0)); then
    skip "this program knows no --stall-timeout-seconds"
    return
  fi
  PEFT_DIST_FAULT=hang:1:3 injected 2
  expect_end '[1-9]*' $((stall * 2 + 45))
  ((code != 124)) || wrong "the others waited for ever"
  expect_text 'rank 1 \(.*\) made no progress for [0-9]+ s in '
  expect_nobody
  expect_resume 1
}

failing-rank() {
  begin failing-rank "an error on rank 1 in step 3"
  knows_faults || return
  PEFT_DIST_FAULT=throw:1:3 injected 2
  expect_end '[1-9]*' 60
  expect_text 'injected failure at step 3'
  expect_text 'rank 1'
  expect_nobody
  expect_resume 2
}

corrupt-rank() {
  begin corrupt-rank "one bit of a tensor flips in the memory of rank 1 of 3 in step 3"
  knows_faults || return
  PEFT_DIST_FAULT=corrupt:1:3 injected 3
  expect_end '[1-9]*' 60
  expect_text 'not the same on all ranks: rank 1 '
  expect_nobody
  expect_resume 3
}

not-finite() {
  begin not-finite "a loss that is no number in a leaf of rank 1 in step 3"
  knows_faults || return
  PEFT_DIST_FAULT=nan:1:3 injected 2
  expect_end 1 60
  expect_text 'step 3: .*(NaN|not a number)'
  expect_text 'examples? [0-9]'
  expect_nobody
  expect_resume 2
}

# --- disk ----------------------------------------------------------------------------------------------------------

disk=""
leave_too() {
  if [[ -n $disk ]]; then umount -l "$disk" 2>/dev/null; fi
}

# Mounts a small disk at `output`, which the file `filler` can fill.
mount_disk() {
  mkdir -p "$output"
  if ! mount -t tmpfs -o size=16m peft-dist-survival "$output" 2>/dev/null; then
    skip "a tmpfs can be mounted by root only"
    return 1
  fi
  disk=$output output=$output/run
}
unmount_disk() {
  # The log lies on the disk: nothing may hold it.
  umount "$disk" 2>/dev/null || umount -l "$disk"
  disk=""
}
fill_disk() { dd if=/dev/zero of="$disk/filler" bs=64k 2>/dev/null || true; }

full-disk() {
  begin full-disk "the disk is full after step 2, and has room again after step 5"
  mount_disk || return
  local log=$work/full-disk.log
  ln -sf "$log" "$output.log"
  start_until_step 2
  fill_disk
  echo "    $(df -h --output=used,avail "$disk" | tail -n 1 | xargs) (used, free)"
  # Metrics may lack lines while the disk is full, so this may wait in vain.
  wait_for_step "$output" 5 8
  rm -f "$disk/filler"
  finish_run 120
  show 1
  expect_end 0 120
  expect_text 'not saved: .*space'
  expect_same
  unmount_disk
}

disk-full-to-the-end() {
  begin disk-full-to-the-end "the disk is full after step 3 and stays so"
  mount_disk || return
  ln -sf "$work/disk-full-to-the-end.log" "$output.log"
  start_until_step 3
  fill_disk
  finish_run 180
  show 1
  expect_end 1 180
  expect_text 'space'
  rm -f "$disk/filler"
  local newest
  newest=$(newest_checkpoint)
  echo "    newest checkpoint: ${newest##*/}"
  [[ -n $newest ]] || wrong "no checkpoint is left"
  expect_resume 2
  unmount_disk
}

folder-gone() {
  begin folder-gone "the checkpoints are removed after step 3"
  start_until_step 3
  rm -rf "$output/checkpoints"
  finish_run 120
  show 1
  expect_end 0 120
  expect_same
}

# --- checkpoints ---------------------------------------------------------------------------------------------------

# A run that has been killed after step 5.
killed_run() {
  start_until_step 5
  kill -KILL "$(rank_process 0)"
  finish_run 30
  newest=$(newest_checkpoint)
}

flipped-byte() {
  begin flipped-byte "one byte of the newest checkpoint is another"
  killed_run
  local file=$newest/tensors.safetensors middle byte
  middle=$(($(stat -c %s "$file") / 2))
  byte=$(od -An -tu1 -j "$middle" -N 1 "$file" | tr -d ' ')
  printf '%b' "\\x$(printf %02x $((byte ^ 1)))" | dd of="$file" bs=1 seek="$middle" conv=notrunc 2>/dev/null
  local first=$(($(wc -l <"$output.log") + 1))
  expect_resume 2
  expect_text "${newest##*/}" "$first"
  expect_text "resuming after step $((10#${newest##*-} - 1)) " "$first"
}

truncated-manifest() {
  begin truncated-manifest "the manifest of the newest checkpoint ends in the middle"
  killed_run
  truncate -s "$(($(stat -c %s "$newest/manifest.json") / 2))" "$newest/manifest.json"
  local first=$(($(wc -l <"$output.log") + 1))
  expect_resume 3
  expect_text "${newest##*/}" "$first"
  expect_text "resuming after step $((10#${newest##*-} - 1)) " "$first"
}

no-checkpoint-left() {
  begin no-checkpoint-left "every checkpoint is damaged"
  killed_run
  local file
  for file in "$output"/checkpoints/step-*/tensors.safetensors; do truncate -s 1000 "$file"; done
  local first=$(($(wc -l <"$output.log") + 1))
  expect_resume 1
  expect_text 'no usable checkpoint.*step 0' "$first"
}

# --- signals -------------------------------------------------------------------------------------------------------

signal-in-a-step() {
  begin signal-in-a-step "SIGUSR1 to mpirun, as launch.sh sends it, after step 2"
  start_until_step 2
  kill -USR1 "$job"
  finish_run 60
  show 1
  expect_end 75 20
  expect_nobody
  expect_resume 1
}

signal-in-evaluation() {
  begin signal-in-evaluation "SIGUSR1 in the middle of the evaluation after step 4, of 1200 examples"
  local saved=("${flags[@]}") expected=$reference
  flags+=(--eval-limit 1200)
  start_run "$work/long-evaluation" 2 1
  finish_run
  reference=$(adapter_hash "$work/long-evaluation")
  start_until_step 4
  sleep 0.5
  kill -USR1 "$job"
  finish_run 60
  show 1
  if grep -q eval_loss "$output/metrics.jsonl"; then wrong "the evaluation was over already: too fast a machine"; fi
  expect_end 75 20
  expect_nobody
  expect_resume 3
  flags=("${saved[@]}") reference=$expected
}

two-signals() {
  begin two-signals "SIGTERM twice to rank 0 while its neighbour stands still"
  start_until_step 2
  local first second
  first=$(rank_process 0) second=$(rank_process 1)
  kill -STOP "$second"
  kill -TERM "$first"
  sleep 0.5
  since=$(milliseconds)
  kill -TERM "$first"
  finish_run 30
  show 1
  expect_end '[1-9]*' 10
  expect_nobody
  expect_resume 2
}

run_to_end "$work/reference" 2 1 || exit 1
reference=$(adapter_hash "$work/reference")
echo "reference: 2 ranks, $total_steps steps, adapter $reference"
for name in $only; do
  "$name"
  finish
done
echo
printf '%-22s %4s %8s  %s\n' "what happened" exit after verdict
printf '%s\n' "${table[@]}"
if ((failures > 0)); then
  echo "faults: $failures things were wrong"
  exit 1
fi
echo "faults: all as it should be"
