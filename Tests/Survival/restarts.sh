#!/usr/bin/env bash
# usage: Tests/Survival/restarts.sh
#
# How launch.sh --max-restarts starts a failed run again, with stand-ins for mpirun, ssh and sleep that do what each case
# asks for and note what they were called with. Needs nothing built; takes a few seconds.
set -uo pipefail

case ${1:-} in
"") ;;
-h | --help)
  sed -n '2,5s/^# \{0,1\}//p' "$0"
  exit 0
  ;;
*)
  sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# --- stand-ins -----------------------------------------------------------------------------------------------------

mkdir "$work/bin"
# Notes its arguments and the hostfile; ends with the next code of $CASE/codes. "wait:A:B" waits for USR1 and then ends with
# A; without USR1 with B.
cat >"$work/bin/mpirun" <<'STUB'
#!/usr/bin/env bash
if [[ $1 == --version ]]; then
  echo "mpirun (Open MPI) $(cat "$CASE/version" 2>/dev/null || echo 4.1.4)"
  exit 0
fi
echo "$*" >>"$CASE/launches"
echo "${PRTE_MCA_plm_ssh_agent:-}" >>"$CASE/agent"
while (($#)); do
  if [[ $1 == --hostfile ]]; then cp "$2" "$CASE/hostfile.$(wc -l <"$CASE/launches")"; fi
  shift
done
code=$(sed -n "$(wc -l <"$CASE/launches")p" "$CASE/codes")
if [[ $code == wait:* ]]; then
  IFS=: read -r _ stopped otherwise <<<"$code"
  trap 'exit "$stopped"' USR1
  touch "$CASE/waits"
  for _ in {1..100}; do /bin/sleep 0.05; done
  exit "$otherwise"
fi
exit "${code:-99}"
STUB
# A host answers if $CASE/up lists it; with "NAME after N" once mpirun has been started N times.
cat >"$work/bin/ssh" <<'STUB'
#!/usr/bin/env bash
echo "$*" >>"$CASE/asked"
host=${*: -2:1}
launches=$(wc -l <"$CASE/launches")
while read -r name _ after; do
  if [[ $name == "$host" ]] && ((launches >= ${after:-0})); then exit 0; fi
done <"$CASE/up"
echo "ssh: connect to host $host port 22: No route to host" >&2
exit 255
STUB
cat >"$work/bin/sleep" <<'STUB'
#!/usr/bin/env bash
echo "$1" >>"$CASE/pauses"
if [[ -e $CASE/slow ]]; then /bin/sleep 3; fi
STUB
printf '#!/bin/sh\nexit 0\n' >"$work/bin/peft-dist"
chmod +x "$work"/bin/*

# --- running a case ------------------------------------------------------------------------------------------------

# case NAME CODE...: a new case in which mpirun ends with these codes.
start_case() {
  name=$1
  CASE=$work/$(echo "$name" | tr ' ' '-')
  mkdir "$CASE"
  export CASE
  shift
  printf '%s\n' "$@" >"$CASE/codes"
  touch "$CASE/launches" "$CASE/up" "$CASE/pauses"
}

launch() {
  PATH="$work/bin:$PATH" PEFT_DIST_PROGRAM="$work/bin/peft-dist" "$root/launch.sh" "$@" 2>"$CASE/errors" </dev/null
  code=$?
}

expect() { # expect WHAT FOUND WANTED
  if [[ $2 != "$3" ]]; then
    echo "$name: $1 is '$2', expected '$3'"
    sed 's/^/    /' "$CASE/errors"
    failures=$((failures + 1))
  fi
}
launches() { wc -l <"$CASE/launches"; }
resumed() { grep -n -- '--resume' "$CASE/launches" | cut -d: -f1 | paste -sd' '; }
pauses() { paste -sd' ' "$CASE/pauses"; }
says() { grep -qF -- "$1" "$CASE/errors" && echo yes || echo no; }

train=(train --model m --output "$work/out")

start_case "two failures, then well" 1 137 0
launch -n 2 --max-restarts 3 "${train[@]}"
expect "exit code" "$code" 0
expect "launches" "$(launches)" 3
expect "launches with --resume" "$(resumed)" "2 3"
expect "pauses" "$(pauses)" "1 2"
expect "the signal named" "$(says 'ended by SIGKILL')" yes
expect "what it says" "$(says 'restart 2 of 3 from the last checkpoint, in 2 s')" yes

start_case "too often" 1 1 1 0
launch -n 2 --max-restarts 2 "${train[@]}"
expect "exit code" "$code" 1
expect "launches" "$(launches)" 3
expect "what it says" "$(says 'no restart is left of 2')" yes

start_case "pauses up to a minute" 1 1 1 1 1 1 1 1 0
launch -n 2 --max-restarts 9 "${train[@]}"
expect "pauses" "$(pauses)" "1 2 4 8 16 32 60 60"

start_case "without the option" 1 0
launch -n 2 "${train[@]}"
expect "exit code" "$code" 1
expect "launches" "$(launches)" 1
expect "launches with --resume" "$(resumed)" ""

for ending in 0 2 75; do
  start_case "no restart after $ending" $ending 0
  launch -n 2 --max-restarts 3 "${train[@]}"
  expect "exit code" "$code" "$ending"
  expect "launches" "$(launches)" 1
done

start_case "resume given" 1 0
launch -n 2 --max-restarts 1 "${train[@]}" --resume
expect "launches with --resume" "$(resumed)" "1 2"
expect "doubled" "$(grep -c -- '--resume.*--resume' "$CASE/launches")" 0

start_case "an output that holds a run" 1 0
mkdir -p "$CASE/out/checkpoints"
launch -n 2 --max-restarts 3 train --model m --output "$CASE/out"
expect "exit code" "$code" 1
expect "launches" "$(launches)" 1
launch -n 2 --max-restarts 3 train --model m "--output=$CASE/out"
expect "launches" "$(launches)" 2
printf 'model: m\noutput: "%s"  # here\n' "$CASE/out" >"$CASE/run.yaml"
printf '%s\n' 0 0 1 0 >"$CASE/codes"
launch -n 2 --max-restarts 3 train --config "$CASE/run.yaml"
expect "launches" "$(launches)" 3
printf '%s\n' 0 0 0 1 0 >"$CASE/codes"
launch -n 2 --max-restarts 3 train --config "$CASE/run.yaml" --resume
expect "exit code with --resume" "$code" 0
expect "launches with --resume" "$(launches)" 5

start_case "not for other commands" 0
launch -n 2 --max-restarts 3 evaluate --model m
expect "exit code" "$code" 2
launch -n 2 --max-restarts x "${train[@]}"
expect "exit code" "$code" 2
expect "launches" "$(launches)" 0

# --- hosts ---------------------------------------------------------------------------------------------------------

hosts() {
  printf '%s\n' "# four hosts" "  a slots=2" "b   slots=2 # the second" "" "c slots=1 max_slots=4" \
    "$(uname -n) slots = 1" >"$CASE/hosts"
}

start_case "a host is gone" 1 0
hosts
printf 'a\nc\n' >"$CASE/up"
launch -n 6 --hostfile "$CASE/hosts" --max-restarts 2 "${train[@]}"
expect "exit code" "$code" 0
expect "hosts asked" "$(sed 's/ true$//; s/.* //' "$CASE/asked" | sort | paste -sd' ')" "a b c"
expect "how" "$(head -n 1 "$CASE/asked" | sed 's/ . true$//')" "-o BatchMode=yes -o ConnectTimeout=5"
expect "first hosts" "$(cmp "$CASE/hosts" "$CASE/hostfile.1" && echo same)" same
expect "hosts left" "$(paste -sd, "$CASE/hostfile.2")" "a slots=2,c slots=1 max_slots=4,$(uname -n) slots = 1"
expect "ranks" "$(grep -o -- '-n [0-9]*' "$CASE/launches" | paste -sd' ')" "-n 6 -n 4"
expect "what it says" "$(says "left out, as it does not answer: b; going on with a c $(uname -n)")" yes
expect "what it says" "$(says '4 ranks instead of 6')" yes
expect "hostfiles left behind" "$(ls "$(sed -nE '2s/.*--hostfile ([^ ]*).*/\1/p' "$CASE/launches")" 2>/dev/null)" ""

start_case "fewer ranks than slots" 1 0
hosts
printf 'a\nc\n' >"$CASE/up"
launch -n 3 --hostfile "$CASE/hosts" --max-restarts 2 "${train[@]}"
expect "ranks" "$(grep -o -- '-n [0-9]*' "$CASE/launches" | paste -sd' ')" "-n 3 -n 3"

start_case "as many ranks as slots" 1 0
hosts
printf 'a\nc\n' >"$CASE/up"
launch --hostfile "$CASE/hosts" --max-restarts 2 "${train[@]}"
expect "ranks" "$(grep -c -- ' -n ' "$CASE/launches")" 0

start_case "slots not counted" 1 0
printf 'a\nb\nc\n' >"$CASE/hosts"
printf 'a\nc\n' >"$CASE/up"
launch -n 7 --hostfile "$CASE/hosts" --max-restarts 2 "${train[@]}"
expect "ranks" "$(grep -o -- '-n [0-9]*' "$CASE/launches" | paste -sd' ')" "-n 7 -n 4"

start_case "a host comes back" 1 1 0
printf 'a slots=1\nb slots=1\n' >"$CASE/hosts"
printf 'a\nb after 2\n' >"$CASE/up"
launch -n 2 --hostfile "$CASE/hosts" --max-restarts 2 "${train[@]}"
expect "hosts of the second launch" "$(paste -sd, "$CASE/hostfile.2")" "a slots=1"
expect "hosts of the third launch" "$(paste -sd, "$CASE/hostfile.3")" "a slots=1,b slots=1"
expect "ranks" "$(grep -o -- '-n [0-9]*' "$CASE/launches" | paste -sd' ')" "-n 2 -n 1 -n 2"
expect "what it says" "$(says "all 2 hosts of $CASE/hosts answer")" yes

start_case "no host answers" 137 0
printf 'a slots=1\nb slots=1\n' >"$CASE/hosts"
launch -n 2 --hostfile "$CASE/hosts" --max-restarts 3 "${train[@]}"
expect "exit code" "$code" 1
expect "launches" "$(launches)" 1
expect "pauses" "$(pauses)" "1 2 4"
expect "what it says" "$(says "no host of $CASE/hosts answers: a b")" yes

# How a host that has gone is noticed soon is told in the words of the version at hand, and in no other's.
for version in 4.1.4 5.0.7 6.0.0a1; do
  start_case "keepalive of Open MPI $version" 0
  hosts
  echo "$version" >"$CASE/version"
  launch --hostfile "$CASE/hosts" --max-restarts 1 "${train[@]}"
  expect "exit code" "$code" 0
  expect "--mca" "$(grep -o -- '--mca oob_tcp_keepalive_[a-z]*' "$CASE/launches" | wc -l)" "$((${version%%.*} < 5 ? 3 : 0))"
  expect "--prtemca" "$(grep -o -- '--prtemca oob_tcp_keepalive_[a-z]*' "$CASE/launches" | wc -l)" "$((${version%%.*} < 5 ? 0 : 3))"
done

start_case "another ssh" 1 0
cp "$work/bin/ssh" "$work/bin/my-ssh"
printf 'a slots=1\n' >"$CASE/hosts"
printf 'a\n' >"$CASE/up"
OMPI_MCA_plm_rsh_agent="my-ssh -F configuration" launch --hostfile "$CASE/hosts" --max-restarts 1 "${train[@]}"
expect "how" "$(cat "$CASE/asked")" "-F configuration -o BatchMode=yes -o ConnectTimeout=5 a true"

start_case "another ssh of Open MPI 5" 1 0
echo 5.0.7 >"$CASE/version"
printf 'a slots=1\n' >"$CASE/hosts"
printf 'a\n' >"$CASE/up"
OMPI_MCA_plm_rsh_agent="my-ssh -F configuration" launch --hostfile "$CASE/hosts" --max-restarts 1 "${train[@]}"
expect "how" "$(cat "$CASE/asked")" "-F configuration -o BatchMode=yes -o ConnectTimeout=5 a true"
expect "mpirun's" "$(sort -u "$CASE/agent")" "my-ssh -F configuration"

# --- signals -------------------------------------------------------------------------------------------------------

# Starts launch.sh in the background, waits for the file $1, sends it TERM, and takes its exit code.
launch_and_stop() {
  local awaited=$1 pid _
  shift
  PATH="$work/bin:$PATH" PEFT_DIST_PROGRAM="$work/bin/peft-dist" "$root/launch.sh" "$@" \
    2>"$CASE/errors" </dev/null &
  pid=$!
  for _ in {1..200}; do
    if [[ -s $awaited || ($awaited == */waits && -e $awaited) ]]; then break; fi
    /bin/sleep 0.05
  done
  kill -TERM "$pid"
  wait "$pid"
  code=$?
}

start_case "stopped by a signal" wait:75:0 0
launch_and_stop "$CASE/waits" -n 2 --max-restarts 3 "${train[@]}"
expect "exit code" "$code" 75
expect "launches" "$(launches)" 1

start_case "a failure while it stops" wait:1:0 0
launch_and_stop "$CASE/waits" -n 2 --max-restarts 3 "${train[@]}"
expect "exit code" "$code" 1
expect "launches" "$(launches)" 1

start_case "a signal in the pause" 1 0
touch "$CASE/slow"
launch_and_stop "$CASE/pauses" -n 2 --max-restarts 3 "${train[@]}"
expect "exit code" "$code" 75
expect "launches" "$(launches)" 1
expect "what it says" "$(says 'asked to stop before the restart')" yes

if ((failures > 0)); then
  echo "restarts: $failures checks failed"
  exit 1
fi
echo "restarts: launch.sh --max-restarts does what it says"
