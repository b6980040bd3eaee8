/** The part of the WebAssembly interface used here: Node has it, but neither its types nor ES2023's declare it. */
declare namespace WebAssembly {
  class Memory {
    constructor(descriptor: { initial: number; maximum: number; shared: true });
    readonly buffer: SharedArrayBuffer;
    grow(pages: number): number;
  }
  class Module {
    constructor(bytes: Uint8Array);
  }
  class Instance {
    constructor(module: Module, imports: { env: { memory: Memory }; host: Record<string, (x: number) => number> });
    readonly exports: object;
  }
  class RuntimeError extends Error {}
}
