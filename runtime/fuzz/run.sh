#!/usr/bin/env bash
# Fuzz the .llc reader, the decoders and the builders: runtime/fuzz/run.sh [seconds].
# New inputs land in build/fuzz/found, findings as build/fuzz/crash-*. To keep what
# is new: build/fuzz/fuzz_llc -merge=1 FOLDER runtime/fuzz/corpus build/fuzz/found.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
flags=(-std=c99 -O1 -g -Wall -Wextra -Wpedantic -Werror -Iruntime/include
       -fsanitize=address,undefined -fno-sanitize-recover=all)
mkdir -p build/fuzz/found build/fuzz/seeds
clang "${flags[@]}" runtime/fuzz/make_seeds.c runtime/src/*.c -o build/fuzz/make_seeds
clang "${flags[@]}" -fsanitize=fuzzer runtime/fuzz/fuzz_llc.c runtime/src/*.c -o build/fuzz/fuzz_llc
build/fuzz/make_seeds build/fuzz/seeds
export ASAN_OPTIONS=quarantine_size_mb=16
build/fuzz/fuzz_llc -max_total_time="$seconds" -timeout=10 -max_len=20480 -print_final_stats=1 \
  -artifact_prefix=build/fuzz/ build/fuzz/found runtime/fuzz/corpus build/fuzz/seeds
