#!/bin/sh
# Installs DeepCodeSeek from this bundle: no network, no compiler. usage: install.sh [FOLDER], or install.sh --remove [FOLDER]
# PYTHON=python3.11 chooses the Python, which must be of the version that the bundle's name says.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
action=install
if [ "${1:-}" = --remove ]; then
  action=remove
  shift
fi
folder=${1:-$HOME/.local/share/deepcodeseek-server}

if [ $action = remove ]; then
  for kind in cache data; do # indexes, then models and base layers
    "$folder/bin/python" -c "import platformdirs; print(platformdirs.user_${kind}_path('deepcodeseek', appauthor=False))"
  done | while read -r place; do rm -rf "$place"; done
  rm -rf "$folder"
  echo "removed: $folder, indexes and models"
  exit
fi

(cd "$here" && sha256sum --check --quiet SHA256SUMS)
"${PYTHON:-python3}" -m venv "$folder"
export PIP_NO_INDEX=1 PIP_FIND_LINKS="$here/wheels" PIP_DISABLE_PIP_VERSION_CHECK=1
if ls "$here"/wheels/torch-*.whl > /dev/null 2>&1; then what='deepcodeseek[train]'; else what=deepcodeseek; fi
"$folder/bin/python" -m pip install --quiet "$what"
"$folder/bin/deepcodeseek" models get
"$folder/bin/deepcodeseek" doctor
if command -v code > /dev/null; then
  code --install-extension "$here/deepcodeseek.vsix"
fi
echo "The command: $folder/bin/deepcodeseek. In VS Code: deepcodeseek.pythonPath = $folder/bin/python"
