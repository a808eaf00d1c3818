#!/usr/bin/env bash
# Fuzz the readers of .llc and .mrl, and all that answers from them: runtime/fuzz/run.sh [seconds].
# Each target gets that long. New inputs land in build/fuzz/found_*, findings as build/fuzz/crash-*.
# To keep what is new, in the folder corpus or corpus_mrl:
# build/fuzz/fuzz_mrl -merge=1 FOLDER runtime/fuzz/corpus_mrl build/fuzz/found_mrl.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
flags=(-std=c99 -O1 -g -Wall -Wextra -Wpedantic -Werror -Iruntime/include
       -fsanitize=address,undefined -fno-sanitize-recover=all)
mkdir -p build/fuzz/found_llc build/fuzz/found_mrl build/fuzz/seeds
clang "${flags[@]}" runtime/fuzz/make_seeds.c runtime/src/*.c -o build/fuzz/make_seeds
clang "${flags[@]}" -fsanitize=fuzzer runtime/fuzz/fuzz_llc.c runtime/src/*.c -o build/fuzz/fuzz_llc
# It builds files of its own, with half of sample.h.
clang "${flags[@]}" -Wno-unused-function -fsanitize=fuzzer runtime/fuzz/fuzz_mrl.c runtime/src/*.c \
  -o build/fuzz/fuzz_mrl
build/fuzz/make_seeds build/fuzz/seeds
export ASAN_OPTIONS=quarantine_size_mb=16
options=(-max_total_time="$seconds" -timeout=10 -print_final_stats=1 -artifact_prefix=build/fuzz/)
build/fuzz/fuzz_llc "${options[@]}" -max_len=20480 build/fuzz/found_llc runtime/fuzz/corpus \
  build/fuzz/seeds
build/fuzz/fuzz_mrl "${options[@]}" -max_len=8192 build/fuzz/found_mrl runtime/fuzz/corpus_mrl
