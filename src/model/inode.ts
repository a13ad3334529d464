/** An inode number as every program writes it: Bun hands out those of more than 63 bits, as GlusterFS has, as negative ones. */
export function inodeNumber(inode: bigint): bigint {
  return BigInt.asUintN(64, inode);
}
