#!/usr/bin/env bash
# The rig in containers, for real: made, started, an incident watched through Prometheus, a service killed, everything taken down.
# Needs Docker and root (for packages); PUMPHANDLE names a static binary that is to be put into the image, otherwise one is
# built as the Dockerfile does. FROM_DOCKERFILE=1 builds the image from the Dockerfile's own builder instead, with buildah:
# slow, and it needs the builder's image.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=$PWD/target/compose
mkdir -p "$cache"

docker info >/dev/null 2>&1 || { echo "there is no Docker engine that answers: the rig in containers cannot be tested"; exit 1; }
install() { # command, packages
  command -v "$1" >/dev/null && return
  local command=$1; shift
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
  command -v "$command" >/dev/null || { echo "cannot install $*"; exit 1; }
}
# Prometheus for its promtool; the server that the package starts is not wanted.
if ! command -v promtool >/dev/null; then
  [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; policy=1; }
  install promtool prometheus
  [ -z "${policy:-}" ] || rm /usr/sbin/policy-rc.d
fi
install mmdebstrap mmdebstrap
install docker-compose docker-compose
/usr/bin/python3 -c 'import yaml' || { echo "docker-compose brings python3-yaml, and it is not there"; exit 1; }

echo "--- Prometheus: configuration, rules, and what must not fire"
promtool check config prometheus/prometheus.yml
promtool test rules prometheus/rules_test.yml

# Images, under the very names that .env pins. Those that are there already stay and are used; those that are made here
# are taken away again, so that nobody takes a stand-in for the real one.
pinned() { sed -n "s/^$1=//p" .env; }
PROMETHEUS_IMAGE=$(pinned PROMETHEUS_IMAGE)
made=()
there() { docker image inspect "$1" >/dev/null 2>&1; }
clean_up() { [ ${#made[@]} -eq 0 ] || docker rmi -f "${made[@]}" >/dev/null; }
trap clean_up EXIT

if ! there "$PROMETHEUS_IMAGE"; then
  echo "--- $PROMETHEUS_IMAGE: Debian's Prometheus stands in"
  if [ ! -s "$cache/prometheus.tar" ]; then
    mmdebstrap --quiet --variant=minbase --include=prometheus --dpkgopt=path-exclude='/usr/share/doc/*' \
      --customize-hook='mkdir "$1/prometheus" && chown 65534:65534 "$1/prometheus"' bookworm "$cache/part.tar"
    mv "$cache/part.tar" "$cache/prometheus.tar"
  fi
  docker import --change 'ENTRYPOINT ["/usr/bin/prometheus"]' --change 'USER 65534:65534' \
    "$cache/prometheus.tar" "$PROMETHEUS_IMAGE" >/dev/null
  made+=("$PROMETHEUS_IMAGE")
fi

# Always made anew: it is what is tested.
export PUMPHANDLE_IMAGE=$(pinned PUMPHANDLE_IMAGE)-test
echo "--- $PUMPHANDLE_IMAGE"
if [ -n "${FROM_DOCKERFILE:-}" ]; then
  install buildah buildah
  buildah --storage-driver vfs build --isolation chroot --build-arg "RUST_IMAGE=docker-daemon:rust:1.95-slim-bookworm" \
    -t "$PUMPHANDLE_IMAGE" .
  buildah --storage-driver vfs push "$PUMPHANDLE_IMAGE" "docker-daemon:$PUMPHANDLE_IMAGE"
else
  host=$(rustc -vV | sed -n 's/host: //p')
  PUMPHANDLE=${PUMPHANDLE:-target/$host/release/pumphandle}
  [ -x "$PUMPHANDLE" ] || RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$host" -p pumphandle
  context=$(mktemp -d); trap 'rm -rf "$context"; clean_up' EXIT
  mkdir "$context/deploy"
  cp -r deploy/image "$context/deploy/"
  cp LICENSE-* "$context/"
  cp "$PUMPHANDLE" "$context/pumphandle"
  # The engine's old builder says at length that it is old.
  docker build -q -f Dockerfile --target prebuilt -t "$PUMPHANDLE_IMAGE" "$context" 2>/dev/null
fi
made+=("$PUMPHANDLE_IMAGE")
docker run --rm --read-only --cap-drop ALL --network none "$PUMPHANDLE_IMAGE" --version

# Told to end, it tells the test, and waits until that has taken everything down.
/usr/bin/python3 tests/compose/rig.py & rig=$!
trap 'kill "$rig" 2>/dev/null' INT TERM HUP
ended=0; wait "$rig" || ended=$?
# A signal ends the waiting, and not what was waited for.
while kill -0 "$rig" 2>/dev/null; do ended=0; wait "$rig" || ended=$?; done
exit "$ended"
