#!/usr/bin/env bash
# Results on a disk that is really full: a file system in memory, too small for them. `tests/full-disk.sh PUMPHANDLE`.
# Needs root, or a kernel that lets everybody mount in a namespace of their own. What a limit on the size of files can
# show is in tests/faults.rs.
#
# Exit codes: 0 all as it should be · 1 not · 3 nothing can be mounted here.
set -euo pipefail
pumphandle=$(realpath "$1")
if [ "${MOUNTS:-}" != own ]; then
  for options in -m -rm; do
    if unshare $options true 2>/dev/null; then MOUNTS=own exec unshare $options "$0" "$pumphandle"; fi
  done
  echo "nothing can be mounted here"; exit 3
fi
# From here on all mounts are this process's own, and go when it ends.
work=$(mktemp -d); trap 'cd /; umount "$work/small" 2>/dev/null; rm -rf --one-file-system "$work"' EXIT
mkdir "$work/small" "$work/tmp"
mount -t tmpfs -o size=256k none "$work/small" || { echo "nothing can be mounted here"; exit 3; }
export TMPDIR=$work/tmp
cd "$work"
wrong() { echo "WRONG: $*"; exit 1; }
left() { find "$work/small" "$work/tmp" -mindepth 1 | sort; }
run() { rc=0; "$pumphandle" run filling-queue --seeds 2 --json "$@" >shown 2>told || rc=$?; }
whole() { grep -q '^}$' shown && [ "$(head -c 1 shown)" = "{" ]; }

echo "the results do not fit: they go to the folder for temporary files"
run --out small/kept
[ $rc = 4 ] || wrong "exit code $rc: $(cat told)"
whole || wrong "what was measured was not shown"
grep -q "No space left on device" told && grep -q "what was measured is in $work/tmp/" told || wrong "$(cat told)"
[ -z "$(find small -mindepth 1)" ] || wrong "left behind: $(left)"
cmp -s shown tmp/pumphandle-*/kept/result.json || wrong "elsewhere is not what was shown"
rm -r tmp/pumphandle-*

echo "they fit nowhere: they are shown, and nothing half is left"
TMPDIR=$work/small run --out small/kept
[ $rc = 4 ] && whole && grep -q "was shown, and is nowhere else" told || wrong "$rc: $(cat told)"
[ -z "$(left)" ] || wrong "left behind: $(left)"

echo "there is an earlier run: it stays as it was"
mkdir small/kept && echo '{"earlier": true}' >small/kept/result.json
run --out small/kept
[ $rc = 4 ] && [ "$(cat small/kept/result.json)" = '{"earlier": true}' ] || wrong "$rc: $(left)"
[ "$(find small -mindepth 1 | sort | tr '\n' ' ')" = "small/kept small/kept/result.json " ] || wrong "$(left)"
rm -r tmp/pumphandle-*

echo "a file for CI is what it was, standard output says where it ends"
dd if=/dev/zero of=small/filler bs=1k count=256 2>/dev/null || true
rc=0; "$pumphandle" check filling-queue --seeds 6 --junit small/new.xml >shown 2>told || rc=$?
[ $rc = 4 ] && grep -q "claims" shown && grep -q "cannot write small/new.xml: No space left" told || wrong "$rc: $(cat told)"
[ ! -e small/new.xml ] && [ -z "$(find small -name '.*.xml*')" ] || wrong "$(left)"
rc=0; "$pumphandle" run filling-queue --seeds 2 --json --out "$work/kept" >small/shown 2>told || rc=$?
[ $rc = 4 ] && grep -q "what was measured is in $work/kept" told || wrong "$rc: $(cat told)"
[ -s kept/result.json ] || wrong "it is not there"
echo "a full disk loses nothing that was measured"
