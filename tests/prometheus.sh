#!/usr/bin/env bash
# Recordings against a real Prometheus and its promtool: what is loaded is what was measured, at once; what a server
# refuses, and what a second load does; a file of OpenMetrics as blocks. Used by CI. Needs prometheus, promtool, curl, jq.
# `tests/prometheus.sh BINARY`; `FAST=1` leaves out the run of three hours.
set -euo pipefail
cd "$(dirname "$0")/.."
pumphandle=${1:-target/release/pumphandle}
work=$(mktemp -d)
servers=()
trap 'for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null || true; done; wait; rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

value() { # expression, instant: the value, 0 where there is none
  curl -sf "$url/api/v1/query" --data-urlencode "query=$1" --data-urlencode "time=$2" | jq -er '.data.result[0].value[1] // "0"'
}

# A server that scrapes itself every second, so that its newest sample is always now.
serve() { # name, lines below `storage:`, flags...
  local name=$1 storage=$2; shift 2
  port=$((20000 + RANDOM % 20000))
  {
    printf 'global: { scrape_interval: 1s }\n%s\n' "$storage"
    printf 'scrape_configs: [ { job_name: self, static_configs: [ { targets: ["127.0.0.1:%s"] } ] } ]\n' "$port"
  } >"$work/$name.yml"
  prometheus --config.file="$work/$name.yml" --storage.tsdb.path="$work/$name" --storage.tsdb.retention.time=10y \
    --web.listen-address="127.0.0.1:$port" "$@" >"$work/$name.log" 2>&1 &
  servers+=($!)
  for _ in $(seq 100); do
    url=http://127.0.0.1:$port
    # Until it has scraped itself it has no newest sample, and takes a past of any age.
    [ "$(value 'count(up) or vector(0)' "$(date +%s)" 2>/dev/null)" = 1 ] && return
    kill -0 "${servers[-1]}" 2>/dev/null || { cat "$work/$name.log" >&2; fail "prometheus did not start"; }
    sleep 0.1
  done
  fail "prometheus was not ready"
}

refused() { # what is to be said, arguments of load...
  local said=$1; shift
  if "$pumphandle" load "$@" --prometheus "$url" >"$work/told" 2>&1; then cat "$work/told" >&2; fail "not refused: $*"; fi
  grep -qF -e "$said" "$work/told" || { cat "$work/told" >&2; fail "refused in other words: $*"; }
}

# Sums over the series of a run against its result.json, in PromQL.
compare() { # folder, instant of its end
  local folder=$1 at=$2 run; run=$(basename "$folder")
  jq -r '.arms[] | [.arm, .outcome.arrivals, .outcome.good, .outcome.degraded] | @tsv' "$folder/result.json" |
    while IFS=$'\t' read -r arm arrivals good degraded; do
      of="run=\"$run\",arm=\"$arm\""
      for pair in "users_due_total{$of}=$arrivals" "users_settled_total{$of,outcome=\"good\"}=$good" \
        "users_settled_total{$of,outcome=\"degraded\"}=$degraded"; do
        found=$(value "sum(max_over_time(pumphandle_${pair%=*}[4h]) - min_over_time(pumphandle_${pair%=*}[4h]))" "$at")
        [ "$found" = "${pair##*=}" ] || fail "$run: ${pair%=*} is $found, and ${pair##*=} in result.json"
      done
      settled=$(value "sum(pumphandle_users_settled_total{$of}) + sum(pumphandle_users_waiting{$of})" "$at")
      [ "$settled" = "$arrivals" ] || fail "$run, $arm: settled and waiting are $settled, due $arrivals"
      count=$(value "sum(pumphandle_user_latency_seconds_count{$of}) - sum(pumphandle_users_settled_total{$of})" "$at")
      [ "$count" = 0 ] || fail "$run, $arm: the histogram counts $count more than were settled"
    done
}

echo "--- a run, into a server that takes the past"
serve past 'storage: { tsdb: { out_of_order_time_window: 30d } }' --web.enable-remote-write-receiver
past=$url
"$pumphandle" run retry-storm --lever disable-retries --seeds 1 --out "$work/storm" >/dev/null
"$pumphandle" load "$work/storm" --prometheus "$url" | tee "$work/told"
grep -q "all there, as counted" "$work/told" || fail "not all there"
start=$(date -d "$(grep -o 'from [^ ]*' "$work/told" | cut -d' ' -f2)" +%s)
compare "$work/storm" $((start + 359))
p99=$(value 'histogram_quantile(0.99, sum by (le) (rate(pumphandle_user_latency_seconds_bucket{run="storm",arm="control"}[1m])))' $((start + 280)))
awk -v it="$p99" 'BEGIN { exit !(it > 3 && it < 10) }' || fail "the control's users wait $p99 s (p99) in the storm"
gone=$(value 'count({run="storm"}) or vector(0)' $((start + 600)))
[ "$gone" = 0 ] || fail "$gone series go on after the run has ended"

echo "--- a second time"
"$pumphandle" load "$work/storm" --prometheus "$url" | tee "$work/told"
grep -q "nothing was sent" "$work/told" || fail "sent twice"
refused "the two would mix" "$work/storm" --at $((start - 60))
"$pumphandle" load "$work/storm" --prometheus "$url" --at $((start - 86400)) 2>&1 | tee "$work/told"
grep -q "this is a second copy" "$work/told" || fail "a second copy was not told of"
compare "$work/storm" $((start - 86400 + 359))
refused "choose a later --at, or a longer window" "$work/storm" --name long-ago --at $((start - 40 * 86400))

echo "--- servers that do not take it"
serve present '' --web.enable-remote-write-receiver
refused 'out_of_order_time_window: 30d' "$work/storm" --at $((start - 6 * 3600))
"$pumphandle" load "$work/storm" --prometheus "$url" >/dev/null || fail "the last minutes are taken without a window"
serve closed ''
refused '--web.enable-remote-write-receiver' "$work/storm"

echo "--- all levers"
url=$past
SECONDS=0
"$pumphandle" run retry-storm --all --seeds 1 --out "$work/all" >/dev/null
"$pumphandle" load "$work/all" --prometheus "$url" | tee "$work/told"
echo "from nothing to dashboards: $SECONDS s"
start=$(date -d "$(grep -o 'from [^ ]*' "$work/told" | cut -d' ' -f2)" +%s)
compare "$work/all" $((start + 359))

if [ -z "${FAST:-}" ]; then
  echo "--- three hours; the first load is killed half way"
  "$pumphandle" run retry-storm --lever disable-retries --pull 3h --duration 3h10m --seeds 1 --out "$work/hours" >/dev/null
  "$pumphandle" load "$work/hours" --prometheus "$url" --at 1h-ago >/dev/null 2>&1 && fail "an instant that is none"
  "$pumphandle" load "$work/hours" --prometheus "$url" >/dev/null 2>&1 &
  loading=$!
  until [ "$(value 'count(pumphandle_run_info{run="hours"}) or vector(0)' "$(date +%s)")" != 0 ] ||
    [ "$(value 'count(count_over_time(pumphandle_run_info{run="hours"}[5h])) or vector(0)' "$(date +%s)")" != 0 ]; do
    kill -0 $loading 2>/dev/null || break
  done
  kill -9 $loading 2>/dev/null || true
  wait $loading 2>/dev/null || true
  "$pumphandle" load "$work/hours" --prometheus "$url" 2>&1 | tee "$work/told"
  grep -q "all there, as counted" "$work/told" || fail "not all there"
  start=$(date -d "$(grep -o 'from [^ ]*' "$work/told" | tail -n 1 | cut -d' ' -f2)" +%s)
  compare "$work/hours" $((start + 11459))
fi

echo "--- as a file, through promtool"
"$pumphandle" export "$work/storm" --openmetrics "$work/storm.txt"
promtool tsdb create-blocks-from openmetrics "$work/storm.txt" "$work/blocks" | tee "$work/told"
samples=$(awk '$1 ~ /^01/ { all += $5 } END { print all }' "$work/told")
[ "$samples" = "$(grep -vc '^#' "$work/storm.txt")" ] || fail "promtool keeps $samples samples of the file"
echo "recordings: all held"
