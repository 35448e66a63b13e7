#!/usr/bin/env bash
# Points az at the server of env.sh and logs in. Needs: source DIR/env.sh
set -euo pipefail
run() { printf '$ %s\n' "$*"; "$@"; }

run az cloud register -n Poolwright --endpoint-resource-manager "$POOLWRIGHT_ENDPOINT"
run az cloud set -n Poolwright
run az login --service-principal -u "$AZURE_CLIENT_ID" -p "$AZURE_CLIENT_SECRET" --tenant adfs -o table
run az account show -o table
