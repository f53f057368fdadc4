#!/usr/bin/env bash
# The manifests, rendered, held to the schemas of the Kubernetes API and to rules of our own. No cluster is needed, and none is seen.
# Ends with 3 where there is no kustomize to render them with.
set -euo pipefail
cd "$(dirname "$0")/../.."
if command -v kustomize >/dev/null; then render=(kustomize build)
elif kubectl kustomize deploy/kubernetes/stack >/dev/null 2>&1; then render=(kubectl kustomize)
else
  echo "neither kustomize nor a kubectl that brings it"
  exit 3
fi
venv=$PWD/target/kubernetes
[ -x "$venv/bin/kubernetes-validate" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check kubernetes-validate==1.37.0; }
for layer in base workshop autoscaled jobs/first jobs/second jobs/limited; do
  mkdir -p "$venv/jobs"
  "${render[@]}" "deploy/kubernetes/$layer" >"$venv/$layer.yaml"
  # The oldest version that knows all that is used, and the newest that the package brings.
  for version in 1.31 1.37; do
    "$venv/bin/kubernetes-validate" --kubernetes-version "$version" --strict --quiet "$venv/$layer.yaml"
  done
  "$venv/bin/python" tests/kubernetes/rules.py "$venv/$layer.yaml"
done
