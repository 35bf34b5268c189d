#!/usr/bin/env bash
# Makes everything in this folder anew from reviews/grammar.txt, under OUTPUT: the reviews, a corpus, and three small models that
# learn from it. The bytes are the same on any number of ranks and threads (docs/numerics.md has what they depend on). Some 20
# minutes on two cores.
#
#   examples/make.sh OUTPUT
set -euo pipefail

if (($# != 1)); then
  sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
fi
examples=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
output=$1
mkdir -p "$output"
run() { "$examples/../launch.sh" "$@"; }

run make-reviews --grammar "$examples/reviews/grammar.txt" --corpus 120000 --output "$output/reviews"
corpus=$output/reviews/corpus.jsonl
# GPT-2 and RoBERTa learn from the plain texts alone.
texts=$output/texts.jsonl
grep '^{"text"' "$corpus" >"$texts"

# make NAME FAMILY VOCABULARY TOKENS "SHAPE" TEXTS FLAGS...: vocabulary, fresh model, training, and the weights in bfloat16.
make() {
  local name=$1 family=$2 pieces=$3 tokens=$4 shape=$5 data=$6
  shift 6
  run train-tokenizer --family "$family" --input "$corpus" --column text --column source --column target \
    --vocab-size "$pieces" --output "$output/$name-tokenizer"
  # shellcheck disable=SC2086  # the shape is several words
  run init-model --family "$family" --vocab-size "$tokens" $shape --dropout 0 --tokenizer "$output/$name-tokenizer" \
    --output "$output/$name-fresh"
  run train --model "$output/$name-fresh" --task corpus --train-file "$data" --method full --validation-fraction 0.01 \
    --eval-limit 1000 --max-source-length 128 --global-batch-size 128 --leaf-tokens 1024 "$@" --output "$output/$name-run"
  run merge --model "$output/$name-run/adapter" --dtype bf16 --output "$output/$name"
}

# 1.5 million weights. T5 learns with update sizes relative to each tensor's own scale, as it was pre-trained.
make t5-tiny t5 1200 1300 "--hidden-size 128 --layers 4 --decoder-layers 2 --heads 4" "$corpus" \
  --optimizer adafactor --scale-parameter --learning-rate 0.01 --warmup-steps 100 --schedule cosine --steps 4000 \
  --eval-every 250 --save-every 500
# Half a million weights each, in a minute or two.
make gpt2-tiny gpt2 1000 1000 "--hidden-size 96 --layers 3 --heads 4 --max-positions 160" "$texts" \
  --max-target-length 16 --learning-rate 3e-3 --warmup-steps 50 --schedule cosine --steps 400 --eval-every 100
make roberta-tiny roberta 1000 1000 "--hidden-size 96 --layers 3 --heads 4 --max-positions 160" "$texts" \
  --learning-rate 3e-3 --warmup-steps 50 --schedule cosine --steps 800 --eval-every 100
