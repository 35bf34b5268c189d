# What the scripts of Tests/Survival have in common: arguments, short training runs, what a run folder holds.
# Sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
program=${PEFT_DIST_PROGRAM:-"$root/.build/release/peft-dist"}
model="" data="" task=imdb keep=0 work=""
self=$(basename "$0" .sh)

# Prints the comment at the head of the script.
usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"; }

refuse() {
  echo "$self: $1" >&2
  exit 2
}

# Takes the common option at $1, with its value $2; false if it is none of them.
common_option() {
  case $1 in
  --model) model=$2 ;;
  --data-dir) data=$2 ;;
  --task) task=$2 ;;
  --program) program=$2 ;;
  --work) work=$2 keep=1 ;;
  *) return 1 ;;
  esac
}

# Checks the common options; makes `work`, the folder in which the runs lie, with their shared cache.
prepare() {
  [[ -n $model && -n $data ]] || refuse "--model and --data-dir are needed, see --help"
  [[ -x $program ]] || refuse "$program is no program; ./launch.sh build makes it, --program names another"
  command -v mpirun >/dev/null || refuse "no mpirun on PATH"
  # Folders are made absolute: runs may start elsewhere.
  model=$(cd "$model" && pwd) && data=$(cd "$data" && pwd) || exit 2
  if [[ -z $work ]]; then
    work=$(mktemp -d "${TMPDIR:-/tmp}/peft-dist-$self.XXXXXX")
  else
    mkdir -p "$work"
    work=$(cd "$work" && pwd)
  fi
  trap leave EXIT
  trap 'exit 130' INT TERM
  as_root=()
  if (($(id -u) == 0)); then as_root=(--allow-run-as-root); fi
  # Eight steps with two evaluations, about a second of work each on a small model.
  flags=(
    --model "$model" --task "$task" --data-dir "$data" --cache-dir "$work/cache" --steps 8 --global-batch-size 8
    --max-source-length 64 --eval-every 4 --eval-limit 24 --save-every 1 --log-every 1
  )
  total_steps=8
}

# Ends what still runs and takes the work folder away unless it was asked for with --work.
leave() {
  local status=$?
  trap - EXIT
  if [[ -n ${job:-} ]]; then end_job; fi
  if declare -F leave_too >/dev/null; then leave_too; fi
  if ((!keep)); then rm -rf "$work"; fi
  exit "$status"
}

# --- running -------------------------------------------------------------------------------------------------------

# Starts `peft-dist train` on $2 ranks of $3 threads into the folder $1; further arguments follow. Sets `job`, the process
# of mpirun; its output goes to $1.log.
start_run() {
  local output=$1 ranks=$2 threads=$3
  shift 3
  setsid mpirun "${as_root[@]}" --oversubscribe --bind-to none -n "$ranks" "$program" train "${flags[@]}" \
    --threads-per-rank "$threads" --output "$output" "$@" >>"$output.log" 2>&1 </dev/null &
  job=$!
}

# Waits for the job, at most $1 seconds (default 600) of this script's own time: a machine that stood still does
# not count. Sets `code`, 124 if the job had to be killed, and `stuck`, the states its processes were in then.
finish_run() {
  local polls=$((${1:-600} * 50))
  stuck=""
  while kill -0 "$job" 2>/dev/null && ((polls-- > 0)); do sleep 0.02; done
  if kill -0 "$job" 2>/dev/null; then
    stuck=$(ps -o comm=,stat= -p "$job $(ranks_of_job | paste -sd' ')" | awk '{print $1, $2}' | paste -sd,)
    end_job
    code=124
    return
  fi
  wait "$job" 2>/dev/null
  code=$?
  job=""
}

# Kills mpirun and every rank.
end_job() {
  local pid
  for pid in $(ranks_of_job) "$job"; do kill -KILL "$pid" 2>/dev/null; done
  wait "$job" 2>/dev/null
  job=""
}

# A whole run that must end well.
run_to_end() {
  start_run "$@"
  finish_run
  if ((code != 0)); then
    tail -n 20 "$1.log" >&2
    echo "$self: the run in $1 ended with exit code $code, see above" >&2
    return 1
  fi
}

# Processes of the ranks of the job, in the order in which they were started.
ranks_of_job() { [[ -n $job ]] && pgrep -P "$job" -x "$(basename "$program" | cut -c1-15)"; }

# The rank number of process $1.
rank_number() { tr '\0' '\n' <"/proc/$1/environ" 2>/dev/null | sed -n 's/^OMPI_COMM_WORLD_RANK=//p'; }

# --- what a run folder holds ---------------------------------------------------------------------------------------

# SHA-256 of the weights in the folder $1/adapter.
adapter_hash() { cat "$1"/adapter/*.safetensors 2>/dev/null | sha256sum | cut -d' ' -f1; }

# SHA-256 of everything in the metrics and digests that is no time.
record_hash() {
  {
    sed -E 's/"(eval_seconds|training_seconds|source_tokens_per_second)":[^,}]*//g' "$1/metrics.jsonl"
    if [[ -e $1/digests.jsonl ]]; then cat "$1/digests.jsonl"; fi
  } | sha256sum | cut -d' ' -f1
}

# The last step the run in $1 has recorded; 0 if none. A line that is cut short does not count.
last_step() {
  local step
  step=$(cat "$1/metrics.jsonl" "$1/digests.jsonl" 2>/dev/null | sed -nE 's/.*"step":([0-9]+)\}?.*\}$/\1/p' |
    sort -n | tail -n 1)
  echo "${step:-0}"
}

# Waits until the run in $1 has recorded step $2; false if the job ends before, or after $3 seconds (default 120).
wait_for_step() {
  local deadline=$((SECONDS + ${3:-120}))
  while (($(last_step "$1") < $2)); do
    if ! kill -0 "$job" 2>/dev/null || ((SECONDS >= deadline)); then return 1; fi
    sleep 0.01
  done
}

# Seconds since the epoch as milliseconds.
milliseconds() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# Whether `peft-dist train` knows the option $1.
train_knows() { [[ $("$program" train --help 2>/dev/null) == *"$1"* ]]; }
