#!/usr/bin/env bash
# Installs the bundle as a machine without network and compilers would, and asks it. usage: try-bundle.sh BUNDLE PYTHON
# Needs `unshare`, to run without any network interface.
set -euo pipefail
bundle=$(realpath "$1") python=$(realpath "$2") example=$(realpath "$(dirname "$0")/../tests/data/example")
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
mkdir "$home/bin"
for tool in sh dirname sha256sum ls rm cat; do ln -s "$(command -v $tool)" "$home/bin/"; done # no compiler, no network tool

# Everything below runs in a network of its own, with no interface up, and sees these few tools alone.
alone=(unshare --net --map-root-user env -i "HOME=$home" "PATH=$home/bin" "PYTHON=$python")
time "${alone[@]}" sh "$bundle/install.sh" "$home/server"
du -sh "$home/server"
time "${alone[@]}" "$home/server/bin/deepcodeseek" index "$example"
draft="$example/apps/berth-planning/drafts/x_hbr_berth/sys_script/Assign berth on arrival.script.js"
"${alone[@]}" "$home/server/bin/deepcodeseek" query "$draft" --workspace "$example" --line 15 --column 5 --json |
  "$python" -c 'import json, sys; first = json.load(sys.stdin)["ranked"][0]["api_name"]; print(first); sys.exit(first != "x_hbr_berth.BerthAllocator")'
"${alone[@]}" "$home/server/bin/deepcodeseek" doctor "$example"
"${alone[@]}" sh "$bundle/install.sh" --remove "$home/server"
rm -rf "$home/bin"
left=$(find "$home" -type f) # such as an identifier that a library would report its use with
test -z "$left" || { echo "left behind: $left"; exit 1; }
echo "installed, asked and removed without network and compiler"
