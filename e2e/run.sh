#!/usr/bin/env bash
# Builds agloop and tests it from outside: with the official AG-UI client, in Chromium and behind proxies.
# Needs Go and Node 20 or later; installs the rest. Arguments go to node's test runner.
set -euo pipefail
cd "$(dirname "$0")"

need() { command -v "$1" >/dev/null || { echo "e2e: $1 is missing: $2" >&2; exit 1; }; }
sudo=$([ "$(id -u)" = 0 ] || echo sudo)
install() ( # a shell of its own, for its trap
  $sudo apt-get update -qq
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then # no package may start a service: port 80 is not ours
    trap '$sudo rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
    $sudo chmod 755 "$policy"
  fi
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
)

need go "install Go 1.26 or later"
command -v node >/dev/null && command -v npm >/dev/null || install nodejs npm
need node "install Node 20 or later"
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || { echo "e2e: Node 20 or later is needed" >&2; exit 1; }

CHROMIUM=${CHROMIUM:-$(command -v chromium || true)}
if [ -z "$CHROMIUM" ]; then
  install chromium
  CHROMIUM=$(command -v chromium)
fi

PATH=$PATH:/usr/sbin # where the proxies are
for proxy in nginx haproxy; do
  command -v "$proxy" >/dev/null && continue
  install "$proxy"
  $sudo systemctl disable -q "$proxy" 2>/dev/null || true # nor at the next start of the machine
done
command -v openssl >/dev/null || install openssl
command -v curl >/dev/null || install curl

# npm leaves this file behind when an installation is complete.
packages() (
  cd "$1"
  [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund --loglevel=error
)
packages ../clients/ts
packages .
(cd ../clients/ts && npm run --silent build)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd .. && go build -o "$work/" ./cmd/agloop ./e2e/deflated ./e2e/proxied ./e2e/scripted)

# The tests mostly wait for an agent that speaks as slowly as a model.
AGLOOP_BIN=$work/agloop DEFLATED_BIN=$work/deflated PROXIED_BIN=$work/proxied SCRIPTED_BIN=$work/scripted CHROMIUM=$CHROMIUM node --test --test-concurrency=3 "$@" ./*.test.mjs
