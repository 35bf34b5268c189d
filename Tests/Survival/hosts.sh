#!/usr/bin/env bash
# usage: Tests/Survival/hosts.sh --model DIR --data-dir DIR [options]        (as root)
#
# Four hosts on this machine: network namespaces joined by a bridge, each with a host name and an sshd of its own. A
# run by launch.sh --hostfile --max-restarts 2 on all four loses one of them in the middle: everything of its sshd is
# killed and its link taken down. The restart on the three others must end in the bytes of an undisturbed run on one
# host. Exits 1 if not. No packet leaves the namespaces; they are removed at the end.
#
#   --silent          take the link down without killing anything: the host is just not heard of any more
#   --method NAME     default lora
#   --task NAME       default imdb
#   --program FILE    default .build/release/peft-dist
#   --work DIR        keep the runs there; default: a temporary folder
#
# Needs ip (iproute2), sshd and ssh (openssh-server, openssh-client).
set -uo pipefail
. "$(dirname "$0")/training.bash"

method=lora silent=0
while (($#)); do
  case $1 in
  -h | --help)
    usage
    exit 0
    ;;
  --silent)
    silent=1
    shift
    continue
    ;;
  esac
  (($# > 1)) || refuse "$1 needs a value, or is unknown; see --help"
  case $1 in
  --method) method=$2 ;;
  *) common_option "$@" || refuse "unknown option $1, see --help" ;;
  esac
  shift 2
done
(($(id -u) == 0)) || refuse "network namespaces need root"
for tool in ip ssh sshd ssh-keygen unshare; do
  PATH=$PATH:/usr/sbin command -v "$tool" >/dev/null || refuse "no $tool; apt-get install iproute2 openssh-server openssh-client"
done
sshd=$(PATH=$PATH:/usr/sbin command -v sshd)
prepare
flags+=(--method "$method" --leaf-tokens 100)
if train_knows --stall-timeout-seconds; then flags+=(--stall-timeout-seconds 20); fi

# --- the hosts -----------------------------------------------------------------------------------------------------

# Names are short (an interface has 15 letters at most) and this script's own.
tag=pd$$
hosts=(1 2 3 4)
address() { echo "10.213.77.$1"; }
space() { echo "$tag-$1"; }
processes_of() { ip netns pids "$(space "$1")" 2>/dev/null; }

make_hosts() {
  local host
  ssh-keygen -q -t ed25519 -N "" -f "$work/key"
  ssh-keygen -q -t ed25519 -N "" -f "$work/host_key"
  cp "$work/key.pub" "$work/authorized_keys"
  chmod 600 "$work/authorized_keys"
  cat >"$work/ssh_config" <<CONFIG
Host *
  IdentityFile $work/key
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
CONFIG
  # The bridge lives in a namespace too: nothing is added to this machine's own network.
  ip netns add "$tag-b" || return 1
  ip -n "$tag-b" link add bridge type bridge
  ip -n "$tag-b" link set bridge up
  for host in "${hosts[@]}"; do
    ip netns add "$(space "$host")" || return 1
    ip -n "$(space "$host")" link add eth0 type veth peer name "port$host" netns "$tag-b"
    ip -n "$tag-b" link set "port$host" master bridge up
    ip -n "$(space "$host")" addr add "$(address "$host")/24" dev eth0
    ip -n "$(space "$host")" link set eth0 up
    ip -n "$(space "$host")" link set lo up
    start_host "$host"
  done
}

# Runs a command as if logged in on host $1: its network, its name.
on_host() {
  local host=$1
  shift
  ip netns exec "$(space "$host")" unshare --uts sh -c "hostname node$host; exec \"\$@\"" - "$@"
}

start_host() {
  mkdir -p /run/sshd
  on_host "$1" "$sshd" -f /dev/null -o HostKey="$work/host_key" -o AuthorizedKeysFile="$work/authorized_keys" \
    -o StrictModes=no -o UsePAM=no -o PidFile=none -o PermitRootLogin=yes -o AcceptEnv='*' \
    -o ListenAddress="$(address "$1")" -E "$work/sshd-$1.log"
}

remove_hosts() {
  local host pid
  for host in "${hosts[@]}" b; do
    for pid in $(processes_of "$host"); do kill -KILL "$pid" 2>/dev/null; done
    ip netns del "$(space "$host")" 2>/dev/null
  done
}
leave_too() { remove_hosts; }

lose_host() {
  local host=$1 pid
  ip -n "$tag-b" link set "port$host" down
  if ((silent)); then return; fi
  for pid in $(processes_of "$host"); do kill -KILL "$pid" 2>/dev/null; done
}

# --- the run -------------------------------------------------------------------------------------------------------

run_to_end "$work/reference" 1 1 || exit 1
reference=$(adapter_hash "$work/reference")
echo "undisturbed: 1 host, 1 rank, adapter $reference"

if ! make_hosts; then
  echo "hosts: cannot make network namespaces" >&2
  exit 1
fi
sleep 0.5
for host in "${hosts[@]}"; do
  found=$(on_host 1 timeout 10 ssh -F "$work/ssh_config" -o BatchMode=yes "$(address "$host")" hostname)
  if [[ $found != "node$host" ]]; then
    echo "hosts: host $host answers '$found'" >&2
    cat "$work/sshd-$host.log" >&2
    exit 1
  fi
done
echo "hosts: node1 to node4 answer each other by ssh"

for host in "${hosts[@]}"; do echo "$(address "$host") slots=1"; done >"$work/hostfile"
output=$work/run
export PEFT_DIST_PROGRAM=$program OMPI_MCA_plm_rsh_agent="ssh -F $work/ssh_config"
# TCP over this network alone; node1's own launcher starts the others directly.
export OMPI_MCA_oob_tcp_if_include=eth0 OMPI_MCA_btl_tcp_if_include=eth0
started=$(milliseconds)
on_host 1 "$root/launch.sh" --hostfile "$work/hostfile" --max-restarts 2 train "${flags[@]}" --threads-per-rank 1 \
  --output "$output" >"$output.log" 2>&1 </dev/null &
job=$!

if ! wait_for_step "$output" 3 180; then
  cat "$output.log" >&2
  echo "hosts: the run on four hosts never came to step 3" >&2
  exit 1
fi
lost_after=$(last_step "$output")
lose_host 3
lost_at=$(milliseconds)
echo "node3 taken down after step $lost_after, $(((lost_at - started) / 1000)) s after the start"
while kill -0 "$job" 2>/dev/null && ! grep -q 'restart 1 of' "$output.log"; do sleep 0.1; done
echo "the failure was noticed $((($(milliseconds) - lost_at) / 1000)) s later"
finish_run 300
grep -E '^launch.sh|rank .*(progress|lost|signal)|resuming|^peft-dist: [0-9]+ steps|daemon|lost' "$output.log" |
  cut -c1-200 | sed 's/^/  | /'
echo "exit code $code, $((($(milliseconds) - started) / 1000)) s after the start"

problems=0
check() { # check WHAT CONDITION...
  local what=$1
  shift
  if ! "$@"; then
    echo "WRONG: $what"
    problems=$((problems + 1))
  fi
}
check "the exit code is $code, expected 0" [ "$code" -eq 0 ]
check "the loss of $(address 3) is not told" grep -q "does not answer: $(address 3);" "$output.log"
check "no attempt had four ranks" grep -q '; 4 ranks x 1 thread' "$output.log"
check "no attempt had three ranks" grep -q '; 3 ranks x 1 thread' "$output.log"
resumed=$(sed -nE 's/.*resuming after step ([0-9]+) .*/\1/p' "$output.log" | tail -n 1)
check "resumed after step '$resumed', more than one step before the last, $lost_after" \
  [ "${resumed:--1}" -ge $((lost_after - 1)) ]
hash=$(adapter_hash "$output")
check "the adapter is $hash, expected $reference" [ "$hash" = "$reference" ]
if ((problems > 0)); then
  tail -n 40 "$output.log" >&2
  echo "hosts: FAILED"
  exit 1
fi
echo "adapter $hash"
echo "hosts: one of four hosts was lost; three ended in the bytes of an undisturbed run"
