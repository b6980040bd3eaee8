import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
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
  [5, Int32Array.of(2, 1, 0, 1)],
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
        [2, 1, 0, 1],
      ],
    });
  });

  it("is written as TensorRT-LLM reads it", () => {
    expect(text("tensorrt-llm")).toBe(
      "num_slots: 4\ninitial_global_assignments:\n  3: [0, 1, 2, 0]\n  5: [2, 1, 0, 1]\nlayer_updates_per_iter: 0\n",
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
            { device_id: 1, device_expert: [0, 1] },
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

  // Readers as the engines have them, written from what they do: what they index, assert and count.
  it("is what SGLang makes of it: slots by layer of the model, each expert's slots, GPUs by equal shares", () => {
    const [modelLayers, experts, gpus] = [8, 3, 2];
    const written = JSON.parse(expertMapText({ format: "sglang", gpus, layers }, experts, modelLayers));
    // Other keys would be arguments that the function there does not have.
    expect(Object.keys(written)).toEqual(["physical_to_logical_map"]);
    const rows: number[][] = written.physical_to_logical_map;
    expect(rows.map(({ length }) => length)).toEqual(new Array(modelLayers).fill(4));
    for (let layer = 0; layer < modelLayers; layer++) {
      const expected = layers.get(layer) ?? Array.from({ length: 4 }, (_, slot) => slot % experts);
      const slotsOf = Array.from({ length: experts }, (_, expert) =>
        rows[layer].flatMap((e, p) => (e === expert ? [p] : [])),
      );
      expect(slotsOf.every(({ length }) => length > 0)).toBe(true);
      slotsOf.forEach((slots, expert) => {
        for (const slot of slots) expect(expected[Math.floor(slot / 2) * 2 + (slot % 2)]).toBe(expert);
      });
    }
  });

  it("is what vllm-ascend makes of it: by places in the lists, one slot of an expert on a device", () => {
    const written = JSON.parse(text("vllm-ascend"));
    Array.from(layers.values()).forEach((expected, place) => {
      expect(place).toBeLessThan(written.moe_layer_count);
      const placement: number[][] = written.layer_list[place].device_list.map(
        (device: { device_expert: number[] }) => device.device_expert,
      );
      expect(new Set(placement.map(({ length }) => length)).size).toBe(1);
      // Expert → local slot, of which the last one counts, as an assignment by index leaves it.
      const localSlot = placement.map((experts) => new Map(experts.map((expert, slot) => [expert, slot])));
      const perDevice = localSlot[0].size;
      const physical = localSlot.flatMap((slots, rank) =>
        Array.from(slots, ([e, slot]) => [rank * perDevice + slot, e]),
      );
      expect(physical).toHaveLength(expected.length);
      for (const [slot, expert] of physical) expect(expected[slot]).toBe(expert);
    });
  });

  it("is what TensorRT-LLM makes of it: as many slots as it says, and every expert, in each layer that it looks up", () => {
    const written = parse(text("tensorrt-llm"));
    for (const [layer, expected] of layers) {
      const assignments: number[] = written.initial_global_assignments[layer];
      expect(assignments).toHaveLength(written.num_slots);
      expect(new Set(assignments)).toEqual(new Set([0, 1, 2]));
      expect(assignments).toEqual(Array.from(expected));
    }
    // 0 makes the assignment static.
    expect(written.layer_updates_per_iter).toBe(0);
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
    ["ragged rows", '{"physical_to_logical_map": [[0, 1], [0]]}', /layer 1 has 1 slot, but others have 2/],
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
      "layers that are not in order, which vllm-ascend would mix up",
      '{"layer_list": [{"layer_id": 1, "device_list": [{"device_expert": [0]}]}, {"layer_id": 0, "device_list": [{"device_expert": [0]}]}]}',
      /layer_list\[0\]\.layer_id: 1 in place 0; vllm-ascend goes by the place in the list/,
    ],
    [
      "devices that are not in order",
      '{"layer_list": [{"device_list": [{"device_id": 1, "device_expert": [0]}, {"device_id": 0, "device_expert": [1]}]}]}',
      /layer_list\[0\]\.device_list\[0\]\.device_id: 1 in place 0/,
    ],
    [
      "an expert twice on a device of vllm-ascend",
      '{"layer_list": [{"device_list": [{"device_expert": [0, 1]}, {"device_expert": [1, 1]}]}]}',
      /device_list\[1\]\.device_expert: 1 twice; vllm-ascend knows one slot of an expert on a device/,
    ],
    [
      "another number of layers than it says",
      '{"moe_layer_count": 2, "layer_list": [{"device_list": [{"device_expert": [0]}]}]}',
      /moe_layer_count is 2, but layer_list has 1 layer/,
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
