// Starts real proxies with the files that docs/deploy.md shows. Each has a folder of its own and an
// address of its own, 127.0.0.3, on which no port is taken by who connects to somewhere.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { start, within } from "./program.mjs";

const address = "127.0.0.3";
const doc = readFileSync(new URL("../../docs/deploy.md", import.meta.url), "utf8");

// blocks are the fenced blocks of docs/deploy.md in a language, in their order.
export const blocks = (language) =>
  [...doc.matchAll(/^```(\w+)\n([^]*?)^```$/gm)].filter(([, l]) => l === language).map(([, , text]) => text);

// fill puts values in the place of parts of a file. A part that the file lacks is a mistake.
function fill(text, values) {
  for (const [part, value] of Object.entries(values)) {
    if (!text.includes(part)) throw new Error(`docs/deploy.md has no ${JSON.stringify(part)} any more`);
    text = text.replaceAll(part, () => value);
  }
  return text;
}

// certificate makes a certificate for a host that nobody but the test trusts.
export function certificate(folder, host = "app.example") {
  const at = { key: join(folder, "key.pem"), cert: join(folder, "cert.pem"), both: join(folder, "both.pem") };
  const subject = ["-subj", `/CN=${host}`, "-addext", `subjectAltName=DNS:${host}`];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", at.key];
  execFileSync("openssl", ["req", "-x509", ...key, ...subject, "-out", at.cert, "-days", "2"], { stdio: "pipe" });
  const ca = readFileSync(at.cert, "utf8");
  writeFileSync(at.both, ca + readFileSync(at.key, "utf8"), { mode: 0o600 });
  return { ...at, ca };
}

// nginx serves docs/deploy.md's file in front of a server at addr, host:port or a path, which is asked over TLS if secure.
export function nginx(addr, certificate, secure = false) {
  return launch("nginx", async (folder, plain, tls) => {
    const file = fill(blocks("nginx")[0], {
      "127.0.0.1:8080": addr.includes("/") ? `unix:${addr}` : addr,
      "listen 80;": `listen ${address}:${plain};`,
      "listen 443 ssl;": `listen ${address}:${tls} ssl;`,
      "/etc/ssl/app.example.crt": certificate.cert,
      "/etc/ssl/app.example.key": certificate.key,
      "proxy_pass http:": secure ? "proxy_pass https:" : "proxy_pass http:",
    });
    writeFileSync(join(folder, "agloop.conf"), file);
    // What Debian's nginx.conf has around the file, but as one process in one folder.
    const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((n) => `${n}_temp_path ${n};`).join(" ");
    const around = `daemon off; master_process off; pid nginx.pid; error_log stderr;
      events {} http { access_log off; ${temp} include agloop.conf; }`;
    writeFileSync(join(folder, "nginx.conf"), around);
    return ["-p", folder, "-c", join(folder, "nginx.conf"), "-e", "stderr"];
  });
}

// haproxy serves docs/deploy.md's file of a mode, "http" or "tcp", in front of a server at addr. Its
// own checks of the server ask for probe. It is asked over TLS if secure.
export async function haproxy(mode, addr, certificate, { probe = "/ready", secure = false } = {}) {
  const proxy = await launch("haproxy", async (folder, plain, tls) => {
    const file = fill(blocks("haproxy")[mode === "tcp" ? 1 : 0], {
      "127.0.0.1:8080": secure ? `${addr} ssl verify none` : addr,
      "bind :80\n": `bind ${address}:${plain}\n`,
      "bind :443 ": `bind ${address}:${tls} `,
      "/etc/haproxy/app.example.pem": certificate.both,
      "/ready": probe,
    });
    writeFileSync(join(folder, "haproxy.cfg"), file);
    writeFileSync(join(folder, "global.cfg"), `global\n    stats socket ${join(folder, "stats")} mode 600\n`);
    return ["-db", "-f", join(folder, "global.cfg"), "-f", join(folder, "haproxy.cfg")];
  });
  // check is the first result of HAProxy's own check of the server, such as "L7OK/200".
  proxy.check = async () => {
    for (;;) {
      const [head, ...rows] = (await ask(join(proxy.folder, "stats"), "show stat\n")).trim().split("\n");
      const columns = head.slice(2).split(",");
      const row = rows.map((r) => r.split(",")).find((r) => r[0] === "agloop" && r[1] === "a");
      const of = (name) => row[columns.indexOf(name)];
      const status = of("check_status").replace("* ", ""); // a star while the next check is under way
      if (status !== "" && status !== "INI") return `${status}/${of("check_code")}`;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  return proxy;
}

// ask sends text to a unix socket and returns everything that comes back.
async function ask(path, text) {
  const socket = connect(path);
  socket.end(text);
  let answer = "";
  for await (const part of socket) answer += part;
  return answer;
}

// launch starts a proxy with the arguments that configure returns for a folder and two free ports,
// one of them for TLS, and resolves when it listens.
async function launch(name, configure) {
  const folder = mkdtempSync(join(tmpdir(), `agloop-${name}-`));
  const [plain, tls] = await freePorts(2);
  const child = start(name, await configure(folder, plain, tls));
  let said = "";
  child.stdout.on("data", (d) => (said += d));
  child.stderr.on("data", (d) => (said += d));
  const exited = new Promise((resolve, reject) => child.once("exit", resolve).once("error", reject));
  const early = exited.then(() => Promise.reject(new Error(`${name} ended: ${said}`)));
  await within(5_000, `start of ${name}`, Promise.race([early, Promise.all([listens(plain), listens(tls)])]));
  return {
    folder,
    http: `http://app.example:${plain}`,
    https: `https://app.example:${tls}`,
    ws: `ws://app.example:${plain}/ws`,
    wss: `wss://app.example:${tls}/ws`,
    async stop() {
      early.catch(() => {}); // it is to end now
      child.kill("SIGTERM");
      await within(5_000, `end of ${name}`, exited);
      rmSync(folder, { recursive: true });
    },
  };
}

async function freePorts(n) {
  const servers = Array.from({ length: n }, () => createServer().listen(0, address));
  await Promise.all(servers.map((s) => once(s, "listening")));
  const ports = servers.map((s) => s.address().port);
  await Promise.all(servers.map((s) => once(s.close(), "close")));
  return ports;
}

// listens resolves when somebody listens on a port.
async function listens(port) {
  for (;;) {
    const socket = connect(port, address);
    try {
      await once(socket, "connect");
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    } finally {
      socket.destroy();
    }
  }
}

// client is what each request of the tests has: app.example is the proxy, which sees it come from
// 127.0.0.2, an address that is no proxy's.
export const client = {
  localAddress: "127.0.0.2",
  lookup: (_, options, found) => (options.all ? found(null, [{ address, family: 4 }]) : found(null, address, 4)),
};
