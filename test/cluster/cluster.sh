#!/usr/bin/env bash
# Three hosts on one machine for the tests: login, node01 and node02, each with its own network, host name, PIDs, boot id and
# sshd, Slurm across them, and a shared folder whose flock stays on each host, as on some parallel file systems. All traffic
# stays in their network namespaces.
#
#   cluster.sh FOLDER
#
# Users there are root, ada and ben; those two are of the group lab, each with a home, keys and settings of ssh.
#
# Starts it, prints `READY`, and takes everything down, FOLDER too, when its input ends, however its caller ended. In FOLDER: shared (the
# folder, seen on every host at this path), NAME.pid (the first process of a host, as seen from outside), env, and the logs.
# Needs root and Debian's slurm-wlm, munge, openssh-server, iproute2 and bindfs.
set -eu
PATH="$PATH:/usr/sbin:/sbin"

folder=$(realpath "${1:?a folder}")
# Network namespaces have one name space for the whole machine: two runs must not meet there.
run=$(basename "$folder" | tr -c 'A-Za-z0-9\n' '-' | tail -c 9)
hosts=(login node01 node02)
declare -A address=([login]=10.77.0.1 [node01]=10.77.0.11 [node02]=10.77.0.12)

take_down() {
  trap - EXIT
  trap '' INT TERM HUP PIPE
  # Whoever listened may be dead: a message about a killed host must not end this half way.
  exec >/dev/null 2>&1
  for host in "${hosts[@]}"; do
    # SIGKILL: unshare --fork ignores SIGTERM. --kill-child takes the host along.
    [[ -f $folder/$host.unshare ]] && kill -9 "$(<"$folder/$host.unshare")" 2>/dev/null || true
  done
  wait 2>/dev/null || true
  for host in "${hosts[@]}"; do ip netns del "tl-$run-$host" || true; done
  cd / && rm -rf -- "$folder"
}
trap take_down EXIT
trap 'exit 1' INT TERM HUP

write_configuration() {
  mkdir -p "$folder/backing" "$folder/shared" "$folder/state" "$folder/boot" /run/sshd
  ssh-keygen -q -t ed25519 -N '' -f "$folder/id"
  ssh-keygen -q -t ed25519 -N '' -f "$folder/hostkey"
  cp "$folder/id.pub" "$folder/authorized" && chmod 600 "$folder/authorized"
  (umask 077 && head -c 1024 /dev/urandom >"$folder/munge.key")
  { echo '127.0.0.1 localhost'; for host in "${hosts[@]}"; do echo "${address[$host]} $host"; done; } >"$folder/hosts"
  for host in "${hosts[@]}"; do echo "$host $(cut -d' ' -f1,2 "$folder/hostkey.pub")"; done >"$folder/known_hosts"
  for host in "${hosts[@]}"; do cat /proc/sys/kernel/random/uuid >"$folder/boot/$host"; done
  # All are at home in the folder there, so that ssh finds its configuration as everybody's does.
  sed "s#^\(root:[^:]*:[^:]*:[^:]*:[^:]*\):[^:]*#\1:$folder/home#" /etc/passwd >"$folder/passwd"
  printf '%s\n' "ada:x:7001:7000::$folder/home-ada:/bin/sh" "ben:x:7002:7000::$folder/home-ben:/bin/sh" >>"$folder/passwd"
  { cat /etc/group && echo 'lab:x:7000:'; } >"$folder/group"
  chmod 711 "$folder" && chmod 644 "$folder/authorized" "$folder/passwd" "$folder/group"
  make_home "$folder/home" 0
  make_home "$folder/home-ada" 7001
  make_home "$folder/home-ben" 7002
  cat >"$folder/slurm.conf" <<END
ClusterName=trainlock
SlurmctldHost=login(${address[login]})
AuthType=auth/munge
AuthInfo=cred_expire=5
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU,CR_LLN
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0
ReturnToService=2
KillWait=1
SlurmdTimeout=10
JobRequeue=0
MpiDefault=none
GresTypes=gpu
NodeName=node01 NodeAddr=${address[node01]} CPUs=64 RealMemory=1000 Gres=gpu:8
NodeName=node02 NodeAddr=${address[node02]} CPUs=64 RealMemory=1000 Gres=gpu:8
PartitionName=gpu Nodes=node01,node02 Default=YES MaxTime=INFINITE State=UP
END
  # Devices that every host has, and nobody opens.
  echo 'Name=gpu File=/dev/tty[0-7]' >"$folder/gres.conf"
}

make_home() { # make_home FOLDER UID
  mkdir -m 700 "$1" "$1/.ssh" "$1/run"
  cp "$folder/id" "$1/.ssh/id_ed25519"
  cat >"$1/.ssh/config" <<END
Host *
  UserKnownHostsFile $folder/known_hosts
  GlobalKnownHostsFile /dev/null
END
  chown -R "$2" "$1"
}

plug_network() { # login carries the bridge, every node a cable to it
  local host=$1
  ip netns add "tl-$run-$host"
  ip -n "tl-$run-$host" link set lo up
  if [[ $host == login ]]; then
    ip -n "tl-$run-login" link add br0 type bridge
    ip -n "tl-$run-login" addr add "${address[login]}/24" dev br0
    ip -n "tl-$run-login" link set br0 up
  else
    ip -n "tl-$run-login" link add "v-$host" type veth peer name eth0 netns "tl-$run-$host"
    ip -n "tl-$run-login" link set "v-$host" master br0 up
    ip -n "tl-$run-$host" addr add "${address[$host]}/24" dev eth0
    ip -n "tl-$run-$host" link set eth0 up
  fi
}

start_host() { # nsenter, not `ip netns exec`: that one remounts /sys
  local host=$1 daemon=$2
  nsenter --net="/run/netns/tl-$run-$host" \
    unshare --uts --pid --mount --fork --mount-proc --kill-child bash -eu -c "
      hostname $host
      mount --bind $folder/hosts /etc/hosts
      mount --bind $folder/boot/$host /proc/sys/kernel/random/boot_id
      mount -t tmpfs tmpfs /run/munge 2>/dev/null || { mkdir -p /run/munge; mount -t tmpfs tmpfs /run/munge; }
      chmod 755 /run/munge
      mount --bind $folder/passwd /etc/passwd
      mount --bind $folder/group /etc/group
      bindfs -o attr_timeout=0,entry_timeout=0,negative_timeout=0 $folder/backing $folder/shared
      munged --force --key-file=$folder/munge.key --pid-file=/run/munge/pid --log-file=$folder/munged-$host.log \
        --seed-file=/run/munge/seed
      export SLURM_CONF=$folder/slurm.conf
      $daemon
      exec /usr/sbin/sshd -D -e -f /dev/null -o HostKey=$folder/hostkey -o AuthorizedKeysFile=$folder/authorized \
        -o StrictModes=no -o PidFile=none -o PermitRootLogin=yes -o MaxStartups=100" \
    </dev/null >"$folder/$host.log" 2>&1 &
  echo $! >"$folder/$host.unshare"
}

write_configuration
for host in "${hosts[@]}"; do plug_network "$host"; done
start_host login slurmctld
for host in node01 node02; do start_host "$host" "slurmd -N $host"; done
echo "SLURM_CONF=$folder/slurm.conf" >"$folder/env"
echo "tl-$run-login" >"$folder/switch"

for host in "${hosts[@]}"; do
  for _ in $(seq 100); do
    first=$(pgrep -P "$(<"$folder/$host.unshare")" | head -n 1) && [[ -n $first ]] && break
    sleep 0.05
  done
  echo "$first" >"$folder/$host.pid"
done
# What runs on a host for as long as it lives keeps the low numbers, as process, group or session: the PIDs of jobs and probes
# come from thousands that no other host uses, so that a test can give any of them to a process of another host.
number=0
for host in "${hosts[@]}"; do
  nsenter -t "$(<"$folder/$host.pid")" --pid --mount sh -c "echo $((number += 5000)) >/proc/sys/kernel/ns_last_pid"
done
for _ in $(seq 300); do
  nodes=$(nsenter -t "$(<"$folder/login.pid")" --net --uts --pid --mount env SLURM_CONF="$folder/slurm.conf" \
    sinfo -h -o '%T %D' 2>/dev/null || true)
  [[ $nodes == 'idle 2' ]] && break
  sleep 0.1
done
if [[ ${nodes:-} != 'idle 2' ]]; then
  echo "the nodes did not come up: ${nodes:-}" >&2
  tail -n 20 "$folder"/*.log >&2
  exit 1
fi
echo READY
# Nothing is ever written there: the end of input is what is waited for.
while read -r _; do :; done
