import { type Situation, situation } from "./situation.ts";

/** What happens on the cluster once a job's lines are staged. */
export type Afterwards = "cancel" | "cut off" | "suspend" | "requeue" | "its job fails";

export interface ClusterSituation extends Situation {
  /** Once it is staged, in this order. */
  readonly then: readonly Afterwards[];
  /** Nobody's job: a shell on the node that the scheduler knows nothing of. */
  readonly outside: boolean;
  /** Variables of whoever asks. */
  readonly settings: Readonly<Record<string, string>>;
}

interface More extends Omit<Situation, "says" | "truth" | "stage"> {
  readonly then?: readonly Afterwards[];
  readonly outside?: boolean;
  readonly settings?: ClusterSituation["settings"];
}

const of =
  (truth: Situation["truth"]) =>
  (
    says: string,
    stage: string,
    { then = [], outside = false, settings = {}, ...more }: More = {},
  ): ClusterSituation => ({
    ...situation(truth)(says, stage, more),
    then,
    outside,
    settings,
  });
const living = of("living");
const dead = of("dead");
const unknowable = of("nobody can know");
const over = of("over");

/** What people set to see their own jobs in their own way: squeue(1), sinfo(1), sacct(1), scontrol(1). */
const ownView = {
  SQUEUE_NAMES: "other",
  SQUEUE_USERS: "nobody",
  SQUEUE_FORMAT: "%i %j",
  SQUEUE_FORMAT2: "JobID",
  SQUEUE_STATES: "PENDING",
  SQUEUE_PRIORITY: "1",
  SLURM_TIME_FORMAT: "relative",
  SLURM_BITSTR_LEN: "8",
  SINFO_FORMAT: "%N",
  SCONTROL_ALL: "1",
};

const own = "scheduler=auto; run";
/** A `run` in a step of the job, by srun. */
const step = (command: string) => `scheduler=auto; in_step '${command}'`;

/**
 * Jobs of a real Slurm on node01, asked about from login; the folder is one whose locks stay on their host, and of which
 * trainlock knows nothing. Of a scheduler's own words only those count that are true of it by staging.
 */
export const onCluster: readonly ClusterSituation[] = [
  living("a run in a job", own),
  living("a run in a job whose wrapper was killed", `${own}; die $wrapper`),
  living("a run in a job that was suspended", own, { then: ["suspend"] }),
  dead("a run in a job that was cancelled", own, { then: ["cancel"] }),
  dead("a run that was killed, and its job's script goes on", `${own}; die $wrapper $command`),
  dead("a run of a job that has failed", `${own}; ready; kill -9 $wrapper $command $$`, { then: ["its job fails"] }),
  living(
    "a run of a job that has ended, and a daemon of its tree lives",
    `${own} 'setsid sleep 600 & echo $! >"$S/daemon"; exec sleep 600'; settle test -s "$S/daemon"; also $(<"$S/daemon"); settle grep -qs ":$(<"$S/daemon")," "$W/.training_lock.tree"; ready; kill -9 $wrapper $command $$`,
    { then: ["its job fails"] },
  ),
  living(
    "a run of a job in a container of its own",
    `container 'scheduler=auto; run; : >"$S/held"; sleep 600; :'; settle test -e "$S/held"`,
  ),
  living("a run in a step of a job", step("exec sleep 600")),
  dead(
    "a run in a step that was cancelled, and its job's script goes on",
    `${step("exec sleep 600")}; scancel "$SLURM_JOB_ID.0"; wait $srun`,
  ),
  unknowable("a run of a job that was requeued, and waits to run again", own, {
    then: ["requeue"],
    shown: "UNKNOWN - job requeued",
  }),
  living("a run outside any job", "run", { outside: true }),
  dead("a run outside any job that was killed", "run; die $wrapper $command", { outside: true }),
  living("a run outside any job whose wrapper was killed", "run; die $wrapper", { outside: true }),
  living("a run outside any job, whose lock file was removed", 'run; rm "$L"; die $wrapper', { outside: true }),
  over("a run in a job that has ended", '"$T" run $A -- true'),
  living("a bash job in a job", "noclobber"),
  living("a bash job in a job, asked about by somebody with a view of Slurm of their own", "noclobber", {
    settings: ownView,
  }),
  living("a run in a job whose wrapper was killed, asked about by such a one", `${own}; die $wrapper`, {
    settings: ownView,
  }),
  dead("a bash job that was killed, asked about by such a one", "noclobber; die $job", { settings: ownView }),
  living("a bash job in a job that was suspended", "noclobber", { then: ["suspend"] }),
  dead("a bash job that was killed, and its job goes on", "noclobber; die $job"),
  dead("a bash job of a job that was cancelled", "noclobber", { then: ["cancel"] }),
  dead("a bash job of a job that has failed", "noclobber; ready; kill -9 $job $$", { then: ["its job fails"] }),
  living("a bash job that set its marker's time back", 'noclobber; touch -d 2020-01-01 "$M"'),
  living("a bash job whose marker was given to another user", 'noclobber; sleep 0.05; chown 65534 "$M"'),
  living(
    "a script that is gone, and whose training writes a log",
    'echo 30999 >"$M"; leave \'exec 7>>"$W/train.log"; : >"$S/open"; exec sleep 600\'; settle test -e "$S/open"',
  ),
  dead(
    "a script that is gone, and a reader",
    'echo 30999 >"$M"; echo 1 >"$W/x"; leave \'exec 7<"$W/x"; : >"$S/open"; exec sleep 600\'; settle test -e "$S/open"',
  ),
  living(
    "a bash job in a container on the node",
    `container 'echo 31000 >/proc/sys/kernel/ns_last_pid; bash -c "echo \\$\\$ >\\"$M\\"; exec sleep 600; :"; :'; settle test -s "$M"`,
  ),
  living(
    "a bash job that is the first process of a container on the node",
    `container 'echo $$ >"$M"; exec sleep 600'; settle test -s "$M"`,
  ),
  unknowable("the number of a container's first process, which has ended", 'echo 1 >"$M"; touch -d 2001-01-01 "$M"'),
  dead("an old empty marker that nobody has open", ': >"$M"; touch -d -1hour "$M"'),
  living(
    "an old empty marker whose writer was stopped",
    'leave \'exec 7>"$M"; touch -d -1hour "$M"; : >"$S/open"; kill -STOP $$\'; settle test -e "$S/open"',
  ),
  living("a Python job in a job", "LSB_JOBID=$SLURM_JOB_ID; export LSB_JOBID; python"),
  living("a Python job in a job that was suspended", "export LSB_JOBID=$SLURM_JOB_ID; python", { then: ["suspend"] }),
  over("a Python job that its cancelled job let end", "export LSB_JOBID=$SLURM_JOB_ID; python", { then: ["cancel"] }),
  living("a Python job outside any job", "export LSB_JOBID=unknown; python", { outside: true }),
  dead("a Python job outside any job that was killed", "export LSB_JOBID=unknown; python; die $job", { outside: true }),
  living(
    "a Python job outside any job whose lock file a contender has emptied",
    'export LSB_JOBID=unknown; python; : >"$L"',
    {
      outside: true,
    },
  ),
  living(
    "a bash job that has given up root's rights, and trains in that folder",
    `leave 'echo $$ >"$M"; exec 7>>"$W/log"; exec setpriv --reuid=65534 --clear-groups tail -f /dev/null'; settle grep -q "^Uid:.65534" /proc/$left/status; settle grep -q tail /proc/$left/comm`,
  ),
  living(
    "a run in a job whose number another cluster's job has had, too",
    `${own}; sed -i 's/"cluster": [^,]*/"cluster": "elsewhere"/' "$J" "$L"; die $wrapper`,
  ),
  dead(
    "a run that was killed, in a job whose number another cluster has used",
    `${own}; sed -i 's/"cluster": [^,]*/"cluster": "elsewhere"/' "$J" "$L"; die $wrapper $command`,
  ),
  living("a run in a job whose node is cut off", own, { then: ["cut off"] }),
  unknowable("a run outside any job whose node is cut off", "run", { outside: true, then: ["cut off"] }),
  unknowable("a bash job whose node is cut off", "noclobber", { then: ["cut off"] }),
  unknowable("a Python job outside any job whose node is cut off", "export LSB_JOBID=unknown; python", {
    outside: true,
    then: ["cut off"],
  }),
];
