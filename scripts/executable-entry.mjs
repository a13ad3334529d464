// What the runtime does not survive, said before it starts: it ends without /proc, and where its memory, stack or open files are
// limited too far, with exit codes of its own. A few instructions are put in front of it, into the room that the linker has left
// before its code; Linux on x64 alone.

/** As in src/system/processes/memory-limit.ts. */
const leastMegabytes = 512;

/**
 * Limits by their numbers in getrlimit(2), and how much is too little (tried: the runtime breaks off below 160 KB of stack,
 * 268 MB of data and 5 files). `shift`: of the bytes, to the unit in which a limit is shown.
 */
const limits = [
  limit({
    resource: 9,
    fewest: 450 * 2 ** 20,
    shift: 20,
    of: "virtual memory",
    option: "ulimit -v",
    scheduler: "h_vmem",
  }),
  limit({
    resource: 2,
    fewest: 300 * 2 ** 20,
    shift: 20,
    of: "memory for data",
    option: "ulimit -d",
    scheduler: "h_data, bsub -D",
  }),
  {
    resource: 3,
    fewest: 256 * 2 ** 10,
    shift: 10,
    limited: "trainlock: the stack is limited to ",
    tooLittle: " KB (ulimit -s), which is too little\n  trainlock needs 256 KB: raise `ulimit -s`\n",
  },
  {
    resource: 7,
    fewest: 16,
    shift: 0,
    limited: "trainlock: the room for open files is limited to ",
    tooLittle: " files (ulimit -n), which is too little\n  trainlock needs 16: raise `ulimit -n`\n",
  },
];

function limit({ of, option, scheduler, ...how }) {
  const remedy = `trainlock needs ${leastMegabytes} MB: raise \`${option}\`, or the scheduler's limit of ${of} (${scheduler})`;
  return {
    ...how,
    limited: `trainlock: the ${of} is limited to `,
    tooLittle: ` MB (${option}), which is too little\n  ${remedy}\n`,
  };
}

const text = {
  path: "/proc/self/maps\0",
  noProc:
    "trainlock: /proc is not mounted, and nothing can be known of processes without it\n  mount it: mount -t proc proc /proc\n",
  ...Object.fromEntries(
    limits.flatMap(({ limited, tooLittle }, at) => [
      [`limited${at}`, limited],
      [`tooLittle${at}`, tooLittle],
    ]),
  ),
};

const headerBytes = 64;
const loaded = 1;
const executable = 1;

/** Puts the look in front of the entry of an executable, in place. False: not for this processor, or there is no room. */
export function lookBeforeStart(bytes) {
  const x64 = 62;
  if (bytes.readUInt16LE(18) !== x64) return false;
  const segments = Array.from({ length: bytes.readUInt16LE(56) }, (_, at) => {
    const from = Number(bytes.readBigUInt64LE(32)) + 56 * at;
    const number = (offset) => Number(bytes.readBigUInt64LE(from + offset));
    return {
      isCode: bytes.readUInt32LE(from) === loaded && (bytes.readUInt32LE(from + 4) & executable) !== 0,
      start: number(8),
      address: number(16),
      end: number(8) + number(32),
    };
  });
  const code = segments.find(({ isCode }) => isCode);
  if (code === undefined || code.start < headerBytes) return false;
  // The page of its first byte is mapped from the page's beginning on; what is there and in no segment is nobody's.
  const before = segments.map(({ end }) => end).filter((end) => end <= code.start);
  const from = Math.ceil(Math.max(code.start - (code.start % 4096), ...before) / 16) * 16;
  const address = code.address - (code.start - from);
  const look = assemble(address, Number(bytes.readBigUInt64LE(24)));
  const room = bytes.subarray(from, code.start);
  if (look.length > room.length || room.some((byte) => byte !== 0)) return false;
  look.copy(bytes, from);
  bytes.writeBigUInt64LE(BigInt(address), 24);
  return true;
}

/** `at:NAME` is a label; `to:NAME` the distance to it, in four bytes. RDX and RSP come to the entry as they were. */
function assemble(address, entry) {
  const int = (value) => [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255];
  const call = (number) => [0xb8, ...int(number), 0x0f, 0x05];
  const write = [0xbf, ...int(2), ...call(1)];
  const say = (name) => [0x48, 0x8d, 0x35, `to:${name}`, 0xba, ...int(Buffer.byteLength(text[name]))];
  const parts = [
    0x52, // push rdx
    ...[0x48, 0x8d, 0x3d, "to:path", 0x31, 0xf6, ...call(21)], // access(path, F_OK)
    ...say("noProc"),
    ...[0x85, 0xc0, 0x0f, 0x85, "to:fail"], // failed: fail
    ...limits.flatMap(({ resource, fewest }, at) => [
      ...[0x48, 0x83, 0xec, 0x10, 0xbf, ...int(resource), 0x48, 0x89, 0xe6, ...call(97)], // getrlimit(resource, rsp)
      ...[0x48, 0x8b, 0x0c, 0x24, 0x48, 0x83, 0xc4, 0x10], // rcx = the soft limit
      ...[0x85, 0xc0, 0x0f, 0x85, `to:next${at}`], // failed: next
      ...[0x48, 0x81, 0xf9, ...int(fewest), 0x0f, 0x82, `to:limit${at}`], // rcx < it: limit
      `at:next${at}`,
    ]),
    ...[0x5a, 0xe9, "to:entry"], // pop rdx, jmp entry
    ...limits.flatMap(({ shift, tooLittle }, at) => [
      `at:limit${at}`,
      ...[0x48, 0xc1, 0xe9, shift, 0x41, 0x89, 0xcc], // r12d = rcx >> shift
      ...[0x4c, 0x8d, 0x2d, `to:tooLittle${at}`, 0x41, 0xbe, ...int(Buffer.byteLength(tooLittle))], // r13, r14d = what follows
      ...[...say(`limited${at}`), 0xe9, "to:print"],
    ]),
    "at:print",
    ...write,
    ...[0x48, 0x83, 0xec, 0x08, 0x44, 0x89, 0xe0], // room for digits, eax = r12d
    ...[0x48, 0x8d, 0x74, 0x24, 0x08, 0xb9, ...int(10)], // rsi = behind the last one, ecx = 10
    ...[0x48, 0xff, 0xce, 0x31, 0xd2, 0xf7, 0xf1, 0x80, 0xc2, 0x30, 0x88, 0x16, 0x85, 0xc0, 0x75, 0xf0], // a digit, until eax is 0
    ...[0x48, 0x8d, 0x54, 0x24, 0x08, 0x48, 0x29, 0xf2, ...write], // rdx = how many
    ...[0x4c, 0x89, 0xee, 0x44, 0x89, 0xf2], // rsi = r13, edx = r14d
    "at:fail",
    ...[...write, 0xbf, ...int(3), ...call(231)], // exit_group(3)
    ...Object.entries(text).flatMap(([name, value]) => [`at:${name}`, ...Buffer.from(value)]),
  ];
  const sizeOf = (part) => (typeof part === "number" ? 1 : part.startsWith("to:") ? 4 : 0);
  const labels = new Map([["entry", entry - address]]);
  let size = 0;
  for (const part of parts) {
    if (typeof part === "string" && part.startsWith("at:")) labels.set(part.slice(3), size);
    size += sizeOf(part);
  }
  const out = [];
  for (const part of parts) {
    if (typeof part === "number") out.push(part);
    else if (part.startsWith("to:")) out.push(...int(labels.get(part.slice(3)) - out.length - 4));
  }
  return Buffer.from(out);
}
