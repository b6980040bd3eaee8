"""Routing steps as people write them in PyTorch, numpy and POT, timed on request.

    routing.py LOGITS TOKENS EXPERTS TOP_K OUT

LOGITS is a file of float32 [TOKENS x EXPERTS]. Reads requests from standard input, a JSON object a line:

    {"peer": "torch", "name": "topk-step", "threads": 1, "repeats": 5, "warm_ms": 100}

and answers each with {"ms": [...]}, the milliseconds of each repetition, after it has repeated the work for WARM_MS. With "repeats": 0 it writes what the work results
in to files of float32 or int32 in the folder OUT instead and answers with their names. The first line it prints holds
the versions, and which peers there are for which name.
"""
import json
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import ot
import scipy
import scipy.special
import torch

file, tokens, experts, top_k, out = sys.argv[1], *map(int, sys.argv[2:5]), Path(sys.argv[5])
logits = np.fromfile(file, dtype=np.float32).reshape(tokens, experts)
z = torch.from_numpy(logits)
iterations = 3
update_rate = 0.001

gibbs = torch.exp(z - z.max(1, keepdim=True)[0])
column_scaling = torch.ones(experts)
gibbs_numpy = gibbs.numpy()
ones_numpy = np.ones(experts, dtype=np.float32)
bias = torch.zeros(experts)


def torch_chosen(keys, scores):
    """Experts by key, their renormalised scores as gates, and loads."""
    expert = torch.topk(keys, top_k, 1)[1]
    gate = scores.gather(1, expert)
    gate = gate / gate.sum(1, keepdim=True)
    return {"expert": expert, "gate": gate, "load": torch.bincount(expert.view(-1), minlength=experts)}


def numpy_chosen(keys):
    """The same without torch.topk's order among the chosen."""
    expert = np.argpartition(keys, experts - top_k, 1)[:, experts - top_k:]
    gate = np.take_along_axis(keys, expert, 1)
    gate = gate / gate.sum(1, keepdims=True)
    return {"expert": expert, "gate": gate, "load": np.bincount(expert.ravel(), minlength=experts)}


def torch_sweep():
    rows = 1 / torch.sum(column_scaling * gibbs, 1)
    return {"columns": torch.sum(rows.unsqueeze(1) * gibbs, 0)}


def torch_sweep_blas():
    rows = 1 / (gibbs @ column_scaling)
    return {"columns": rows @ gibbs}


def numpy_sweep():
    rows = 1 / (gibbs_numpy @ ones_numpy)
    return {"columns": rows @ gibbs_numpy}


def torch_plan(multiply):
    kernel = torch.exp(z - z.max(1, keepdim=True)[0])
    columns = torch.ones(experts)
    for _ in range(iterations):
        rows = 1 / (kernel @ columns if multiply else torch.sum(columns * kernel, 1))
        sums = rows @ kernel if multiply else torch.sum(rows.unsqueeze(1) * kernel, 0)
        columns = (tokens / experts) / sums
    rows = 1 / (kernel @ columns if multiply else torch.sum(columns * kernel, 1))
    return columns * kernel * rows.unsqueeze(1)


def torch_ssr(multiply):
    plan = torch_plan(multiply)
    return torch_chosen(plan, plan)


def torch_topk():
    scores = torch.softmax(z, 1)
    return torch_chosen(scores, scores)


def torch_alf_lb():
    global bias
    scores = torch.sigmoid(z)
    chosen = torch_chosen(scores + bias, scores)
    bias = bias + update_rate * torch.sign(tokens * top_k / experts - chosen["load"])
    return chosen


def torch_quantile():
    scores = torch.softmax(z, 1)
    values, order = torch.topk(scores, top_k + 1, 1)
    expert = order[:, :top_k]
    gate = scores.gather(1, expert)
    rank = tokens * top_k // experts + 1
    price = torch.topk((scores - values[:, top_k:]).t().contiguous(), rank, 1)[0][:, rank - 1]
    load = torch.bincount(expert.reshape(-1), minlength=experts)
    return {"expert": expert, "gate": gate / gate.sum(1, keepdim=True), "load": load, "price": price - price.mean()}


def numpy_topk():
    return numpy_chosen(scipy.special.softmax(logits, 1))


def pot_plan(method):
    cost = -logits.astype(np.float64)
    return ot.sinkhorn(
        np.ones(tokens), np.full(experts, tokens / experts), cost, 1, method=method, numItermax=iterations,
        stopThr=0, warn=False,
    )


WORK = {
    ("sinkhorn-sweep", "torch"): torch_sweep,
    ("sinkhorn-sweep", "torch, two matrix-vector products"): torch_sweep_blas,
    ("sinkhorn-sweep", "numpy"): numpy_sweep,
    ("softmax", "torch"): lambda: {"scores": torch.softmax(z, 1)},
    ("softmax", "scipy"): lambda: {"scores": scipy.special.softmax(logits, 1)},
    ("topk-step", "torch"): torch_topk,
    ("topk-step", "numpy"): numpy_topk,
    ("ssr-step", "torch"): lambda: torch_ssr(False),
    ("ssr-step", "torch, two matrix-vector products"): lambda: torch_ssr(True),
    ("ssr-step", "POT"): lambda: numpy_chosen(pot_plan("sinkhorn")),
    ("ssr-step", "POT, log domain"): lambda: numpy_chosen(pot_plan("sinkhorn_log")),
    ("alf-lb-step", "torch"): torch_alf_lb,
    ("quantile-step", "torch"): torch_quantile,
}


def write(result):
    names = {}
    for name, array in result.items():
        dtype = np.int32 if name in ("expert", "load") else np.float32
        path = out / f"{name}.bin"
        np.asarray(array).astype(dtype).tofile(path)
        names[name] = str(path)
    return names


def answer(request):
    global bias
    torch.set_num_threads(request["threads"])
    work = WORK[request["name"], request["peer"]]
    bias = torch.zeros(experts)
    if request["repeats"] == 0:
        return write(work())
    end = perf_counter() + request["warm_ms"] / 1000
    while perf_counter() < end:
        work()
    milliseconds = []
    for _ in range(request["repeats"]):
        start = perf_counter()
        work()
        milliseconds.append(1000 * (perf_counter() - start))
    return {"ms": milliseconds}


versions = {"torch": torch.__version__, "numpy": np.__version__, "scipy": scipy.__version__, "POT": ot.__version__}
print(json.dumps({"versions": versions, "work": [list(key) for key in WORK]}), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
