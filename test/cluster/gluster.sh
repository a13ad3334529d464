#!/usr/bin/env bash
# A GlusterFS volume of one brick for the hosts that cluster.sh started: its server on login, mounted by all three at
# FOLDER/gluster. A real network file system, whose flock reaches every host.
#
#   gluster.sh FOLDER
#
# Ends with the hosts: all its processes are theirs. Needs Debian's glusterfs-server and glusterfs-client.
set -eu
PATH="$PATH:/usr/sbin:/sbin"

folder=$(realpath "${1:?the folder of cluster.sh}")

on() { # on HOST COMMAND…
  nsenter -t "$(<"$folder/$1.pid")" --net --uts --pid --mount --wd=/ "${@:2}" </dev/null
}

# The socket by which it is told what to do lies here too: all hosts have one /run, and so has any other test run.
gluster() {
  on login gluster --glusterd-sock="$folder/glusterd/sock" --mode=script "$@"
}

mkdir -p "$folder/glusterd/run" "$folder/brick" "$folder/gluster"
cat >"$folder/glusterd.vol" <<END
volume management
    type mgmt/glusterd
    option working-directory $folder/glusterd
    option run-directory $folder/glusterd/run
    option glusterd-sockfile $folder/glusterd/sock
    option transport-type socket
    option transport.socket.listen-port 24007
end-volume
END
on login glusterd --volfile="$folder/glusterd.vol" --pid-file="$folder/glusterd/pid" --log-file="$folder/glusterd.log"
for _ in $(seq 50); do
  gluster volume list >/dev/null 2>&1 && break
  sleep 0.1
done
gluster volume create train "login:$folder/brick" force >/dev/null
# A host that is gone is noticed by its closed connection, and within this many seconds where that is lost, too.
gluster volume set train network.ping-timeout 5 >/dev/null
gluster volume start train >/dev/null
for host in login node01 node02; do
  on "$host" mount -t glusterfs -o "log-file=$folder/gluster-$host.log" login:/train "$folder/gluster"
done
echo MOUNTED
