#!/usr/bin/env bash
# Build the core and its tests for ARM, and run them under QEMU: all of ctest, 64 and 32 bits.
set -euo pipefail
cd "$(dirname "$0")/../.."

# processor, compiler, emulator, flags
run_on() {
  cmake -S runtime -B "build/$1" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$1" -DCMAKE_C_COMPILER="$2" \
    -DCMAKE_CROSSCOMPILING_EMULATOR="$3" -DCMAKE_C_FLAGS="$4" \
    -DCMAKE_EXE_LINKER_FLAGS=-static > "build/$1.log"
  cmake --build "build/$1"
  ctest --test-dir "build/$1" --output-on-failure
}

mkdir -p build
run_on aarch64 aarch64-linux-gnu-gcc qemu-aarch64-static ""
run_on armhf arm-linux-gnueabihf-gcc qemu-arm-static -mfpu=neon
