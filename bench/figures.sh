#!/usr/bin/env bash
# Measures agloop beside its rivals and prints Markdown. bench/figures/main.go lists the environment variables.
set -eu -o pipefail
cd "$(dirname "$0")/.."

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd bench
go build -o "$dir/figures" ./figures

# In the background, so that a signal reaches this shell at once and is passed on.
"$dir/figures" &
child=$!
trap 'kill -TERM "$child" 2>/dev/null || true' INT TERM
status=0
wait "$child" || status=$?
if kill -0 "$child" 2>/dev/null; then # a signal ended the wait, not the child
	status=0
	wait "$child" || status=$?
fi
exit "$status"
