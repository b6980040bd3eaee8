import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  checkExperts,
  type ExpertMapFormat,
  expertMapFormats,
  expertMapText,
  parseExpertMap,
} from "../../../src/core/formats/expert-map.ts";
import { InputError } from "../../../src/core/input-error.ts";
import { projectPath } from "../../support/program.ts";

const layers = new Map([
  [3, Int32Array.of(0, 1, 2, 0)],
  [5, Int32Array.of(2, 1, 1, 0)],
]);

const text = (format: ExpertMapFormat) => expertMapText({ format, gpus: 2, layers }, 3);

describe("an expert map", () => {
  it("is written as SGLang reads it, with the rows of dense layers", () => {
    expect(JSON.parse(text("sglang"))).toEqual({
      physical_to_logical_map: [
        [0, 1, 2, 0],
        [0, 1, 2, 0],
        [0, 1, 2, 0],
        [0, 1, 2, 0],
        [0, 1, 2, 0],
        [2, 1, 1, 0],
      ],
    });
  });

  it("is written as TensorRT-LLM reads it", () => {
    expect(text("tensorrt-llm")).toBe(
      "num_slots: 4\ninitial_global_assignments:\n  3: [0, 1, 2, 0]\n  5: [2, 1, 1, 0]\nlayer_updates_per_iter: 0\n",
    );
  });

  it("is written as vllm-ascend reads it", () => {
    expect(JSON.parse(text("vllm-ascend"))).toEqual({
      moe_layer_count: 2,
      layer_list: [
        {
          layer_id: 0,
          device_count: 2,
          device_list: [
            { device_id: 0, device_expert: [0, 1] },
            { device_id: 1, device_expert: [2, 0] },
          ],
        },
        {
          layer_id: 1,
          device_count: 2,
          device_list: [
            { device_id: 0, device_expert: [2, 1] },
            { device_id: 1, device_expert: [1, 0] },
          ],
        },
      ],
    });
  });

  it.each(expertMapFormats)("comes back from %s", (format) => {
    const read = parseExpertMap(text(format), "map");
    expect(read.format).toBe(format);
    expect(read.gpus).toBe(format === "vllm-ascend" ? 2 : null);
    const ids = format === "vllm-ascend" ? [0, 1] : [3, 5];
    expect(ids.map((id) => read.layers.get(id))).toEqual(Array.from(layers.values()));
  });

  it("takes the devices of vllm-ascend by their numbers", () => {
    const devices = [
      { device_id: 1, device_expert: [2, 3] },
      { device_id: 0, device_expert: [0, 1] },
    ];
    const written = { moe_layer_count: 1, layer_list: [{ layer_id: 7, device_count: 2, device_list: devices }] };
    expect(parseExpertMap(JSON.stringify(written), "map").layers).toEqual(new Map([[7, Int32Array.of(0, 1, 2, 3)]]));
  });

  const shared = projectPath("../shared/formats");
  it.skipIf(!existsSync(shared))("is read from files of real systems (skipped without ../shared/formats)", () => {
    const read = (name: string) => parseExpertMap(readFileSync(`${shared}/${name}`, "utf8"), name);
    const ascend = read("vllm-ascend-expert-map.json");
    expect(ascend).toMatchObject({ format: "vllm-ascend", gpus: 2 });
    expect(ascend.layers).toEqual(new Map([[0, Int32Array.of(7, 2, 0, 3, 5, 6, 1, 4, 7, 2)]]));
    const trtllm = read("made-trtllm-moe-load-balancer.yaml");
    expect(trtllm).toMatchObject({ format: "tensorrt-llm", gpus: null });
    expect(Array.from(trtllm.layers, ([layer, { length }]) => [layer, length])).toEqual([
      [3, 288],
      [4, 288],
    ]);
    checkExperts(ascend, 8, "map");
    checkExperts(trtllm, 256, "map");
  });
});

describe("a map that is none", () => {
  const refused: [name: string, text: string, message: RegExp][] = [
    ["text", "hello", /not an expert map/],
    ["broken JSON", '{"layer_list": [', /neither JSON nor YAML/],
    ["another object", '{"layers": []}', /none of the keys/],
    ["no rows", '{"physical_to_logical_map": []}', /expected a list/],
    ["ragged rows", '{"physical_to_logical_map": [[0, 1], [0]]}', /layer 1 has 1 slots, but others have 2/],
    ["a negative expert", '{"physical_to_logical_map": [[0, -1]]}', /layer 0, slot 1: expected an expert/],
    ["a fraction", '{"physical_to_logical_map": [[0.5, 1]]}', /layer 0, slot 0: expected an expert/],
    ["a layer without a number", "initial_global_assignments: {a: [0]}", /is not the id of a layer/],
    ["no assignments", "initial_global_assignments: 3", /expected a list of experts for each layer/],
    [
      "uneven devices",
      '{"layer_list": [{"device_list": [{"device_expert": [0, 1]}, {"device_expert": [2]}]}]}',
      /different numbers of experts/,
    ],
    [
      "a layer twice",
      '{"layer_list": [{"layer_id": 1, "device_list": [{"device_expert": [0]}]}, {"layer_id": 1, "device_list": [{"device_expert": [0]}]}]}',
      /layer 1 appears twice/,
    ],
  ];
  it.each(refused)("is refused: %s", (_, written, message) => {
    expect(() => parseExpertMap(written, "map.json")).toThrow(InputError);
    expect(() => parseExpertMap(written, "map.json")).toThrow(message);
    expect(() => parseExpertMap(written, "map.json")).toThrow(/^map\.json/);
  });

  it("is refused if it lacks an expert, or has one too many", () => {
    const map = parseExpertMap(text("sglang"), "map");
    expect(() => checkExperts(map, 4, "map")).toThrow("map: layer 0: no slot for expert 3");
    expect(() => checkExperts(map, 2, "map")).toThrow("map: layer 0, slot 2: expert 2, but the loads have 2 experts");
  });
});
