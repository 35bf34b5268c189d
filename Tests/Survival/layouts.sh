#!/usr/bin/env bash
# usage: Tests/Survival/layouts.sh --model DIR --data-dir DIR [options]
#
# Trains the same few steps on every number of ranks and threads and prints the SHA-256 of each adapter. Exits 1 if any
# differs from the others of its method and precision, or the recorded metrics and digests do.
#
#   --methods LIST      default lora,prompt-tuning; comma-separated, as are all lists
#   --precisions LIST   default fp32,bf16
#   --ranks LIST        default 1,2,3,4,8
#   --threads LIST      default 1,2,4
#   --task NAME         default imdb
#   --program FILE      default .build/release/peft-dist
#   --work DIR          keep the runs there; default: a temporary folder
set -uo pipefail
. "$(dirname "$0")/training.bash"

methods=lora,prompt-tuning precisions=fp32,bf16 ranks=1,2,3,4,8 threads=1,2,4
while (($#)); do
  case $1 in
  -h | --help)
    usage
    exit 0
    ;;
  esac
  (($# > 1)) || refuse "$1 needs a value, or is unknown; see --help"
  case $1 in
  --methods) methods=$2 ;;
  --precisions) precisions=$2 ;;
  --ranks) ranks=$2 ;;
  --threads) threads=$2 ;;
  *) common_option "$@" || refuse "unknown option $1, see --help" ;;
  esac
  shift 2
done
prepare
# Several leaves a step, so that there is something to share out, and dropout, whose masks must not follow the layout.
flags+=(--leaf-tokens 100 --dropout 0.1)

differing=0 failed=0 runs=0
printf '%-14s %-9s %5s %7s  %-64s %s\n' method precision ranks threads "SHA-256 of the adapter" "metrics and digests"
for method in ${methods//,/ }; do
  for precision in ${precisions//,/ }; do
    adapter="" record=""
    for rank_count in ${ranks//,/ }; do
      for thread_count in ${threads//,/ }; do
        output=$work/$method-$precision-$rank_count-$thread_count
        runs=$((runs + 1))
        if ! run_to_end "$output" "$rank_count" "$thread_count" --method "$method" --precision "$precision"; then
          failed=$((failed + 1))
          continue
        fi
        hash=$(adapter_hash "$output") found=$(record_hash "$output")
        : "${adapter:=$hash}" "${record:=$found}"
        note=same
        if [[ $found != "$record" ]]; then note=DIFFERENT differing=$((differing + 1)); fi
        if [[ $hash != "$adapter" ]]; then note="$note, ADAPTER DIFFERS" differing=$((differing + 1)); fi
        printf '%-14s %-9s %5s %7s  %-64s %s\n' \
          "$method" "$precision" "$rank_count" "$thread_count" "$hash" "$note"
        if ((!keep)); then rm -rf "$output" "$output.log"; fi
      done
    done
  done
done
if ((differing + failed > 0)); then
  echo "layouts: of $runs runs $failed failed and $differing differ"
  exit 1
fi
echo "layouts: $runs runs; for each method and precision all adapters, metrics and digests are the same bytes"
