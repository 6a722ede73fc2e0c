#!/usr/bin/env bash
# Measures agloop beside its rivals and writes bench/report. bench/figures/main.go says what the environment chooses.
#   bash bench/bench.sh [bench|guard|render|readme|million]
set -eu -o pipefail
cd "$(dirname "$0")"

# What is missing here only leaves a part of the report empty. The guard and the drawing need none of it.
if [ "${1:-bench}" = bench ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	missing=()
	command -v strace >/dev/null || missing+=(strace)
	command -v perf >/dev/null || missing+=(linux-perf)
	command -v cc >/dev/null || missing+=(gcc libc6-dev)
	if [ "${#missing[@]}" -gt 0 ]; then
		echo "installing ${missing[*]}" >&2
		for package in "${missing[@]}"; do
			DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "$package" >/dev/null 2>&1 || echo "no $package" >&2
		done
	fi
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
program=figures
if [ "${1:-}" = million ]; then
	program=million
	shift
fi
go build -o "$dir/$program" "./$program"

# In the background, so that a signal reaches this shell at once and is passed on.
"$dir/$program" "$@" &
child=$!
trap 'kill -TERM "$child" 2>/dev/null || true' INT TERM
status=0
wait "$child" || status=$?
if kill -0 "$child" 2>/dev/null; then # a signal ended the wait, not the child
	status=0
	wait "$child" || status=$?
fi
exit "$status"
