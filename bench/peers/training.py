"""The training step of docs/training.md in PyTorch, timed on request.

    training.py FOLDER

FOLDER holds what moesim starts from: sizes.json, and a file of float32 or int32 for each parameter and for the batch.
Reads requests from standard input, a JSON object a line:

    {"variant": "parameters by expert", "steps": 3}      answers {"losses": [...]}, training from the start
    {"variant": "parameters by expert", "repeats": 5}    answers {"ms": [...]}, milliseconds of processor time of each step

The first line it prints holds the versions and the variants: the experts' parameters one by one, with Adam looping over them
or not (foreach), or stacked in one tensor a kind.
"""
import json
import sys
from pathlib import Path
from time import process_time

import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(1)
folder = Path(sys.argv[1])
sizes = json.loads((folder / "sizes.json").read_text())
tokens, experts, top_k = sizes["tokens"], sizes["experts"], sizes["topK"]
is_text = sizes["task"] == "text"


def read(name, dtype=np.float32):
    array = np.fromfile(folder / (name.replace("/", " ") + ".bin"), dtype=dtype)
    return torch.from_numpy(array.copy()).reshape(sizes["shapes"][name])


def parameter(values):
    return torch.nn.Parameter(values.clone())


class Model:
    def __init__(self, variant):
        self.gate = parameter(read("gate"))
        named = [[read(f"expert {e}/{part}") for e in range(experts)] for part in ("into", "into offset", "out of", "out of offset")]
        self.stacked = variant == "parameters stacked"
        own = [parameter(torch.stack(part)) if self.stacked else [parameter(values) for values in part] for part in named]
        self.into, self.into_offset, self.out_of, self.out_of_offset = own
        parameters = [self.gate, *(own if self.stacked else sum(own, []))]
        if is_text:
            names = ("embedding", "into", "into offset", "out of", "out of offset")
            self.embedding, self.v, self.v_offset, self.o, self.o_offset = self.ends = [parameter(read(name)) for name in names]
            parameters += self.ends
            self.contexts, self.next = read("contexts", np.int32).long(), read("next", np.int32).long()
        else:
            self.x, self.y = read("x"), read("y")
        self.adam = torch.optim.Adam(parameters, lr=sizes["learningRate"], foreach=variant == "parameters by expert, foreach")

    def loss(self):
        x = torch.addmm(self.v_offset, self.embedding[self.contexts].view(tokens, -1), self.v) if is_text else self.x
        score, expert = torch.topk(torch.softmax(x @ self.gate, 1), top_k)
        gate = (score / score.sum(1, keepdim=True)).flatten()
        flat = expert.flatten()
        order = torch.argsort(flat, stable=True)
        counts = torch.bincount(flat, minlength=experts).tolist()
        token = order // top_k
        kinds = (self.into, self.into_offset, self.out_of, self.out_of_offset)
        blocks = zip(*(kind.unbind(0) for kind in kinds)) if self.stacked else zip(*kinds)
        outputs = [
            torch.addmm(b, torch.relu(torch.addmm(a, rows, A)), B)
            for rows, (A, a, B, b) in zip(torch.split(x[token], counts), blocks)
            if len(rows) > 0
        ]
        weighted = torch.cat(outputs) * gate[order].unsqueeze(1)
        start = x if is_text else torch.zeros_like(x)
        output = start.index_add(0, token, weighted)
        if is_text:
            return F.cross_entropy(torch.addmm(self.o_offset, output, self.o), self.next)
        return F.mse_loss(output, self.y)

    def step(self):
        loss = self.loss()
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        self.adam.step()
        return loss.item()


def timed(model):
    start = process_time()
    model.step()
    return 1000 * (process_time() - start)


variants = ["parameters by expert", "parameters by expert, foreach", "parameters stacked"]
models = {}
blas = next((Path(line.split()[-1]).resolve().name for line in open("/proc/self/maps") if "blas" in line.split("/")[-1]), "unknown BLAS")
print(json.dumps({"versions": {"torch": torch.__version__, "BLAS": blas}, "variants": variants}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    variant = request["variant"]
    if "steps" in request:
        models = {variant: Model(variant)}
        print(json.dumps({"losses": [models[variant].step() for _ in range(request["steps"])]}), flush=True)
    else:
        print(json.dumps({"ms": [timed(models[variant]) for _ in range(request["repeats"])]}), flush=True)
