#!/usr/bin/env bash
# What the peers need beside this project, on Debian or Ubuntu: PyTorch, numpy, POT, HiGHS as scipy brings it, and OpenBLAS, which
# they then multiply with.
set -euo pipefail
apt-get update
apt-get install --yes --no-install-recommends python3-numpy python3-scipy python3-torch python3-pot libopenblas0-pthread
