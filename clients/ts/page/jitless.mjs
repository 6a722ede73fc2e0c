// The policy of the page forbids eval, and zod tries it out unless it is told not to. It is imported
// first, since zod looks when a schema is made.
import { config } from "zod/v4";

config({ jitless: true });
