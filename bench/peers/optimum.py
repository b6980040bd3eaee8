"""Solves the maximum-score assignment with HiGHS, as scipy's linprog calls it.

    optimum.py SCORES TOKENS EXPERTS TOP_K CAPACITY REPEATS

SCORES is a file of float64 [TOKENS x EXPERTS]. The linear program is max S.x with 0 <= x <= 1, at most TOP_K for each
token and at most CAPACITY on each expert; its matrix is that of a bipartite graph, so its vertices are assignments.
Prints JSON: scipy's version, the milliseconds that building the matrix took, and for each way of solving it its value and
the milliseconds of each repetition, which hold the call of linprog alone.
"""
import json
import sys
from time import perf_counter

import numpy as np
import scipy
from scipy.optimize import linprog
from scipy.sparse import csc_matrix

# Dual simplex, as method="highs" takes for this program; without the presolve, which finds nothing here; with cheaper
# weights; and the interior point method.
SETTINGS = [
    ("dual simplex", "highs-ds", {}),
    ("dual simplex, no presolve", "highs-ds", {"presolve": False}),
    ("dual simplex, devex", "highs-ds", {"simplex_dual_edge_weight_strategy": "devex"}),
    ("interior point", "highs-ipm", {}),
]

file = sys.argv[1]
tokens, experts, top_k, capacity, repeats = map(int, sys.argv[2:])
scores = np.fromfile(file).reshape(tokens, experts)

start = perf_counter()
pairs = tokens * experts
token, expert = np.divmod(np.arange(pairs), experts)
rows = np.stack([token, tokens + expert], axis=1).ravel()
matrix = csc_matrix((np.ones(2 * pairs), rows, np.arange(0, 2 * pairs + 1, 2)), shape=(tokens + experts, pairs))
limits = np.concatenate([np.full(tokens, top_k), np.full(experts, capacity)])
set_up_ms = 1000 * (perf_counter() - start)


def solve(method, options):
    milliseconds = []
    for _ in range(repeats):
        start = perf_counter()
        result = linprog(-scores.ravel(), A_ub=matrix, b_ub=limits, bounds=(0, 1), method=method, options=options)
        milliseconds.append(1000 * (perf_counter() - start))
        if result.status != 0:
            raise SystemExit(f"{method}: {result.message}")
    return {"value": -result.fun, "ms": milliseconds}


solutions = [{"name": name, **solve(method, options)} for name, method, options in SETTINGS]
print(json.dumps({"scipy": scipy.__version__, "set_up_ms": set_up_ms, "solutions": solutions}))
