/** What `init` writes: every key, none in force, so that the file changes nothing until somebody means it to. */
export const siteFileTemplate = `## trainlock.yaml: what this site's folders are called, and what tells two
## trainings apart.
##
## Everything here is optional. Lines with one # are settings that are not in
## force: take away the # and its space. Every host must read the same file: two
## hosts with different names for one training do not see each other's locks.
## Look at the outcome by:
##   trainlock config
##   trainlock config --strategy S --dataset D --model M

# version: 1

## The folder of the kernel locks, within the root.
# lock_dir: training_locks

## How kernel locks are taken: flock, or ofd where byte-range locks reach every
## host and flock does not (see trainlock help file-systems for what that
## costs).
# lock_primitive: flock

## All strategies and models. Any other is refused, with the nearest of these: a
## mistyped name trains nothing.
# strategies: [baseline, gen_IP2P]
# models: [deeplabv3plus_r50, segformer_mit-b5]

## All datasets, as they are spelled. Any other is refused, and folders lead
## back to the spelling whatever filters did to it.
# datasets: [IDD-AW, Cityscapes, BDD100K]

## What tells configurations apart besides strategy, dataset, model, ratio,
## auxiliary loss and stage. Given by --set seed=3, and part of names in the
## order of this list: the lock is called ..._seed3_fold1.lock.
# dimensions:
#   seed:
#     type: integer            # integer, number or text
#   fold:
#     type: integer
#     optional: true
#     prefix: _fold            # before the value in names; else _ and the name
#     values: [0, 1, 2, 3, 4]

## Where checkpoints go, within the root: the first template whose conditions
## hold.
##   {strategy} {dataset} {model}  as given
##   {ratio} {aux_loss} {stage}    _ratio0p50, _aux-focal, s2_; nothing for none
##   {seed}                        a dimension: _seed3
##   {dimensions}                  all of them, in order
##   {dataset|lower|no_hyphens}    filters: lower, no_hyphens, underscores (for
##                                 hyphens), bare (no _seed before the 3)
## Conditions are texts (with * for anything), numbers, lists of them, and given
## or none for what is optional.
# weights:
#   - when: { stage: 2 }
#     path: STAGE_2/{strategy}/{dataset|lower|no_hyphens}/{model}{ratio}{aux_loss}{dimensions}
#   - when: { ratio: given }
#     path: WEIGHTS_RATIO_ABLATION/{strategy}/{dataset|lower}/{model}{ratio}{aux_loss}{dimensions}
#   - path: WEIGHTS/{strategy}/{dataset|lower}_cd/{model}{ratio}{aux_loss}{dimensions}

## Folders that links below the root may lead into, such as a scratch file
## system. Only if nobody else may write this file.
# links: [/scratch/project]

## What shows that a configuration is trained, for run, check and plan. A
## template may have a done and a checkpoint of its own.
# done:
#   when: [iter_80000.pth]    # names or globs inside the weights dir; any of them
#   min_size: 1KiB
#   file: trained.json        # written by run after exit code 0; counts by itself
## What a training can resume from: the command gets the newest in
## TRAINLOCK_CHECKPOINT.
# checkpoint: "iter_*.pth"

## The grid that plan and work take without a file: blocks, or the path of a
## grid file.
# grid:
#   - strategy: [baseline, std_mixup]
#     dataset: [IDD-AW, BDD100K]
#     model: deeplabv3plus_r50
#     seed: 1..3

## Group and permissions of what trainlock creates; otherwise as the folder has
## them that it is created in.
# group: project
# mode: 0664

## Who to ask about a process on another host, and how.
# hosts: [login1, node01, node02]
# scheduler: auto             # auto, lsf, slurm, pbs, sge or none
# ssh:
#   user: alice
#   port: 22
#   jump_host: login1
# timeouts:
#   probe: 10s                # for one question to the file system
#   ssh: 5s
#   scheduler: 10s

## How far a training is, if its folder tells it in no way that is known (see
## trainlock help grids): a log, and what stands in its lines.
# progress:
#   file: train.log           # in the weights dir; *: the one written last
#   line: "Iter {step}/{of}"

## How many failed runs make a row of a grid failed: plan says so, and no worker
## tries it again.
# max_attempts: 1

## Whether events are noted in the lock dir, for trainlock history.
# history: on                # on or off

## For how long a requeued job waits to learn what has become of its last run,
## where the host of that does not answer.
# requeue_wait: 10m

## Whether owner records tell the command that holds a lock. The values of keys,
## tokens, passwords and secrets never are in it.
# record:
#   command: on               # on or off

## Where locks are kept, if not on the file system: an etcd cluster. The address
## alone (store: etcd://etcd1:2379), or more. Passwords are in files that only
## their readers can read; TRAINLOCK_STORE_PASSWORD_FILE may name one as well.
# store:
#   address: etcds://etcd1:2379,etcd2:2379,etcd3:2379/trainlock
#   ttl: 60s                  # how long a lock outlives a silent holder, 5s to 1h
#   ca: /etc/trainlock/ca.pem
#   cert: /etc/trainlock/client.pem
#   key: /etc/trainlock/client-key.pem
#   user: trainlock
#   password_file: /etc/trainlock/password
#   also_marker: auto         # lock files as well: true, false, auto
`;
