export { AgloopAgent, type AgloopAgentConfig, type ConnectParameters } from "./agent.js";
export { AgloopConnection } from "./connection.js";
export { AgloopError, type ErrorCode } from "./errors.js";
export type { ConnectionOptions, ConnectionState, Credentials } from "./options.js";
export { protocol, type Cursor } from "./protocol.js";
export type { Place, RunCursor } from "./sequence.js";
