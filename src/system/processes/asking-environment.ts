/**
 * Settings by which people have the commands of Slurm show what they want to see: squeue(1), sinfo(1), sacct(1), scontrol(1). With
 * them a list may leave jobs out, and have times that nobody can read.
 */
const ownView = /^(?:SQUEUE|SINFO|SACCT|SCONTROL)_|^SLURM_(?:TIME_FORMAT|BITSTR_LEN)$/;

/** The environment for a program that is asked something; undefined: ours as it is, byte for byte. */
export function environmentToAsk(env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv | undefined {
  const names = Object.keys(env);
  if (!names.some((name) => ownView.test(name))) return undefined;
  return Object.fromEntries(names.filter((name) => !ownView.test(name)).map((name) => [name, env[name]]));
}
