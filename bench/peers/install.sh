#!/usr/bin/env bash
# What the peers need beside this project, on Debian or Ubuntu: PyTorch, numpy, POT, and HiGHS as scipy brings it.
set -euo pipefail
apt-get update
apt-get install --yes --no-install-recommends python3-numpy python3-scipy python3-torch python3-pot
