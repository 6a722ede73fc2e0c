import { fault } from "./errors.js";

/** One event of a stream: what it says, and the id that stands with it. */
export interface Served {
  id: string;
  data: string;
}

/** Characters of an event that is not whole yet. */
const maxEvent = 10 << 20;

/**
 * Reads Server-Sent Events. It asks for more when what came is taken. beat is called for each piece, also for comments.
 */
export async function* served(body: ReadableStream<Uint8Array>, beat: () => void): AsyncGenerator<Served> {
  const [reader, decoder] = [body.getReader(), new TextDecoder()];
  const ends = /\r\n?|\n/g;
  let [line, id, data] = ["", "", ""];
  let skip = false; // a line feed behind a carriage return that ended the piece before
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    beat();
    let text = decoder.decode(value, { stream: true });
    if (!text) continue;
    if (skip && text[0] === "\n") text = text.slice(1);
    skip = text.endsWith("\r");
    let at = 0;
    for (const { 0: end, index } of text.matchAll(ends)) {
      line += text.slice(at, index);
      at = index + end.length;
      if (line === "") {
        if (data.length > 1) yield { id, data: data.slice(1) };
        [id, data] = ["", ""];
      } else {
        const [, name, rest] = /^([^:]*):? ?(.*)$/s.exec(line) as unknown as [string, string, string];
        if (name === "data") data += `\n${rest}`;
        else if (name === "id") id = rest;
      }
      line = "";
    }
    line += text.slice(at);
    if (line.length + data.length > maxEvent) throw fault("an event of more than 10 MiB");
  }
}
