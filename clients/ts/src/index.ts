export { AgloopAgent, type AgloopAgentConfig, type ConnectParameters } from "./agent.js";
export { AgloopConnection, type ConnectionOptions, type ConnectionState, type Credentials } from "./connection.js";
export { AgloopError, type ErrorCode } from "./errors.js";
export { protocol, type Cursor } from "./protocol.js";
export type { Place, RunCursor } from "./sequence.js";
