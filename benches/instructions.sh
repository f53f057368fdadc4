#!/usr/bin/env bash
# Counts the instructions of a small storm under valgrind and compares them with the committed numbers in
# instructions.txt: for CI, where wall times mean nothing. Needs valgrind, and fails without it.
#
#   benches/instructions.sh            compare; exit 1 if a count differs by more than the tolerance
#   benches/instructions.sh --update   write the counts of this commit into instructions.txt
#
# A count is stable to a few thousandths between machines (the C library picks other copy routines) and moves
# by per cents with the compiler: after a new toolchain, update it in a commit of its own.
set -euo pipefail

tolerance_percent=3
here=$(cd "$(dirname "$0")" && pwd)
committed="$here/instructions.txt"
seconds=60

if ! command -v valgrind >/dev/null; then
    echo "instructions.sh: valgrind is not installed: nothing was measured" >&2
    exit 2
fi

cd "$here/.."
cargo build --quiet --release --locked -p pumphandle-benches --bin storm
storm="${CARGO_TARGET_DIR:-target}/release/storm"
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT

count() {
    valgrind --tool=callgrind --callgrind-out-file="$scratch/callgrind" "$storm" "$1" "$seconds" \
        >"$scratch/said" 2>"$scratch/log" || { cat "$scratch/log" >&2; exit 2; }
    local instructions attempts
    instructions=$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$scratch/log")
    attempts=$(sed -n 's/^\([0-9]*\) attempts.*/\1/p' "$scratch/said")
    if [ -z "$instructions" ] || [ -z "$attempts" ]; then
        echo "instructions.sh: valgrind told no count for $1" >&2
        cat "$scratch/log" >&2
        exit 2
    fi
    echo "$1 $attempts $instructions"
}

for policies in none incident usual shelf; do
    count "$policies" || exit 2
done >"$scratch/now"

if [ "${1:-}" = --update ]; then
    { sed -n '/^#/p' "$committed"; cat "$scratch/now"; } >"$scratch/new"
    cp "$scratch/new" "$committed"
    cat "$committed"
    exit 0
fi

worse=0
while read -r policies attempts now; do
    before=$(awk -v name="$policies" '$1 == name { print $3 }' "$committed")
    if [ -z "$before" ]; then
        echo "instructions.sh: $policies has no committed count: run with --update" >&2
        exit 2
    fi
    verdict=$(awk -v now="$now" -v before="$before" -v tolerance="$tolerance_percent" 'BEGIN {
        change = (now / before - 1) * 100
        word = "same"
        if (change > tolerance) word = "WORSE"
        if (change < -tolerance) word = "BETTER"
        printf "%+.2f %%, %s", change, word
    }')
    echo "$policies: $now instructions, $((now / attempts)) per attempt, $verdict"
    case $verdict in
        *WORSE) worse=1 ;;
        *BETTER)
            echo "  better than the committed number: keep the gain with --update"
            worse=1
            ;;
        *same) ;;
        *)
            echo "instructions.sh: $policies was not compared" >&2
            exit 2
            ;;
    esac
done <"$scratch/now"
exit $worse
