# What this machine offers: cores, NUMA nodes, the MPI. Sourced by launch.sh.
# shellcheck disable=SC2034  # launch.sh uses what is set here

# Sets `machine_cores` (real cores), `cores` (those this shell may use, no more than its control groups give it time for)
# and `nodes` (NUMA nodes).
look_at_machine() {
  local allowed quota listed
  allowed=$(nproc)
  cores=$allowed nodes=1
  if listed=$(lscpu -p=CORE,SOCKET,NODE 2>/dev/null); then
    cores=$(sed '/^#/d' <<<"$listed" | cut -d, -f1,2 | sort -u | wc -l)
    nodes=$(sed '/^#/d' <<<"$listed" | cut -d, -f3 | sort -u | wc -l)
  fi
  machine_cores=$cores
  quota=$(cpu_quota "")
  if [[ -n $quota ]] && ((quota < allowed)); then allowed=$quota; fi
  if ((allowed < cores)); then cores=$allowed; fi
  if ((cores < 1)); then cores=1; fi
  if ((nodes < 1)); then nodes=1; fi
  if ((nodes > cores)); then nodes=$cores; fi
}

# Whole cores, at least 1, of the CPU time that the control groups of this shell allow (versions 1 and 2, its own group and
# all above it); nothing without a limit. `ControlGroup.swift` does the same. $1 stands for / in tests.
cpu_quota() {
  local system=$1 controllers group path kind root point folder found least=""
  if [[ ! -r $system/proc/self/cgroup || ! -r $system/proc/self/mountinfo ]]; then return 0; fi
  while IFS=: read -r _ controllers group; do
    case ,$controllers, in
    ,,) kind=cgroup2 ;;
    *,cpu,*) kind=cgroup ;;
    *) continue ;;
    esac
    while read -r root point; do
      # The mount shows the hierarchy from `root` down.
      path=$group
      if [[ $root != / ]]; then path=${group#"$root"}; fi
      folder=$point${path%/}
      if [[ $path == /..* || ! -d $system$folder ]]; then folder=$point; fi
      while true; do
        found=$(quota_of_group "$system$folder")
        if [[ -n $found ]] && ((${least:-$found} >= found)); then least=$found; fi
        if [[ $folder == "$point" ]]; then break; fi
        folder=${folder%/*}
      done
    done < <(mounts_of_groups "$kind" "$system")
  done <"$system/proc/self/cgroup"
  echo "$least"
}

# Root and mount point of each mount of control groups of the kind $1 (cgroup: with the cpu controller).
mounts_of_groups() {
  local root point rest
  while read -r _ _ _ root point rest; do
    if [[ " $rest" != *" - $1 "* ]]; then continue; fi
    if [[ $1 == cgroup2 || ,${rest##* }, == *,cpu,* ]]; then echo "$root $point"; fi
  done <"$2/proc/self/mountinfo"
}

# Whole cores, at least 1, that the group in folder $1 may use; nothing without a limit.
quota_of_group() {
  local quota="" period=""
  if [[ -r $1/cpu.max ]]; then
    read -r quota period <"$1/cpu.max" || true
  elif [[ -r $1/cpu.cfs_quota_us && -r $1/cpu.cfs_period_us ]]; then
    read -r quota <"$1/cpu.cfs_quota_us" || true
    read -r period <"$1/cpu.cfs_period_us" || true
  fi
  if [[ $quota =~ ^[1-9][0-9]{0,15}$ && $period =~ ^[1-9][0-9]{0,15}$ ]]; then
    echo $((quota < period ? 1 : quota / period))
  fi
}

# Sets `mpirun` to Open MPI's, and `mpi_major` to the first number of its version.
find_mpirun() {
  local found
  for mpirun in mpirun mpirun.openmpi; do
    found=$("$mpirun" --version 2>/dev/null || true)
    if [[ $found == *"Open MPI"* ]]; then
      mpi_major=4
      if [[ $found =~ \(Open\ MPI\)\ ([0-9]+)\. ]]; then mpi_major=${BASH_REMATCH[1]}; fi
      if ((mpi_major >= 5)); then carry_settings; fi
      return
    fi
  done
  die "no Open MPI mpirun on PATH: install openmpi-bin (found: $(command -v mpirun || echo none))"
}

# From version 5 on hosts are reached by PRRTE, which has names of its own for what version 4 called by these; a setting
# under both names is left as it is.
carry_settings() {
  local old new
  for old in plm_rsh_agent:plm_ssh_agent oob_tcp_if_include:prte_if_include oob_tcp_if_exclude:prte_if_exclude; do
    new=PRTE_MCA_${old#*:} old=OMPI_MCA_${old%:*}
    if [[ -n ${!old:-} && -z ${!new:-} ]]; then export "$new=${!old}"; fi
  done
}

# The program by which mpirun reaches other hosts.
remote_shell() {
  local agent=${OMPI_MCA_plm_rsh_agent:-ssh}
  if ((mpi_major >= 5)); then agent=${PRTE_MCA_plm_ssh_agent:-ssh}; fi
  echo "${agent%%:*}"
}

# Sets `keepalive`, the options by which mpirun notices after some 20 seconds of silence that a host has gone, instead of
# after minutes. Settings of PRRTE have an option of their own.
choose_keepalive() {
  local option=--mca
  if ((mpi_major >= 5)); then option=--prtemca; fi
  keepalive=("$option" oob_tcp_keepalive_time 10 "$option" oob_tcp_keepalive_intvl 3 "$option" oob_tcp_keepalive_probes 3)
}

# Sets `interfaces`, the options by which MPI keeps away from networks that have the same address on every host and lead
# nowhere: bridges of containers and virtual machines. Nothing where there are none, or where somebody has chosen.
choose_interfaces() {
  local path name found=()
  interfaces=()
  if [[ -n ${OMPI_MCA_btl_tcp_if_include:-}${OMPI_MCA_btl_tcp_if_exclude:-} ]]; then return 0; fi
  for path in "${PEFT_DIST_NETWORKS:-/sys/class/net}"/*; do
    name=${path##*/}
    case $name in
    docker* | virbr* | lxcbr* | lxdbr* | podman* | cni* | br-*) found+=("$name") ;;
    esac
  done
  if ((${#found[@]} == 0)); then return 0; fi
  name=$(IFS=,; echo "lo,${found[*]}")
  interfaces=(--mca btl_tcp_if_exclude "$name")
  if ((mpi_major < 5)); then
    interfaces+=(--mca oob_tcp_if_exclude "$name")
  else
    interfaces+=(--prtemca prte_if_exclude "$name")
  fi
}
