"""Sparsity-constrained transport as POT solves it: L-BFGS-B on the semi-dual, timed on request.

    sparse.py COST TOKENS EXPERTS MAX_TOKENS GAMMA

COST is a file of float32 [TOKENS x EXPERTS]. Prints the versions, then answers each line of standard input with the
milliseconds of one solution, its value, by how much its rows miss 1 on average, and the most non-zeros of a column.
"""
import contextlib
import io
import json
import sys
from time import perf_counter

import numpy as np
import ot
import scipy

file, tokens, experts, max_tokens, gamma = sys.argv[1], *map(int, sys.argv[2:5]), float(sys.argv[5])
cost = np.fromfile(file, dtype=np.float32).reshape(tokens, experts).astype(np.float64)
rows = np.ones(tokens)
columns = np.full(experts, tokens / experts)

versions = {"POT": ot.__version__, "numpy": np.__version__, "scipy": scipy.__version__}
print(json.dumps({"versions": versions}), flush=True)
for _ in sys.stdin:
    start = perf_counter()
    # POT prints shapes as it goes.
    with contextlib.redirect_stdout(io.StringIO()):
        plan = ot.smooth.smooth_ot_semi_dual(
            rows, columns, cost, gamma, reg_type="sparsity_constrained", max_nz=max_tokens, numItermax=200
        )
    milliseconds = 1000 * (perf_counter() - start)
    answer = {
        "ms": milliseconds,
        "value": float((cost * plan).sum() + gamma / 2 * (plan**2).sum()),
        "missed": float(np.abs(plan.sum(1) - 1).mean()),
        "non_zeros": int((plan > 0).sum(0).max()),
    }
    print(json.dumps(answer), flush=True)
