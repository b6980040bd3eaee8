import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { projectPath, readCsv, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const page = readFileSync(projectPath("docs/recording.md"), "utf8");
const programs = Array.from(page.matchAll(/```python\n(.*?)```\n/gs), ([, text]) => text);

/** The first Python with these modules: Debian's has PyTorch, one earlier in PATH may not. */
function findPython(...modules: string[]): string | undefined {
  const known = [process.env.PYTHON ?? "", "python3", "/usr/bin/python3"].filter((name) => name !== "");
  // Importing PyTorch takes seconds.
  const finds = `import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, ${JSON.stringify(modules)})))`;
  const found = known.find((name) => spawnSync(name, ["-c", finds]).status === 0);
  return found;
}
const withTorch = findPython("torch", "numpy");
const withNumpy = findPython("numpy");
if (withNumpy === undefined && process.env.PYTHON_TESTS === "required") {
  throw new Error("no Python with NumPy was found; apt-get install python3-numpy, or name one in PYTHON");
}

/**
 * Two layers with experts, 1 and 2, after a dense one. `counts` are the loads of plain top-2 that Python finds, without padding.
 */
const toyModel = `
import json, types, numpy, torch
torch.manual_seed(7)
experts, hidden = 8, 16

class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = torch.nn.Linear(hidden, experts, bias=False)
        self.gate_proj = torch.nn.Linear(hidden, hidden)
    def forward(self, x):
        logits = self.gate(x.flatten(0, 1))
        seen.append(logits)
        return x + torch.tanh(self.gate_proj(x))

class Layer(torch.nn.Module):
    def __init__(self, mlp):
        super().__init__()
        self.mlp = mlp
    def forward(self, x):
        return self.mlp(x)

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = torch.nn.Module()
        self.model.embed = torch.nn.Embedding(50, hidden)
        self.model.layers = torch.nn.ModuleList([Layer(torch.nn.Linear(hidden, hidden)), Layer(Block()), Layer(Block())])
    def forward(self, input_ids, attention_mask, output_router_logits=False):
        first = len(seen)
        x = self.model.embed(input_ids)
        for layer in self.model.layers:
            x = layer(x)
        return types.SimpleNamespace(router_logits=tuple(seen[first:]))

seen = []
model = Model()
def made(sequences, length):
    mask = torch.ones(sequences, length, dtype=torch.long)
    mask[0, -3:] = 0
    return {"input_ids": torch.randint(50, (sequences, length)), "attention_mask": mask}
def counts(batches, padded):
    loads = [torch.zeros(experts, dtype=torch.long) for _ in range(2)]
    for i, logits in enumerate(seen):
        keep = batches[i // 2]["attention_mask"].flatten() == 1 if padded else slice(None)
        loads[i % 2] += torch.bincount(logits[keep].topk(2).indices.flatten(), minlength=experts)
    json.dump([load.tolist() for load in loads], open("counts.json", "w"))
`;

/** Runs `program` in a new folder, which it returns, and the counts that it wrote. */
function runPython(python: string, program: string): { folder: string; counts: number[][] } {
  const folder = temporaryFolder();
  writeFileSync(path.join(folder, "program.py"), program);
  const { status, stderr } = spawnSync(python, ["program.py"], { cwd: folder, encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
  return { folder, counts: JSON.parse(readFileSync(path.join(folder, "counts.json"), "utf8")) };
}

/** The loads that `moesim measure` finds, by layer and expert, summed over the steps. */
async function measured(folder: string, words: readonly string[]): Promise<{ layers: number[]; loads: number[][] }> {
  const { code, stdout, stderr } = await runInProcess(["measure", ...words, "--out", "out", "--json"], folder);
  expect([code, stderr]).toEqual([0, ""]);
  const layers: number[] = JSON.parse(stdout).layers;
  const rows = readCsv(path.join(folder, "out/loads.csv"));
  const loads = layers.map((layer) => {
    const own = rows.filter((row) => row.layer === `${layer}`);
    return Array.from({ length: 8 }, (_, expert) =>
      own.filter((row) => row.expert === `${expert}`).reduce((sum, { load }) => sum + Number(load), 0),
    );
  });
  return { layers, loads };
}

describe("docs/recording.md", () => {
  it("has three programs, and shows the commands that are tried here", () => {
    expect(programs.map((text) => /router_logits=True|forward_hook|from vllm/.exec(text)?.[0])).toEqual([
      "router_logits=True",
      "forward_hook",
      "from vllm",
    ]);
    for (const command of [
      "moesim measure router_logits.pt --top-k 8 --padding-mask padding.npy",
      "moesim measure gate_logits.pt --top-k 8 --batch-tokens 4096",
      "moesim measure routed.npz --axes tokens,layers,topK --experts 128 --batch-tokens 4096",
    ]) {
      expect(page).toContain(command);
    }
  });

  it.skipIf(withTorch === undefined)("records the logits that a model returns, without padding", async () => {
    const program = `${toyModel}\ninputs = made(3, 20)\n${programs[0]}\ncounts([inputs], True)\n`;
    const { folder, counts } = runPython(withTorch!, program);
    const words = ["router_logits.pt", "--top-k", "2", "--padding-mask", "padding.npy"];
    expect(await measured(folder, words)).toEqual({ layers: [0, 1], loads: counts });
  });

  it.skipIf(withTorch === undefined)("records the logits of gates by hooks, in the layers' numbers", async () => {
    const rest = `
counts(batches, False)
numpy.savez("gate_logits.npz", **{name: torch.cat(parts).numpy() for name, parts in recorded.items()})
import os
os.mkdir("parts")
for i in range(len(batches)):
    torch.save({name: parts[i] for name, parts in recorded.items()}, f"parts/gate_logits_{i}.pt")
`;
    const program = `${toyModel}\nbatches = [made(3, 20), made(2, 30), made(1, 7)]\n${programs[1]}\n${rest}`;
    const { folder, counts } = runPython(withTorch!, program);
    for (const file of ["gate_logits.pt", "gate_logits.npz", "parts"]) {
      const words = [file, "--top-k", "2", "--batch-tokens", "32"];
      expect(await measured(folder, words), file).toEqual({ layers: [1, 2], loads: counts });
    }
  });

  it.skipIf(withNumpy === undefined)("records the choices that vLLM returns", async () => {
    const stub = `
import json, sys, types, numpy
random = numpy.random.default_rng(5)
def route(tokens):
    return numpy.argsort(random.random((tokens, 3, 8)), axis=-1)[:, :, :2].astype(numpy.uint8)
class LLM:
    def __init__(self, model, enable_return_routed_experts):
        assert enable_return_routed_experts
    def generate(self, prompts, params):
        return [types.SimpleNamespace(outputs=[types.SimpleNamespace(routed_experts=route(5 + len(p)))]) for p in prompts]
sys.modules["vllm"] = types.SimpleNamespace(LLM=LLM, SamplingParams=lambda max_tokens: None)
MODEL, prompts = "toy", PROMPTS
`;
    const rest = `
routed = [output.outputs[0].routed_experts for output in outputs]
loads = [numpy.bincount(numpy.concatenate([each[:, layer].flatten() for each in routed]), minlength=8).tolist() for layer in range(3)]
json.dump(loads, open("counts.json", "w"))
`;
    // One sample alone has the shape of steps × tokens × topK.
    for (const prompts of ['["a", "of three words", "longer than these"]', '["one alone"]']) {
      const program = `${stub.replace("PROMPTS", prompts)}\n${programs[2]}\n${rest}`;
      const { folder, counts } = runPython(withNumpy!, program);
      expect(existsSync(path.join(folder, "routed.npz"))).toBe(true);
      const words = ["routed.npz", "--axes", "tokens,layers,topK", "--experts", "8", "--batch-tokens", "16"];
      expect(await measured(folder, words)).toEqual({ layers: [0, 1, 2], loads: counts });
    }
  });
});
