// The tests of the core run in Node, on its platform.
import "../../src/node/platform.ts";
