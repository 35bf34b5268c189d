# What peft-dist needs of this machine: whether it is there, and which packages bring it. Sourced by launch.sh, which has
# `say` and `die`.

# What each need is, by its word; `has_WORD` tells whether it is there.
declare -A need_names=(
  [git]="git" [certificates]="the certificates by which git trusts a host" [pkg_config]="pkg-config"
  [cxx]="the C++ standard headers" [mpi]="Open MPI's headers" [mpirun]="Open MPI's mpirun" [openblas]="OpenBLAS"
  [sentencepiece]="SentencePiece with its headers" [time_zones]="the table of time zones"
)
# Debian packages that bring it: an extended regular expression, as names carry versions that differ between releases. Of
# those that apt knows the newest is taken.
declare -A need_packages=(
  [git]='git' [certificates]='ca-certificates' [pkg_config]='pkg-config|pkgconf' [mpi]='libopenmpi-dev'
  [mpirun]='openmpi-bin' [openblas]='libopenblas[0-9]+' [sentencepiece]='libsentencepiece-dev' [time_zones]='tzdata'
)

has_git() { command -v git >/dev/null; }
has_certificates() { compgen -G '/etc/ssl/certs/*' >/dev/null || [[ -e /etc/pki/tls/certs ]]; }
has_pkg_config() { command -v pkg-config >/dev/null; }
has_mpi() { pkg-config --exists ompi-c 2>/dev/null; }
has_mpirun() { [[ $(mpirun --version 2>/dev/null || mpirun.openmpi --version 2>/dev/null) == *"Open MPI"* ]]; }
has_openblas() { has_library libopenblas.so.0; }
# Debian 13's sentencepiece.pc asks for packages that no program needs to link with the library.
has_sentencepiece() { has_header sentencepiece_processor.h && has_header sentencepiece_trainer.h; }
has_time_zones() { [[ -d /usr/share/zoneinfo ]]; }
# The compiler takes the headers of the newest GCC whose folder it finds, and none of another version.
has_cxx() {
  local version
  version=$(newest_gcc)
  if [[ -n $version ]]; then [[ -e /usr/include/c++/$version ]]; else compgen -G '/usr/include/c++/*/memory' >/dev/null; fi
}

# The version of the newest GCC of which there is a folder; nothing without one.
newest_gcc() {
  local folder versions=()
  for folder in "/usr/lib/gcc/$(uname -m)"-*/*/; do
    if [[ -e ${folder}crtbegin.o ]]; then versions+=("$(basename "$folder")"); fi
  done
  printf '%s\n' "${versions[@]}" | sort -V | tail -n 1
}

# Whether the compiler finds the header $1.
has_header() {
  local folder
  while read -r -d : folder; do
    if [[ -n $folder && -e $folder/$1 ]]; then return 0; fi
  done <<<"${CPATH:-}:/usr/local/include:/usr/include:"
  return 1
}

# Whether the loader finds the shared library $1.
has_library() {
  local folder
  if [[ $(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null) =~ (^|[[:space:]])"$1"[[:space:].] ]]; then return 0; fi
  while read -r -d : folder; do
    if [[ -n $folder && -e $folder/$1 ]]; then return 0; fi
  done <<<"${LD_LIBRARY_PATH:-}:/usr/lib:/usr/lib64:/usr/local/lib:/usr/local/lib64:"
  return 1
}

# The words of what is missing, of `need_names` and shared libraries of the Swift tools.
missing_needs() {
  local word
  for word in git certificates pkg_config cxx mpi mpirun openblas sentencepiece time_zones; do
    "has_$word" || echo "$word"
  done
  libraries_swift_lacks
}

# Shared libraries that the tools of the Swift at PATH need and the loader does not find.
libraries_swift_lacks() {
  local folder tool
  folder=$(dirname "$(readlink -f "$(command -v swift)")")
  for tool in swift-package swift-frontend clang; do
    if [[ -x $folder/$tool ]]; then ldd "$folder/$tool" 2>/dev/null; fi
  done | sed -nE 's/^[[:space:]]*([^[:space:]]+) => not found.*/\1/p' | sort -u
}

# What the need $1 is, for a message.
need_name() { echo "${need_names[$1]:-the shared library $1}"; }

# The package that brings the need $1; nothing if apt knows none.
package_for() {
  local version
  case $1 in
  cxx)
    version=$(newest_gcc)
    newest_package "libstdc\\+\\+-${version:-[0-9]+}-dev"
    ;;
  *.so.*) package_of_library "$1" ;;
  *) newest_package "${need_packages[$1]}" ;;
  esac
}

# The package of a shared library, by Debian's rule for their names: libNAME.so.N lies in libNAMEN, in libNAME-N where the
# name ends in a digit, with t64 behind it since the 64-bit time of 2024; some carry the name alone.
package_of_library() {
  local base=${1%%.so.*} version=${1##*.so.} name
  if [[ $base == libz ]]; then base=zlib version='1g?'; fi
  name=${base//+/\\+}
  name=${name//./\\.}
  newest_package "$name-?$version(t64)?" "$name"
}

# The newest package that apt can install of those whose names match the first of these expressions that has any.
newest_package() {
  local expression name
  for expression in "$@"; do
    while read -r name; do
      if [[ $(LC_ALL=C apt-cache policy "$name" 2>/dev/null) =~ Candidate:\ [^\(] ]]; then
        echo "$name"
        return
      fi
    done < <(apt-cache pkgnames 2>/dev/null | grep -Ex "$expression" | sort -Vr)
  done
}

# Installs what is missing where this user may, and names it otherwise.
install_missing() {
  local missing word names="" package packages=() unknown=() as_root=()
  mapfile -t missing < <(missing_needs)
  if ((${#missing[@]} == 0)); then return; fi
  for word in "${missing[@]}"; do names+="${names:+, }$(need_name "$word")"; done
  if ! command -v apt-get >/dev/null; then
    die "missing: $names. Install them with this system's package manager."
  fi
  if (($(id -u) != 0)); then
    if sudo -n true 2>/dev/null; then
      as_root=(sudo)
    else
      find_packages
      die "missing: $names. Install them with: sudo apt-get update && sudo apt-get install -y ${packages[*]}${unknown[*]:+ (after the update, also what brings ${unknown[*]})}"
    fi
  fi
  say "missing: $names"
  "${as_root[@]}" apt-get update >&2 || say "warning: apt-get update failed; trying with the lists that are there"
  find_packages
  ((${#unknown[@]} == 0)) || die "no package of this system's lists (apt-cache) brings ${unknown[*]}; install it by hand"
  say "installing ${packages[*]}"
  install_packages "${packages[@]}" || die "apt-get install failed, see above; by hand: apt-get install ${packages[*]}"
  # Of use for --precision bf16 alone, which works without it.
  package=$(newest_package 'libdnnl[0-9.]+(t64)?')
  if [[ -n $package ]] && ! has_library libdnnl.so; then
    install_packages "$package" || say "warning: cannot install oneDNN ($package); --precision bf16 does without it"
  fi
  mapfile -t missing < <(missing_needs)
  ((${#missing[@]} == 0)) || die "still missing after the installation: $(for word in "${missing[@]}"; do need_name "$word"; done | paste -sd,)"
}

# Sets `packages`, those for the words in `missing`, and `unknown`, what no package was found for.
find_packages() {
  for word in "${missing[@]}"; do
    package=$(package_for "$word")
    if [[ -n $package ]]; then packages+=("$package"); else unknown+=("$(need_name "$word")"); fi
  done
}

install_packages() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >&2
}

# Puts the Swift compiler on PATH where it lies in one of its usual folders.
find_swift() {
  local folder
  for folder in "${HOME:-/root}/.local/share/swiftly/bin" /opt/swift/usr/bin /usr/share/swift/usr/bin; do
    if ! command -v swift >/dev/null && [[ -x $folder/swift ]]; then PATH="$folder:$PATH"; fi
  done
  command -v swift >/dev/null ||
    die "no swift on PATH: install Swift 6.1 or later from https://www.swift.org/install/linux/ and put its bin folder on PATH"
}

# Refuses a Swift compiler that does not start or is too old.
check_swift() {
  local found major minor
  if ! found=$(swift --version 2>&1); then
    die "$(command -v swift) does not start: $(tail -n 1 <<<"$found")"
  fi
  if [[ ! $found =~ Swift\ version\ ([0-9]+)\.([0-9]+) ]]; then
    die "'swift --version' names no version but says '$(head -n 1 <<<"$found")'; is $(command -v swift) the Swift compiler?"
  fi
  major=${BASH_REMATCH[1]} minor=${BASH_REMATCH[2]}
  if ((major < 6 || (major == 6 && minor < 1))); then
    die "Swift $major.$minor at $(command -v swift) is too old: 6.1 or later is needed, see https://www.swift.org/install/linux/"
  fi
}
