#!/usr/bin/env bash
# Looks at every host before a run: one line each, exit code 1 if one is unfit or differs from the first.
#
#   cluster/check-nodes.sh --hostfile hosts --output /shared/runs     (over ssh)
#   cluster/check-nodes.sh --output /shared/runs                      (in a Slurm allocation, with srun)
#
# Compared: the program (SHA-256), the numeric identity that `peft-dist doctor` finds (a hash of what the host computes),
# Open MPI's version. Required: the output folder, seen by all as the same folder, can be
# written. Shown: CPU features, which may differ, and memory to spare.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program="$root/.build/release/peft-dist"
hostfile="" output=""

usage() { sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }
die() {
  printf 'check-nodes.sh: error: %s\n' "$1" >&2
  exit "${2:-1}"
}

while (($# > 0)); do
  case $1 in
  --hostfile | --output | --program)
    (($# > 1)) || die "$1 needs a value" 2
    declare "${1#--}=$2"
    shift 2
    ;;
  -h | --help)
    usage
    exit 0
    ;;
  *) die "unknown argument '$1'; see --help" 2 ;;
  esac
done

# Runs on a host: KEY=VALUE words, values without blanks. Arguments: program, output folder or "", name of a file that the
# starting host has put into it.
examine() {
  local program=$1 output=$2 probe=$3 sum=missing identity=none mpi=none folder=unasked flags="" flag own
  if [[ -x $program ]]; then
    sum=$(sha256sum "$program" | cut -c1-12)
    # Without the variables of a Slurm step, in which a program that srun has started cannot start MPI.
    identity=$(env -i PATH="$PATH" HOME="${HOME:-/}" LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}" "$program" doctor \
      2>/dev/null </dev/null | sed -n 's/^ *identity *//p' | tr -s ' ' '_' || true)
    identity=${identity:-none}
  fi
  for flag in avx2 fma avx512f avx512vl avx512_bf16 avx512_fp16 amx_tile; do
    if grep -qw -m 1 "$flag" /proc/cpuinfo; then flags+="${flags:+,}$flag"; fi
  done
  if command -v mpirun >/dev/null; then mpi=$(mpirun --version 2>/dev/null | head -n 1 | grep -oE '[0-9][0-9.]*$' || echo unknown); fi
  if [[ -n $output ]]; then
    own="$output/.peft-dist-check-$(uname -n)-$$"
    if [[ ! -d $output ]]; then folder=missing
    elif ! (: >"$own") 2>/dev/null; then folder=unwritable
    elif [[ ! -e $output/$probe ]]; then folder=not_shared
    else folder=writable; fi
    rm -f "$own"
  fi
  echo "program=$sum mpi=$mpi cpu=${flags:-plain} identity=$identity memory=$(awk '/MemAvailable/ {printf "%dG", $2 / 1048576}' /proc/meminfo) output=$folder"
}

# The examination of one host, or nothing if it cannot be reached.
ask() {
  local host=$1 script
  if [[ $host == localhost || $host == "$(uname -n)" || $host == "$(uname -n | cut -d. -f1)" ]]; then
    examine "$program" "$output" "$probe"
    return
  fi
  # The function goes along as text: the other host needs no copy of this script.
  script="$(declare -f examine); examine $(printf '%q ' "$program" "$output" "$probe")"
  if [[ -n $hostfile ]]; then
    ssh -o BatchMode=yes -o ConnectTimeout=10 "$host" bash -s <<<"$script"
  else
    srun --nodes=1 --ntasks=1 --nodelist="$host" bash -c "$script" </dev/null
  fi
}

# The value of KEY in the words of a host.
value() { tr ' ' '\n' <<<"$2" | sed -n "s/^$1=//p"; }

hosts=()
if [[ -n $hostfile ]]; then
  [[ -r $hostfile ]] || die "cannot read the hostfile '$hostfile'"
  mapfile -t hosts < <(sed 's/#.*//' "$hostfile" | awk 'NF && !seen[$1]++ {print $1}')
elif [[ -n ${SLURM_JOB_NODELIST:-} ]]; then
  mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
else
  die "give --hostfile FILE, or run this in a Slurm allocation; see --help" 2
fi
((${#hosts[@]} > 0)) || die "there is no host in ${hostfile:-the allocation}"

probe=".peft-dist-check-$$"
if [[ -n $output ]]; then
  mkdir -p "$output"
  output=$(cd "$output" && pwd)
  : >"$output/$probe"
  trap 'rm -f "$output/$probe"' EXIT
fi

first="" failed=0
for host in "${hosts[@]}"; do
  found=$(ask "$host" 2>/dev/null | grep '^program=' || true)
  problems=()
  if [[ -z $found ]]; then
    problems=("cannot be reached without a password")
  else
    first=${first:-$found}
    for key in program mpi identity; do
      if [[ $(value "$key" "$found") != "$(value "$key" "$first")" ]]; then problems+=("$key differs"); fi
    done
    if [[ $found == *program=missing* ]]; then problems+=("no program at $program"); fi
    if [[ $found != *program=missing* && $found == *identity=none* ]]; then
      problems+=("$program doctor fails there; run it to see why")
    fi
    if [[ $found == *mpi=none* ]]; then problems+=("no mpirun on PATH"); fi
    case $(value output "$found") in
    writable | unasked) ;;
    *) problems+=("output folder $(value output "$found")") ;;
    esac
  fi
  verdict=ok
  if ((${#problems[@]} > 0)); then
    failed=1
    verdict=$(printf '%s; ' "${problems[@]}")
    verdict=${verdict%; }
  fi
  printf '%s: %s (%s)\n' "$host" "$verdict" "${found:-no answer}"
done
exit "$failed"
