#!/usr/bin/env bash
# A debug build and a release build of this checkout must give the same results: the printed JSON and the
# event logs, byte for byte. Needs both to be built, or builds them. Used by CI.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --locked -p pumphandle
cargo build --locked -p pumphandle --release

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for build in debug release; do
  "${CARGO_TARGET_DIR:-target}/$build/pumphandle" run retry-storm --lever circuit-breaker --seeds 1 --json \
    --out "$work/$build" > "$work/$build.json"
done

for log in "$work"/debug/events/*; do
  name=$(basename "$log")
  if ! cmp "$log" "$work/release/events/$name"; then
    echo "the builds differ in $name, first here (debug < > release):" >&2
    diff <("${CARGO_TARGET_DIR:-target}/debug/pumphandle" events "$log") \
      <("${CARGO_TARGET_DIR:-target}/debug/pumphandle" events "$work/release/events/$name") | head -n 4 >&2 || true
    exit 1
  fi
done
cmp "$work/debug.json" "$work/release.json"
echo "debug and release agree"
