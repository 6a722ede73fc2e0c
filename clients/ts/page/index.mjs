// What the demo page takes from packages.
import "./jitless.mjs";

export { AgloopAgent } from "../src/index.js";
export { encode } from "uqr";
