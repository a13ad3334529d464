import { parseEtcdAddress } from "../../dist/lib/etcd/address.js";
import { openEtcd } from "../../dist/lib/etcd/open-etcd.js";

const noAccess = { caFile: null, certFile: null, keyFile: null, user: null, password: null };

/** A client of the cluster, as the locks use it. */
export function clientOf({ url }) {
  const address = parseEtcdAddress(url);
  return { client: openEtcd(address, noAccess), prefix: address.prefix };
}
