const bytesOf: Readonly<Record<string, number>> = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** `4096`, `1K`, `20MiB`, in bytes; null for what is no size. */
export function parseSize(text: string): number | null {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?$/i.exec(text.trim()) ?? [];
  const factor = unit === undefined ? undefined : bytesOf[unit.toLowerCase()];
  return number === undefined || factor === undefined ? null : Math.ceil(Number(number) * factor);
}
