#!/usr/bin/env bash
# Every reader of what others wrote, under coverage-guided fuzzing: each target for SECONDS (default 6), from the
# inputs in fuzz/corpus. `fuzz/run.sh 600 scenario` runs one of them for longer. What it finds is left in
# target/fuzz/TARGET.crash-*; fixed, it becomes a file of the corpus.
#
# It needs a C++ compiler and the stable toolchain: the counters are inserted by options of rustc's code generator
# that are stable. There is no sanitizer, which takes another toolchain: this workspace has one unsafe function, which
# reads what the kernel says of a listening socket (decision 82), and none of these readers comes near it.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-6}
targets=${2:-scenario assignment metrics events baseline body request answer}
sancov="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=16 --cfg fuzzing"
host=$(rustc -vV | sed -n 's/^host: //p')
# With a target, the options are for what runs there and not for build scripts and macros.
RUSTFLAGS=$(echo $sancov) cargo build --release --locked --quiet --manifest-path fuzz/Cargo.toml \
  --target "$host" --target-dir target/fuzz
for target in $targets; do
  grown=target/fuzz/grown/$target
  mkdir -p "$grown"
  case $target in scenario | metrics | answer) size=65536 ;; *) size=8192 ;; esac
  FUZZ_TARGET=$target "target/fuzz/$host/release/fuzz" "$grown" "fuzz/corpus/$target" \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len="$size" -print_final_stats=1 \
    -artifact_prefix="target/fuzz/$target." >"target/fuzz/$target.log" 2>&1 || {
    tail -40 "target/fuzz/$target.log"; echo "$target: see target/fuzz/$target.log"; exit 1
  }
  sed -n -E "s/^.*DONE +cov: ([0-9]+) .*corp: ([0-9]+).*\$/\1 edges covered, \2 inputs/p" "target/fuzz/$target.log" |
    tail -1 | sed "s/^/$target: $(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "target/fuzz/$target.log") runs, /"
done
