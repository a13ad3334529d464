import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const call = promisify(execFile);
const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** Paths of a certificate and its key, PEM. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

export interface Certificates {
  /** The authority that signed all but `foreign`. */
  readonly ca: string;
  /** For 127.0.0.1 and localhost. */
  readonly server: Pair;
  /** For another host. */
  readonly elsewhere: Pair;
  readonly expired: Pair;
  /** Good for a server, and for nothing else. */
  readonly serverOnly: Pair;
  readonly client: Pair;
  /** The same without a common name. */
  readonly nameless: Pair;
  /** An authority that nobody asked for, and its key. */
  readonly foreign: Pair;
}

/** Makes them anew, in a folder that exists. Needs openssl. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const [ca, foreign] = await Promise.all([authority(folder, "ca"), authority(folder, "foreign")]);
  const here = "IP:127.0.0.1,DNS:localhost";
  const [server, elsewhere, expired, serverOnly, client, nameless] = await Promise.all([
    signed(folder, ca, "server", here),
    signed(folder, ca, "elsewhere", "DNS:elsewhere.example"),
    signed(folder, ca, "expired", here, -1),
    signed(folder, ca, "server-only", here, 2, "serverAuth"),
    signed(folder, ca, "client", "DNS:client.example"),
    signed(folder, ca, "nameless", "DNS:client.example", 2, "clientAuth", "/O=clients"),
  ]);
  return { ca: ca.cert, server, elsewhere, expired, serverOnly, client, nameless, foreign };
}

async function authority(folder: string, name: string): Promise<Pair> {
  const pair = pairIn(folder, name);
  const subject = ["-subj", `/CN=${name}`, "-days", "2"];
  await call("openssl", ["req", "-x509", ...key, "-keyout", pair.key, "-out", pair.cert, ...subject]);
  return pair;
}

async function signed(
  folder: string,
  ca: Pair,
  name: string,
  alternatives: string,
  days = 2,
  usage = "serverAuth,clientAuth",
  subject = `/CN=${name}`,
): Promise<Pair> {
  const pair = pairIn(folder, name);
  const [request, extensions] = [join(folder, `${name}.csr`), join(folder, `${name}.ext`)];
  await writeFile(extensions, `subjectAltName=${alternatives}\nextendedKeyUsage=${usage}\n`);
  await call("openssl", ["req", ...key, "-keyout", pair.key, "-out", request, "-subj", subject]);
  const by = ["-CA", ca.cert, "-CAkey", ca.key, "-set_serial", String(Date.now()), "-days", String(days)];
  await call("openssl", ["x509", "-req", "-in", request, ...by, "-extfile", extensions, "-out", pair.cert]);
  return pair;
}

function pairIn(folder: string, name: string): Pair {
  return { cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
}
