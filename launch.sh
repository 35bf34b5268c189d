#!/usr/bin/env bash
# The one entry: checks what is missing, builds in release, chooses ranks and threads, runs. See ./launch.sh --help.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program="$root/.build/release/peft-dist"
# Open MPI 5 does not start without a home, be it one that does not exist.
if [[ -z ${HOME:-} ]]; then
  HOME=$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6 || true)
  export HOME=${HOME:-/nonexistent}
fi
# shellcheck source=scripts/packages.bash
. "$root/scripts/packages.bash"
# shellcheck source=scripts/machine.bash
. "$root/scripts/machine.bash"

usage() {
  cat <<'HELP'
usage: ./launch.sh [-n N] [--hostfile F] [--threads T] [--max-restarts N] COMMAND ARGUMENTS...

Installs or names what is missing, builds peft-dist in release, prints the mpirun line and runs it.

  -n N           ranks (MPI processes); default: one per NUMA node of this machine
  --hostfile F   hosts to run on, one per line as "NAME slots=RANKS" (cluster/hostfile.example);
                 default of -n is then the sum of the slots
  --threads T    threads of each rank; default: the cores of this machine divided by the ranks
  --max-restarts N
                 train, compare, sweep: after a failure start again from the last checkpoint, at most N times (default 0),
                 after 1, 2, 4, ... up to 60 seconds; with a hostfile on the hosts that still answer to ssh, with
                 fewer ranks if need be: the result is the same. Not after 0, 2 (usage), 75 or a signal

Commands:
  train, compare, sweep, evaluate, bench
                                run under mpirun; arguments as in `peft-dist COMMAND --help`
  test                          build and run the tests (PEFT_DIST_SLOW_TESTS=1 adds the slow ones)
  build                         build .build/release/peft-dist and stop
  train                         without arguments: prompt tuning of the small T5 in examples/ on the reviews there
  any other (generate, inspect, conformance, doctor)   runs as one process, without mpirun; so do --help
                                and train --dry-run

With PEFT_DIST_PROGRAM=FILE that program is run as it is; nothing is installed or built.

Inside a Slurm job the hosts come from the allocation. INT, TERM or HUP lets a run save and end with exit
code 75 (--resume goes on from there); a second one ends it at once.

  ./launch.sh train
  ./launch.sh -n 2 train --model DIR --task imdb --data-dir DIR --method lora --output runs/imdb
  ./launch.sh train --config run.yaml --resume
  ./launch.sh --hostfile hosts train --config run.yaml
HELP
}

# A reader of standard error that has gone is no reason to end, or to leave a run alone.
trap '' PIPE
say() { printf 'launch.sh: %s\n' "$*" >&2 2>/dev/null || true; }
die() {
  say "error: $1"
  exit "${2:-1}"
}

# --- building and testing ----------------------------------------------------------------------------------------

# Sees to what a build needs. Sets `package`, the folder to build, `scratch`, where to build it, and `build_home`, where
# the compiler keeps what is no part of the build.
prepare_build() {
  find_swift
  install_missing
  check_swift
  build_home=$HOME
  if [[ ! -d $build_home || ! -w $build_home ]]; then build_home=""; fi
  package=$root scratch=$root/.build
  if ! mkdir -p "$scratch" 2>/dev/null || [[ ! -w $root || ! -w $scratch ]]; then build_elsewhere; fi
  if [[ -z $build_home ]]; then
    build_home=$scratch/home
    mkdir -p "$build_home"
  fi
  program=$scratch/release/peft-dist
}

# Where the source tree cannot be written: builds in a folder of links to it, in the user's cache.
build_elsewhere() {
  local cache=${XDG_CACHE_HOME:-${build_home:+$build_home/.cache}} entry
  package=${cache:-${TMPDIR:-/tmp}/peft-dist-$(id -u)}/peft-dist/build-$(cksum <<<"$root" | cut -d' ' -f1)
  scratch=$package/.build
  if ! mkdir -p "$scratch" 2>/dev/null || [[ ! -w $scratch || ! -O $scratch ]]; then
    die "neither the source tree $root nor $package can be written, so there is no place to build; name one with XDG_CACHE_HOME"
  fi
  for entry in "$root"/*; do
    if [[ ${entry##*/} != Package.resolved ]]; then ln -sfn "$entry" "$package/${entry##*/}"; fi
  done
  say "the source tree cannot be written; building in $package"
}

build() {
  local log
  [[ -x $program ]] || say "building peft-dist in release; the first time takes some minutes"
  log=$(mktemp)
  if ! HOME=$build_home swift build --package-path "$package" --scratch-path "$scratch" -c release --product peft-dist >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    die "the build failed, see above"
  fi
  rm -f "$log"
}

# Tests reach into modules, so these are compiled differently (-enable-testing): in a folder of their own, lest each
# run of the tests and each run of the program recompile everything. One configuration holds the tests and the
# programs that they start.
run_tests() {
  HOME=$build_home exec swift test --package-path "$package" --scratch-path "$scratch/tests" -c release "$@"
}

# --- running under mpirun ----------------------------------------------------------------------------------------

# Sets `line`, the command to run, from ranks, threads, hostfile, command and arguments. After a failure: on the hosts of
# `hosts_left` and with `--resume`.
compose_line() {
  local given="" has_given=0 configured chosen=$threads index
  configured=$(in_configuration threads_per_rank)
  for ((index = 0; index < ${#arguments[@]}; index++)); do
    case ${arguments[index]} in
    --threads-per-rank) has_given=1 given=${arguments[index + 1]:-} ;;
    --threads-per-rank=*) has_given=1 given=${arguments[index]#*=} ;;
    esac
  done
  # The program refuses what is no number; here it would be an expression to the shell.
  if ! is_positive "$given"; then given=""; fi
  if ! is_positive "$configured"; then configured=""; fi
  line=("$mpirun")
  if (($(id -u) == 0)); then line+=(--allow-run-as-root); fi
  if [[ -n $hostfile || -n ${SLURM_JOB_ID:-} ]]; then
    # Other hosts: their slots say how many ranks each gets, and a rank without a thread count takes its share of cores.
    if [[ -n $hostfile ]]; then line+=(--hostfile "${hosts_left:-$hostfile}"); fi
    if [[ -n ${ranks_left:-$ranks} ]]; then line+=(-n "${ranks_left:-$ranks}"); fi
    line+=(--bind-to none)
    choose_keepalive
    choose_interfaces
    line+=("${keepalive[@]}" "${interfaces[@]}")
  else
    : "${ranks:=$nodes}"
    : "${threads:=${given:-${configured:-$((cores / ranks > 0 ? cores / ranks : 1))}}}"
    line+=(-n "$ranks")
    if ((ranks > cores)); then line+=(--oversubscribe); fi
    # Binding pays when the ranks fill the machine, one beside the other; otherwise the system places threads better.
    if ((ranks > 1 && ranks * threads == machine_cores && cores == machine_cores)); then
      line+=(--map-by "slot:PE=$threads")
    else
      line+=(--bind-to none)
    fi
  fi
  # Ranks write into pipes; so they know how wide the terminal is.
  if [[ -t 2 ]] && PEFT_DIST_TERMINAL_COLUMNS=$(stty size <&2 2>/dev/null | cut -d' ' -f2); then
    export PEFT_DIST_TERMINAL_COLUMNS
    line+=(-x PEFT_DIST_TERMINAL_COLUMNS)
  fi
  line+=(-x PEFT_DIST_VERDICT_FILE "$program" "$command" "${arguments[@]}")
  if ((!has_given)) && [[ -n $threads && (-z $configured || -n $chosen) ]]; then line+=(--threads-per-rank "$threads"); fi
  if ((attempt > 0)) && ! has_argument --resume; then line+=(--resume); fi
}

# What the file of --config says of the key $1.
in_configuration() {
  local index file=""
  for ((index = 0; index < ${#arguments[@]}; index++)); do
    case ${arguments[index]} in
    --config) file=${arguments[index + 1]:-} ;;
    --config=*) file=${arguments[index]#*=} ;;
    esac
  done
  if [[ -r $file ]]; then
    sed -nE "s/^$1:[[:space:]]*[\"']?([^\"'#]*[^\"'#[:space:]]).*/\1/p" "$file" | tail -n 1
  fi
}

# Whether `arguments` has the option $1.
has_argument() {
  local argument
  for argument in "${arguments[@]}"; do
    if [[ $argument == "$1" || $argument == "$1="* ]]; then return 0; fi
  done
  return 1
}

# Runs `line` in a session of its own, so that a Ctrl-C reaches this script alone, which asks mpirun to ask the ranks to
# save (USR1, which mpirun forwards). Sets `status`, the exit code of the run.
run_line() {
  local seen=-1 code shown
  status=1
  shown=$(printf ' %q' "${line[@]}")
  say "${shown# }"
  export PEFT_DIST_VERDICT_FILE=$notes/verdict-$attempt
  setsid "${line[@]}" </dev/null &
  child=$!
  end_after_verdict "$child" &
  guard=$!
  # A signal ends `wait` early: wait until one comes through undisturbed. 127: the end was told already.
  while ((seen != signals)); do
    seen=$signals code=0
    wait "$child" || code=$?
    if ((code != 127)); then status=$code; fi
  done
  child=""
  kill "$guard" 2>/dev/null || true
  if ((status == 75)); then say "stopped, with what there was to save; the same command with --resume goes on from there"; fi
}

# Ends mpirun, $1, where a rank has ended the job and mpirun does not: it may wait for minutes for a host that is gone.
end_after_verdict() {
  trap - INT TERM HUP USR1
  # A sleep outlives this shell by a moment, and must not keep open a pipe that somebody reads.
  while kill -0 "$1" 2>/dev/null; do
    if [[ -e $PEFT_DIST_VERDICT_FILE ]]; then
      sleep "$verdict_patience" >/dev/null 2>&1
      if kill -0 "$1" 2>/dev/null; then
        say "the ranks have ended the job $verdict_patience s ago and mpirun has not noticed: ending it"
        kill -TERM -- "-$1" 2>/dev/null || true
        sleep 5 >/dev/null 2>&1
        kill -KILL -- "-$1" 2>/dev/null || true
      fi
      return 0
    fi
    sleep 1 >/dev/null 2>&1
  done
}

on_signal() {
  signals=$((signals + 1))
  if [[ -z $child ]]; then
    # Nothing runs. Between two attempts `leave_if_asked` ends the script.
    if ((attempt == 0)); then exit 130; fi
    return 0
  fi
  if ((signals == 1)); then
    kill -USR1 "$child" 2>/dev/null || true
    say "asked to stop: the run saves and ends; once more ends it at once"
  elif ((signals == 2)); then
    kill -TERM "$child" 2>/dev/null || true
  else
    kill -KILL "$child" 2>/dev/null || true
  fi
}

# --- starting again after a failure ------------------------------------------------------------------------------

# Runs the command until it ends well, or in a way that starting again cannot mend, or too often. Exits with the code of
# the last run.
run_to_the_end() {
  local pause=1 failures=0
  signals=0 child="" guard="" attempt=0 hosts_left="" ranks_left="" verdict_patience=${PEFT_DIST_VERDICT_PATIENCE:-15}
  notes=$(mktemp -d)
  trap on_signal INT TERM HUP USR1
  trap 'rm -rf "$notes" "${hosts_left:-$notes}"' EXIT
  if ((max_restarts > 0)) && ! has_argument --resume && output_holds_run; then
    say "the output folder holds a run already, so this one is not started again if it fails"
    max_restarts=0
  fi
  while true; do
    if look_at_hosts; then
      leave_if_asked
      compose_line
      run_line
      # Also a run that a signal has met as it failed: whoever sent it wants an end.
      if ((signals > 0 || status == 0 || status == 2 || status == 75)); then exit "$status"; fi
    fi
    failures=$((failures + 1))
    if ((failures > max_restarts)); then
      if ((max_restarts > 0)); then say "failed $(how_it_ended); no restart is left of $max_restarts"; fi
      exit "$status"
    fi
    say "failed $(how_it_ended); restart $failures of $max_restarts from the last checkpoint, in $pause s"
    attempt=$failures
    take_a_break "$pause"
    pause=$((pause * 2 > 60 ? 60 : pause * 2))
  done
}

how_it_ended() {
  if ((status > 128 && status < 160)); then
    echo "with exit code $status (a rank or mpirun was ended by SIG$(kill -l "$status"))"
  else
    echo "with exit code $status"
  fi
}

take_a_break() {
  sleep "$1" &
  wait "$!" || kill "$!" 2>/dev/null || true
  leave_if_asked
}

leave_if_asked() {
  if ((signals > 0)); then
    say "asked to stop before the restart; the same command with --resume goes on from the last checkpoint"
    exit 75
  fi
}

# Whether the folder of --output, given here or in the file of --config, has anything of a run in it.
output_holds_run() {
  local output="" index name
  for ((index = 0; index < ${#arguments[@]}; index++)); do
    case ${arguments[index]} in
    --output) output=${arguments[index + 1]:-} ;;
    --output=*) output=${arguments[index]#*=} ;;
    esac
  done
  if [[ -z $output ]]; then output=$(in_configuration output); fi
  [[ -n $output ]] || return 1
  for name in run.yaml metrics.jsonl summary.json checkpoints adapter members; do
    if [[ -e $output/$name ]]; then return 0; fi
  done
  return 1
}

# After a failure with a hostfile: writes `hosts_left`, the hostfile of the hosts that answer, and sets `ranks_left` if the
# ranks asked for do not fit on them. False if none answers.
look_at_hosts() {
  local entry name total=0 known=1 answering=() silent=() left
  if ((attempt == 0)) || [[ -z $hostfile ]]; then return 0; fi
  : "${hosts_left:=$(mktemp)}"
  ask_hosts
  : >"$hosts_left"
  ranks_left=""
  while read -r entry; do
    name=${entry%%[[:space:]]*}
    if [[ ${answers[$name]} != yes ]]; then
      silent+=("$name")
      continue
    fi
    answering+=("$name")
    echo "$entry" >>"$hosts_left"
    if [[ $entry =~ slots[[:space:]]*=[[:space:]]*([0-9]+) ]]; then
      total=$((total + BASH_REMATCH[1]))
    else
      known=0
    fi
  done < <(host_entries)
  if ((${#silent[@]} == 0)); then
    say "all ${#answering[@]} hosts of $hostfile answer"
  elif ((${#answering[@]} == 0)); then
    say "no host of $hostfile answers: ${silent[*]}"
    status=1
    return 1
  else
    say "left out, as it does not answer: ${silent[*]}; going on with ${answering[*]}"
  fi
  if [[ -z $ranks ]]; then return 0; fi
  # Where the hostfile counts no slots, each host gets its share of the ranks.
  left=$total
  if ((!known)); then left=$((ranks * ${#answering[@]} / (${#answering[@]} + ${#silent[@]}))); fi
  if ((left < 1)); then left=1; fi
  if ((ranks > left)); then
    ranks_left=$left
    say "$left ranks instead of $ranks, for the slots that are left; the result is the same"
  fi
}

# Refuses a hostfile of which mpirun would make something else than it says.
check_hostfile() {
  local entry number=0 hosts=0 name='[A-Za-z0-9_][A-Za-z0-9_.:@-]*' field='(slots|max_slots|max-slots|port|username)[[:space:]]*=[[:space:]]*[A-Za-z0-9_.-]+'
  [[ -f $hostfile && -r $hostfile ]] || die "cannot read the hostfile '$hostfile': it is no file that can be read"
  while IFS= read -r entry || [[ -n $entry ]]; do
    number=$((number + 1))
    if [[ $entry == *$'\r' ]]; then
      die "the hostfile $hostfile has Windows line ends (CRLF); convert it with: sed -i 's/\r\$//' '$hostfile'"
    fi
    entry=${entry%%#*}
    if [[ $entry =~ ^[[:space:]]*$ ]]; then continue; fi
    [[ $entry =~ ^[[:space:]]*$name([[:space:]]+$field)*[[:space:]]*$ ]] ||
      die "the hostfile $hostfile, line $number: expected 'NAME slots=RANKS', found '$entry'"
    if [[ $entry =~ slots[[:space:]]*=[[:space:]]*([^[:space:]]+) ]]; then positive "slots in line $number of the hostfile $hostfile" "${BASH_REMATCH[1]}"; fi
    hosts=$((hosts + 1))
  done <"$hostfile"
  ((hosts > 0)) || die "the hostfile $hostfile names no host"
}

# The lines of the hostfile that name a host, without comments.
host_entries() { sed -E 's/#.*//; s/^[[:space:]]+//; s/[[:space:]]+$//; /^$/d' "$hostfile"; }

# Sets `answers`, yes or no by host: local names answer, the others are asked by the program mpirun reaches them with, all
# at once.
ask_hosts() {
  local agent names=() name folder
  declare -gA answers=()
  agent=$(remote_shell)
  mapfile -t names < <(host_entries | sed -E 's/[[:space:]].*//' | sort -u)
  folder=$(mktemp -d)
  for name in "${names[@]}"; do
    if is_local "$name"; then
      touch "$folder/$name"
    else
      # shellcheck disable=SC2086  # the agent may have options
      { timeout 20 $agent -o BatchMode=yes -o ConnectTimeout=5 "$name" true </dev/null >&2 && touch "$folder/$name"; } &
    fi
  done
  wait || true
  for name in "${names[@]}"; do
    answers[$name]=no
    if [[ -e $folder/$name ]]; then answers[$name]=yes; fi
  done
  rm -rf "$folder"
}

is_local() {
  case $1 in
  localhost | 127.* | ::1 | "$(uname -n)" | "$(hostname -s 2>/dev/null)" | "$(hostname -f 2>/dev/null)") return 0 ;;
  esac
  [[ " $(hostname -I 2>/dev/null) " == *" $1 "* ]]
}

# --- the example -------------------------------------------------------------------------------------------------

# Sets `arguments` for `train` without any: the bundled model, data and settings, into a new folder under runs/.
train_example() {
  local examples="$root/examples" output=runs/reviews number=2
  if [[ $root == "$PWD" ]]; then examples=examples; fi
  while [[ -e $output ]]; do
    output=runs/reviews-$number
    number=$((number + 1))
  done
  arguments=(--config "$examples/reviews/prompt-tuning.yaml" --model "$examples/t5-tiny" --data-dir "$examples/reviews"
    --output "$output")
  say "no arguments: prompt tuning of the small T5 in $examples/t5-tiny on the reviews in $examples/reviews"
}

# --- arguments ---------------------------------------------------------------------------------------------------

# A whole number of at least one, or an error that names the option.
is_positive() { [[ $1 =~ ^[1-9][0-9]{0,5}$ ]]; }
positive() { is_positive "$2" || die "$1 needs a whole number of at least 1, not '$2'" 2; }
positive_or_zero() { [[ $2 == 0 ]] || positive "$1" "$2"; }

needs_mpi() {
  case $command in
  train | compare | sweep | evaluate | bench) ;;
  *) return 1 ;;
  esac
  local argument
  for argument in "${arguments[@]}"; do
    case $argument in
    -h | --help | --dry-run) return 1 ;;
    esac
  done
}

ranks="" threads="" hostfile="" max_restarts=0 given_program=0
while (($# > 0)); do
  case $1 in
  -n | -np | --hostfile | --threads | --max-restarts)
    (($# > 1)) || die "$1 needs a value" 2
    case $1 in
    --hostfile) hostfile=$2 ;;
    --threads) positive "$1" "$2" && threads=$2 ;;
    --max-restarts) positive_or_zero "$1" "$2" && max_restarts=$2 ;;
    *) positive "$1" "$2" && ranks=$2 ;;
    esac
    shift 2
    ;;
  -h | --help)
    usage
    exit 0
    ;;
  -*) die "unknown option '$1'; see ./launch.sh --help (options of the command come after the command)" 2 ;;
  *) break ;;
  esac
done
if (($# == 0)); then
  usage >&2
  exit 2
fi
command=$1
shift
arguments=("$@")
if [[ -n $hostfile ]]; then check_hostfile; fi
if [[ $command == train ]] && ((${#arguments[@]} == 0)); then train_example; fi
case $command in
train | compare | sweep) ;;
*) if ((max_restarts > 0)); then die "--max-restarts goes with train, compare and sweep, not with $command" 2; fi ;;
esac

case $command in
test | build) ;;
*)
  if [[ -n ${PEFT_DIST_PROGRAM:-} ]]; then
    given_program=1 program=$PEFT_DIST_PROGRAM
  elif [[ ! -w $root && -x $program ]]; then
    # Somebody else has built it, and this user cannot.
    given_program=1
  fi
  ;;
esac
if ((given_program)); then
  [[ -x $program && ! -d $program ]] || die "PEFT_DIST_PROGRAM is '$program', which is no program"
else
  prepare_build
fi
case $command in
test) run_tests "${arguments[@]}" ;;
build)
  build
  say "built $program"
  exit 0
  ;;
esac
if ((!given_program)); then build; fi
# What the program names in the commands that it suggests.
export PEFT_DIST_LAUNCHER=$0
if ! needs_mpi; then exec "$program" "$command" "${arguments[@]}"; fi
if [[ $(ulimit -n) != unlimited ]] && (($(ulimit -n) < 64)); then
  die "only $(ulimit -n) files may be open, and MPI needs 64 at its start: raise the limit (ulimit -n 1024)"
fi
look_at_machine
find_mpirun
run_to_the_end
