#!/usr/bin/env bash
# Every query of every dashboard against a real Prometheus: of recorded runs, and of a live rig that it scrapes. An error
# fails; so does an empty answer that tests/dashboards/empty.rs gives no reason for. Used by CI.
# Needs prometheus, curl, jq; `tests/dashboards.sh PUMPHANDLE`, with the checker `dashboards` beside it or in DASHBOARDS.
set -euo pipefail
cd "$(dirname "$0")/.."
pumphandle=${1:-target/release/pumphandle}
checker=${DASHBOARDS:-$(dirname "$pumphandle")/dashboards}
work=$(mktemp -d)
started=()
trap 'for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done; wait; rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

value() { # expression: its value now, 0 where there is none
  curl -sf "$url/api/v1/query" --data-urlencode "query=$1" | jq -er '.data.result[0].value[1] // "0"'
}

until_true() { # what, seconds, expression that becomes 1
  local what=$1 seconds=$2 end
  end=$((SECONDS + seconds))
  until [ "$(value "$3" 2>/dev/null)" = 1 ]; do
    for pid in "${started[@]}"; do kill -0 "$pid" 2>/dev/null || { tail -n 5 "$work"/*.log >&2; fail "a process has ended"; }; done
    [ $SECONDS -lt "$end" ] || { tail -n 5 "$work"/*.log >&2; fail "not within $seconds s: $what"; }
    sleep 0.5
  done
}

echo "--- the committed files are current"
"$pumphandle" dashboards --check

echo "--- services as processes, a runner, and a Prometheus that scrapes them"
# The storm, shorter: trigger from 12 s to 27 s, the pull at 42 s, over at 75 s.
shorter=(--duration 75s --pull 42s --set timeline.slow-queries.from=12s --set timeline.slow-queries.for=15s)
declare -A data admin
service() { # stack, service, arguments...
  local stack=$1 service=$2; shift 2
  "$pumphandle" serve "$service" --scenario retry-storm --stack "$stack" --data 127.0.0.1:0 --admin 127.0.0.1:0 "$@" \
    >"$work/$stack-$service.log" 2>&1 &
  started+=($!)
  for _ in $(seq 100); do
    # api of control: calls at 127.0.0.1:1, admin at http://127.0.0.1:2
    grep -q 'admin at' "$work/$stack-$service.log" && break
    sleep 0.1
  done
  data[$stack-$service]=$(sed -n 's/.*calls at \([^,]*\),.*/\1/p' "$work/$stack-$service.log")
  admin[$stack-$service]=$(sed -n 's/.*admin at http:\/\/\(.*\)/\1/p' "$work/$stack-$service.log")
  [ -n "${admin[$stack-$service]}" ] || { cat "$work/$stack-$service.log" >&2; fail "$service of $stack did not start"; }
}
stacks=()
for stack in control treatment; do
  service $stack db
  service $stack api --at "db=${data[$stack-db]}"
  service $stack client --at "api=${data[$stack-api]}"
  stacks+=(--stack "$stack=http://${admin[$stack-client]},http://${admin[$stack-api]},http://${admin[$stack-db]}")
done
"$pumphandle" serve runner --scenario retry-storm --lever disable-retries "${shorter[@]}" "${stacks[@]}" \
  --admin 127.0.0.1:0 --wait >"$work/runner.log" 2>&1 &
started+=($!)
for _ in $(seq 100); do grep -q 'the runner: ' "$work/runner.log" && break; sleep 0.1; done
runner=$(sed -n 's/^the runner: http:\/\///p' "$work/runner.log")
[ -n "$runner" ] || { cat "$work/runner.log" >&2; fail "the runner did not start"; }

port=$((20000 + RANDOM % 20000))
url=http://127.0.0.1:$port
targets=$(printf '"%s",' "${admin[@]}" "$runner")
cat >"$work/prometheus.yml" <<YAML
global: { scrape_interval: 1s, scrape_timeout: 900ms }
storage: { tsdb: { out_of_order_time_window: 30d } }
scrape_configs:
  - job_name: rig
    static_configs: [ { targets: [${targets%,}], labels: { run: live } } ]
YAML
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --storage.tsdb.retention.time=10y \
  --web.listen-address="127.0.0.1:$port" --web.enable-remote-write-receiver >"$work/prometheus.log" 2>&1 &
started+=($!)
until_true "all are scraped" 30 "sum(up) == bool 7"
curl -sf -X POST -H 'content-type: application/json' -d '{}' "http://$runner/start" >/dev/null || fail "the runner does not begin"

echo "--- meanwhile: recorded runs, one of all levers and one in which every mechanism acts"
SECONDS=0
"$pumphandle" run retry-storm --all --seeds 1 --out "$work/storm" >/dev/null
"$pumphandle" load "$work/storm" --prometheus "$url" | tee "$work/told"
echo "from run --all to a page of dashboards: $SECONDS s"
link=$(grep -o 'http://localhost:3000/d/pumphandle-incident[^ ]*' "$work/told") || fail "load links no dashboard"
# The link shows the whole run: nothing of it lies outside.
from=$(sed 's/.*from=\([0-9]*\)&.*/\1/' <<<"$link"); to=$(sed 's/.*to=\([0-9]*\)$/\1/' <<<"$link")
inside=$(curl -sf "$url/api/v1/query" --data-urlencode "time=$((to / 1000))" \
  --data-urlencode "query=count(count_over_time(pumphandle_run_info{run=\"storm\"}[$(((to - from) / 1000))s]))" | jq -r '.data.result[0].value[1]')
[ "$inside" = 1 ] || fail "the link leads to a time without the run"
"$pumphandle" run tests/dashboards/everything.yaml --all --seeds 1 --out "$work/everything" >/dev/null
"$pumphandle" load "$work/everything" --prometheus "$url" >/dev/null
"$checker" "$url" storm everything

echo "--- the live rig, when its run is over"
until_true "the run is over" 240 'pumphandle_phase{phase="ended"}'
"$checker" "$url" live
echo "dashboards: all held"
