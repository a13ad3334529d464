// Calls a store as a program would, and ends by itself when all is given back: nothing of the client may keep it alive.
import { etcdAccess } from "../../src/etcd/access.ts";
import { parseEtcdAddress } from "../../src/etcd/address.ts";
import { openEtcd } from "../../src/etcd/open-etcd.ts";

const address = parseEtcdAddress(process.env.TRAINLOCK_STORE ?? "");
const access = etcdAccess(process.env);
const etcd = openEtcd(address, access);
const key = `${address.prefix}/every-call`;

const { lease, ttlSeconds } = await etcd.grant(60);
const made = await etcd.transact({
  if: [{ key, createRevision: 0 }],
  then: [{ put: key, value: Buffer.from("mine"), lease }],
  elseGet: [key],
});
const control = new AbortController();
const seen = [];
const watched = (async () => {
  for await (const { kind } of etcd.watch(key, made.revision, control.signal)) {
    seen.push(kind);
    if (kind === "put") await etcd.revoke(lease);
    else control.abort();
  }
})();
await watched;
const silent = etcd.watch(key, 0, AbortSignal.timeout(200));
for await (const event of silent) seen.push(event.kind);
const reasonWith = (secure, more) =>
  openEtcd({ ...address, secure }, { ...access, ...more })
    .get(key, { timeoutMs: 500 })
    .then(
      () => "none",
      (error) => error.reason,
    );
const withoutAuthority = await reasonWith(address.secure, { caFile: null });
const withoutTls = await reasonWith(false, {});
const keys = [];
for await (const page of etcd.list(`${address.prefix}/`)) keys.push(...page.map((entry) => entry.key));
const { version } = await etcd.status(address.endpoints[0] ?? "");
const renewed = await etcd.keepAlive(lease);
console.log(
  JSON.stringify({ ttlSeconds, done: made.done, seen, withoutAuthority, withoutTls, keys, renewed, version }),
);
etcd.close();
