import { readFileSync } from "node:fs";
import * as http from "node:http";
import * as https from "node:https";
import { errnoOf } from "../system/libc/errno.ts";
import type { EtcdAccess, EtcdAddress } from "./address.ts";
import { EtcdError } from "./errors.ts";
import { codes } from "./failures.ts";

export interface Connections {
  readonly secure: boolean;
  /** A request that has yet to be ended, over an idle connection where there is one. Throws a EtcdError for a bad certificate. */
  begin(endpoint: string, path: string, headers: http.OutgoingHttpHeaders): http.ClientRequest;
  /** Reads certificate and key again for the connections to come: those that live shortly are renewed during a long hold. */
  renew(): void;
  closeIdle(): void;
}

/** Connections are kept open, and found dead by TCP within 11 s: a probe each second after the first silent one, ten times. */
const agentOptions: http.AgentOptions = { keepAlive: true, keepAliveMsecs: 1000, scheduling: "lifo" };

export function connections({ secure }: EtcdAddress, access: EtcdAccess): Connections {
  let agent: http.Agent | null = null;
  const closeIdle = () => {
    for (const sockets of Object.values(agent?.freeSockets ?? {})) for (const socket of sockets ?? []) socket.destroy();
  };
  return {
    secure,
    begin(endpoint, path, headers) {
      const colon = endpoint.lastIndexOf(":");
      const host = endpoint.slice(0, colon).replace(/^\[|\]$/g, "");
      const port = Number(endpoint.slice(colon + 1));
      const options = { host, port, path, method: "POST", headers };
      if (!secure) {
        agent ??= new http.Agent(agentOptions);
        return http.request({ ...options, agent });
      }
      try {
        agent ??= new https.Agent({ ...agentOptions, ...filesOf(access), rejectUnauthorized: true });
        return https.request({ ...options, agent });
      } catch (error) {
        throw badFiles(endpoint, error);
      }
    },
    renew() {
      closeIdle();
      if (secure) agent = null;
    },
    closeIdle,
  };
}

function filesOf({ caFile, certFile, keyFile }: EtcdAccess): https.AgentOptions {
  return {
    ...(caFile === null ? {} : { ca: readFileSync(caFile) }),
    ...(certFile === null ? {} : { cert: readFileSync(certFile) }),
    ...(keyFile === null ? {} : { key: readFileSync(keyFile) }),
  };
}

function badFiles(endpoint: string, error: unknown): EtcdError {
  const { message = "", path = null } = error instanceof Error ? (error as NodeJS.ErrnoException) : {};
  const what =
    path === null
      ? `certificate, key or CA cannot be used: ${message.split("\n")[0]}`
      : `cannot read ${path}: ${errnoOf(error)}`;
  return new EtcdError("certificate", endpoint, `etcd at ${endpoint}: ${what}`, {
    code: codes.certificate,
    hint: "check TRAINLOCK_STORE_CA, TRAINLOCK_STORE_CERT and TRAINLOCK_STORE_KEY: PEM files, the key that of the certificate",
    mayHaveHappened: false,
    cause: error,
  });
}
