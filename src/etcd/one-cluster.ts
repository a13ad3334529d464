import { EtcdError } from "./errors.ts";
import { anotherCluster } from "./failures.ts";

/** An endpoint that is silent for longer is not waited for where all are compared, milliseconds. */
const comparingMs = 300;

/** Asks an endpoint for the id of its cluster; null: it does not say. */
type AskForId = (endpoint: string, timeoutMs: number) => Promise<string | null>;

/**
 * Holds all endpoints of an address to one cluster. A member that was set up anew as a cluster of its own knows none of the
 * locks: what it calls free is not. So no request goes to an endpoint before it is known to be of the cluster that has answered.
 */
export class OneCluster {
  readonly #endpoints: readonly string[];
  readonly #ask: AskForId;
  /** Endpoints that have shown to be of the cluster. */
  readonly #members = new Set<string>();
  #id: string | null;
  #hasChanged = false;
  #comparing: Promise<void> | null = null;

  /** `id`: of the cluster that another process of ours has asked; null: whichever answers first. */
  constructor(endpoints: readonly string[], id: string | null, ask: AskForId) {
    this.#endpoints = endpoints;
    this.#id = id;
    this.#ask = ask;
  }

  id(): string | null {
    return this.#id;
  }

  /**
   * To be called before a request. The first endpoint of the address is trusted; before another one is the first to be asked, all
   * are compared. Throws an EtcdError.
   */
  async require(endpoint: string, timeoutMs: number): Promise<void> {
    if (this.#hasChanged) await this.#followChange();
    await this.#comparing?.catch(() => undefined);
    // There is no other endpoint whose place it could take.
    if (this.#members.has(endpoint) || this.#endpoints.length === 1) return;
    if (this.#id === null) {
      if (endpoint === this.#endpoints[0]) return;
      await this.compare();
    }
    if (!this.#members.has(endpoint)) this.#admit(endpoint, await this.#idOf(endpoint, timeoutMs), false);
  }

  /** To be called with the id that an answer names; null: none. Throws an EtcdError where that is another cluster's. */
  note(endpoint: string, id: string | null): void {
    if (id !== null) this.#admit(endpoint, id, true);
  }

  /** Asks all endpoints at once. Throws an EtcdError where two clusters answer. */
  compare(): Promise<void> {
    this.#comparing ??= this.#compareAll().finally(() => {
      this.#comparing = null;
    });
    return this.#comparing;
  }

  async #compareAll(): Promise<void> {
    const failures: unknown[] = [];
    for (const [endpoint, id] of await this.#ids()) {
      try {
        this.#admit(endpoint, id, false);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  #admit(endpoint: string, id: string | null, mayHaveHappened: boolean): void {
    this.#id ??= id;
    if (id !== null && id !== this.#id) {
      const others = [...this.#members].filter((member) => member !== endpoint);
      this.#hasChanged ||= this.#members.delete(endpoint);
      throw anotherCluster(endpoint, others, mayHaveHappened);
    }
    this.#members.add(endpoint);
  }

  /** The whole cluster may have been set up anew, or restored. It is another one only if nobody answers for the one before. */
  async #followChange(): Promise<void> {
    const ids = await this.#ids();
    if (ids.size === 0) return;
    this.#hasChanged = false;
    if ([...ids.values()].includes(this.#id)) return;
    this.#id = null;
    this.#members.clear();
  }

  /** Of those that answer, in the order of the address. */
  async #ids(): Promise<ReadonlyMap<string, string | null>> {
    const asked = this.#endpoints.map((endpoint) => this.#idOf(endpoint, comparingMs).catch(() => undefined));
    const ids = await Promise.all(asked);
    return new Map(this.#endpoints.flatMap((endpoint, at) => (ids[at] === undefined ? [] : [[endpoint, ids[at]]])));
  }

  async #idOf(endpoint: string, timeoutMs: number): Promise<string | null> {
    try {
      return await this.#ask(endpoint, timeoutMs);
    } catch (error) {
      // Where not everybody may ask that, answers name the cluster all the same.
      const isForbidden = error instanceof EtcdError && /^(authentication|permission denied)$/.test(error.reason);
      if (isForbidden) return null;
      throw error;
    }
  }
}

/** The id that an answer names, of a call or of a stream; null: none. */
export function clusterIn(answer: unknown): string | null {
  const { header, result } = fieldsOf(answer);
  const { cluster_id: id } = fieldsOf(header ?? fieldsOf(result).header);
  return typeof id === "string" && /^\d{1,20}$/.test(id) && id !== "0" ? id : null;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
