#!/usr/bin/env bash
# Installs a VS Code workbench that runs in a browser, and what drives it, into node_modules beside this file.
# Needs Node 20, a C++ compiler and ripgrep. code-server's own install script expects tools of its
# release; these are the steps of it that matter, with every package pinned by a lock file.
set -euo pipefail
cd "$(dirname "$0")"
[ -f node_modules/.ready ] && exit 0
quiet=(--no-audit --no-fund --loglevel=error)
npm ci --ignore-scripts "${quiet[@]}"
npm_config_build_from_source=true npm rebuild argon2 "${quiet[@]}" # loaded at the start, also without a password
cd node_modules/code-server/lib/vscode
npm install --ignore-scripts --omit=dev "${quiet[@]}"
npm rebuild @vscode/spdlog native-watchdog "${quiet[@]}"
mkdir -p node_modules/@vscode/ripgrep/bin
ln -sf "$(command -v rg)" node_modules/@vscode/ripgrep/bin/rg
ln -sfn node_modules node_modules.asar
(cd bin/remote-cli && ln -sf code-linux.sh code-server)
(cd bin/helpers && ln -sf browser-linux.sh browser.sh)
(cd extensions && npm install --ignore-scripts --omit=dev "${quiet[@]}")
touch ../../../.ready
