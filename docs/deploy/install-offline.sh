#!/bin/sh
# Install Vis-à-vis from this folder without any network: sh install.sh [FOLDER, else ./visavis]
# Needs the version of Python that the folder was made for, with its venv module.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=${1:-visavis}
(cd "$here" && sha256sum --check --quiet SHA256SUMS)
"${PYTHON:-@PYTHON@}" -m venv "$target"
# Isolated: no index or folder of the environment's is looked at. Every wheel has its hash here.
"$target/bin/python" -m pip --isolated --disable-pip-version-check install --quiet --no-index \
	--no-deps --require-hashes --find-links "$here/wheels" --requirement "$here/requirements.txt"
"$target/bin/python" -m pip --isolated --disable-pip-version-check check
echo "Installed: $target/bin/visavis serve"
