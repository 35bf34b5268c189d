#!/usr/bin/env bash
# usage: Tests/Distributions/run.sh RELEASE|ROOT [options] [-- COMMAND...]        (as root)
#
# Runs the tests of this tree on another Linux distribution: in a root folder of its own, which begins as a minimal image
# and gets what launch.sh installs. RELEASE is a release of Debian, such as trixie, whose root debootstrap makes; ROOT is a
# folder that holds a root already. COMMAND runs in the copied tree; without one `./launch.sh test`. Exits with its code.
#
#   --keep DIR        make the root in DIR and leave it there, for the next call; default: a temporary folder
#   --mirror URL      where debootstrap fetches from; default: the mirror that this machine's apt uses
#   --swift DIR       a Swift toolchain, the folder with bin/swift in it; default: that of swift on PATH
#   --bind DIR        a folder that the root sees too, at the same path; may be given several times. Folders that the system's
#                     git configuration names in place of addresses (url.DIR.insteadOf) are seen without being asked for
#   --log FILE        default .build/distributions/NAME.log of this tree
#
# Needs root, unshare (util-linux), for a RELEASE debootstrap, and the network or a mirror.
set -euo pipefail

source_tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

refuse() {
  echo "distributions: $1" >&2
  exit 2
}

# The mirror in the first source of Debian packages that apt has.
mirror_of_apt() {
  local found
  found=$(sed -nE 's/^(URIs:|deb( \[[^]]*\])?) +(http[^ ]*debian\/?)( .*|$)/\3/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)
  echo "${found:-http://deb.debian.org/debian}"
}

name="" keep="" mirror="" swift="" log="" binds=() again=()
while (($#)); do
  case $1 in
  -h | --help)
    sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"
    exit 0
    ;;
  --)
    shift
    break
    ;;
  --keep | --mirror | --swift | --bind | --log)
    (($# > 1)) || refuse "$1 needs a value"
    case $1 in
    --keep) keep=$2 ;;
    --mirror) mirror=$2 ;;
    --swift) swift=$2 ;;
    --bind) binds+=("$(realpath "$2")") ;;
    --log) log=$2 ;;
    esac
    shift 2
    ;;
  -*) refuse "unknown option $1, see --help" ;;
  *)
    [[ -z $name ]] || refuse "one release or root, not '$name' and '$1'"
    name=$1
    shift
    ;;
  esac
done
[[ -n $name ]] || refuse "name a release (trixie) or a root folder, see --help"
(($(id -u) == 0)) || refuse "a root of its own needs root"
if (($# == 0)); then set -- ./launch.sh test; fi

# --- the root --------------------------------------------------------------------------------------------------------

if [[ -n ${PEFT_DIST_ROOT:-} ]]; then
  root=$PEFT_DIST_ROOT
elif [[ -d $name ]]; then
  root=$(realpath "$name")
  [[ -x $root/bin/sh ]] || refuse "$name holds no root: there is no bin/sh"
else
  command -v debootstrap >/dev/null || refuse "no debootstrap: apt-get install debootstrap, or name a root folder"
  root=${keep:-$(mktemp -d "${TMPDIR:-/var/tmp}/peft-dist-root.XXXXXX")}
  mkdir -p "$root"
  root=$(realpath "$root")
  if [[ -z $keep ]]; then trap 'rm -rf --one-file-system "$root"' EXIT; fi
  if [[ ! -x $root/bin/sh ]]; then
    debootstrap --variant=minbase "$name" "$root" "${mirror:-$(mirror_of_apt)}" >"$root.log" 2>&1 ||
      { tail -n 5 "$root.log" >&2 && refuse "debootstrap failed, see $root.log"; }
    rm -f "$root.log"
  fi
fi
: "${log:=$source_tree/.build/distributions/$(basename "$name").log}"

# What is mounted is so in a name space of its own: it goes with this script, however that ends.
if [[ -z ${PEFT_DIST_ROOT:-} ]]; then
  for folder in "${binds[@]}"; do again+=(--bind "$folder"); done
  status=0
  PEFT_DIST_ROOT=$root unshare --mount --propagation private "${BASH_SOURCE[0]}" "$name" --log "$log" \
    ${swift:+--swift "$swift"} "${again[@]}" -- "$@" || status=$?
  exit "$status"
fi

# --- inside the name space -------------------------------------------------------------------------------------------

# Lets the root see the folder $1, at $2.
show() {
  mkdir -p "$root$2"
  mountpoint -q "$root$2" || mount --rbind "$1" "$root$2"
}

if [[ -z $swift ]]; then
  swift=$(command -v swift) || refuse "no swift on PATH; name a toolchain with --swift"
  swift=$(dirname "$(dirname "$(readlink -f "$swift")")")
fi
[[ -x $swift/bin/swift ]] || refuse "$swift is no Swift toolchain: there is no bin/swift"
# A folder in which launch.sh looks for Swift.
show "$swift" /opt/swift/usr
show /dev /dev
show /sys /sys
mkdir -p "$root/proc"
mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
while read -r folder; do
  if [[ -d $folder ]]; then binds+=("$folder"); fi
done < <(git config --system --name-only --get-regexp '^url\..*\.insteadof$' 2>/dev/null | sed -E 's/^url\.(.*)\.insteadof$/\1/' | sort -u)
for folder in "${binds[@]}"; do show "$folder" "${folder%/}"; done

if [[ -e /etc/gitconfig ]]; then cp /etc/gitconfig "$root/etc/gitconfig"; fi
if [[ -e /etc/resolv.conf ]]; then cp -L /etc/resolv.conf "$root/etc/resolv.conf"; fi
if [[ -d $root/etc/apt/apt.conf.d ]] && command -v apt-config >/dev/null; then
  apt-config dump 2>/dev/null | grep -iE '^Acquire::[a-z:]*proxy' >"$root/etc/apt/apt.conf.d/99proxy" || true
fi

tree=/root/peft-dist
mkdir -p "$root$tree" "$(dirname "$log")"
# Files that have gone since the last call do not stay; what was built there does.
rm -rf "$root$tree/Sources" "$root$tree/Tests"
(cd "$source_tree" && git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
  if [[ -e $file ]]; then printf '%s\0' "$file"; fi
done | tar -c --null -T -) | tar -x --no-same-owner -C "$root$tree"

inside() {
  chroot "$root" env -i HOME=/root TERM="${TERM:-dumb}" LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/swift/usr/bin \
    http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" PEFT_DIST_SLOW_TESTS="${PEFT_DIST_SLOW_TESTS:-}" "$@"
}

# --- the command -----------------------------------------------------------------------------------------------------

# Distribution, CPU, and the versions of what launch.sh has installed.
versions() {
  # shellcheck disable=SC2016  # the shell inside expands these
  inside sh -c '. /etc/os-release && echo "$PRETTY_NAME"; grep -m 1 "^model name" /proc/cpuinfo; swift --version 2>&1 | head -n 1
    mpirun --version 2>/dev/null | head -n 1
    dpkg-query -W -f "\${Package} \${Version}\n" "libopenblas0" "libdnnl[0-9]*" "libsentencepiece0" "libopenmpi[0-9]*" 2>/dev/null | grep " ."' || true
}

status=0
{
  echo "== $* in $root, $(date -u +%Y-%m-%dT%H:%MZ)"
  # shellcheck disable=SC2016
  inside bash -c 'cd "$1" && shift && exec "$@"' - "$tree" "$@" 2>&1 || status=$?
  echo "== exit code $status"
  versions
} >"$log"
grep -E '^== |Test run with|error:|recorded an issue' "$log" | tail -n 60 || true
sed -n '/^== exit code/,$p' "$log" | tail -n +2
echo "distributions: $log"
exit "$status"
