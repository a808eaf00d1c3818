#!/usr/bin/env bash
# Fuzz the readers of .llc, .mrl, .vec, .grnn and sparse weights with all that answers from them,
# and the log-mel front end: runtime/fuzz/run.sh [seconds]. Each gets that long. New inputs land in
# build/fuzz/found_*,
# findings as build/fuzz/crash-*. To keep what is new, in the folder of its corpus:
# build/fuzz/fuzz_mrl -merge=1 FOLDER runtime/fuzz/corpus_mrl build/fuzz/found_mrl.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
flags=(-std=c99 -O1 -g -Wall -Wextra -Wpedantic -Werror -Iruntime/include
       -fsanitize=address,undefined -fno-sanitize-recover=all)
mkdir -p build/fuzz/seeds
clang "${flags[@]}" runtime/fuzz/make_seeds.c runtime/src/*.c -o build/fuzz/make_seeds
build/fuzz/make_seeds build/fuzz/seeds
export ASAN_OPTIONS=quarantine_size_mb=16
options=(-max_total_time="$seconds" -timeout=10 -print_final_stats=1 -artifact_prefix=build/fuzz/)

# what, the longest input, the folders of inputs
fuzz() {
  mkdir -p "build/fuzz/found_$1"
  clang "${flags[@]}" -fsanitize=fuzzer "runtime/fuzz/fuzz_$1.c" runtime/src/*.c \
    -o "build/fuzz/fuzz_$1"
  "build/fuzz/fuzz_$1" "${options[@]}" -max_len="$2" "build/fuzz/found_$1" "${@:3}"
}

fuzz llc 20480 runtime/fuzz/corpus build/fuzz/seeds
fuzz mrl 8192 runtime/fuzz/corpus_mrl
fuzz vec 8192 runtime/fuzz/corpus_vec build/fuzz/seeds
fuzz logmel 1024 runtime/fuzz/corpus_logmel
fuzz fastgrnn 4096 runtime/fuzz/corpus_fastgrnn
fuzz sparse 1024 runtime/fuzz/corpus_sparse
