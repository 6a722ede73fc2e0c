/**
 * Why a run, a follow or a steer of this package failed:
 *
 * - `closed`: the connection was closed by its owner.
 * - `connection`: there is no connection, and it was not tried any longer.
 * - `protocol`: the server broke a rule of agloop.v1.
 * - `truncated`: the run was seen, and the rest of it cannot be had.
 * - `start_unknown`: nobody can know whether the run began. It is not started again.
 * - `gone`: there is no such run, or not for this client, or it is kept no more.
 * - `conflict`: a run of that name has another input.
 * - `rejected`: the server does not carry it out; `reason` is its code.
 */
export type ErrorCode =
  | "closed" | "connection" | "protocol" | "truncated" | "start_unknown" | "gone" | "conflict" | "rejected";

/** The error of this package. */
export class AgloopError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
    /** Of `gone` and `truncated` what the server says, of `rejected` its code. */
    readonly reason?: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = "AgloopError";
  }
}

/** What a server did against the protocol. */
export const fault = (message: string) => new AgloopError("protocol", `the server broke agloop.v1: ${message}`);
