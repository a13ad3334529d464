declare const validated: unique symbol;
/** A host name that was checked. Only `isHostName` makes one, and ssh is given nothing else. */
export type HostName = string & { readonly [validated]: "host name" };

const hostNameShape = /^[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?$/;

/**
 * The one check of host names: whether a text may be given to ssh as one. Letters, digits, `.`, `-` and `_`, as RFC 1123 and
 * practice allow. Nothing that could be an option, a user, a path or a word for a shell.
 */
export function isHostName(text: string): text is HostName {
  return hostNameShape.test(text) && !text.includes("..");
}

/** `node01` and `node01.cluster.example` name one host: schedulers and kernels shorten as they like. */
export function sameHost(a: string, b: string): boolean {
  const [shortA, shortB] = [shortName(a), shortName(b)];
  if (shortA !== shortB) return false;
  return !a.includes(".") || !b.includes(".") || a.toLowerCase() === b.toLowerCase();
}

function shortName(host: string): string {
  return (host.split(".")[0] ?? host).toLowerCase();
}
