#!/usr/bin/env bash
# Networks for the faults: three members of a cluster and two hosts of clients, each in a network namespace of its own, and a
# namespace with the switches that join them: one for what members say to each other, one for clients. No traffic leaves them.
#
#   network.sh RUN
#
# Prints `READY`, and takes everything down when its input ends, however its caller ended. Namespaces are `tlf-RUN-NAME`, the
# plugs in `tlf-RUN-switch` are peer0..2, member0..2 and client0..1. Needs root and Debian's iproute2.
set -eu
PATH="$PATH:/usr/sbin:/sbin"

run=${1:?a name for the run}
names=(switch m0 m1 m2 c0 c1)

take_down() {
  trap - EXIT
  trap '' INT TERM HUP PIPE
  exec >/dev/null 2>&1
  # A namespace lives for as long as a process in it; its cables go at once.
  for plug in $(ip -n "tlf-$run-switch" -o link show type veth | sed 's/^[0-9]*: \([^@:]*\).*/\1/'); do
    ip -n "tlf-$run-switch" link del "$plug" || true
  done
  for name in "${names[@]}"; do ip netns del "tlf-$run-$name" || true; done
}
trap take_down EXIT
trap 'exit 1' INT TERM HUP

cable() { # NAMESPACE INTERFACE ADDRESS PLUG SWITCH
  ip -n "tlf-$run-switch" link add "$4" type veth peer name "$2" netns "tlf-$run-$1"
  ip -n "tlf-$run-switch" link set "$4" master "$5" up
  ip -n "tlf-$run-$1" addr add "$3/24" dev "$2"
  ip -n "tlf-$run-$1" link set "$2" up
}

for name in "${names[@]}"; do
  ip netns add "tlf-$run-$name"
  ip -n "tlf-$run-$name" link set lo up
done
for switch in peers clients; do
  ip -n "tlf-$run-switch" link add "$switch" type bridge
  ip -n "tlf-$run-switch" link set "$switch" up
done
ip -n "tlf-$run-switch" addr add 10.79.0.1/24 dev clients
for member in 0 1 2; do
  cable "m$member" peers "10.78.0.1$member" "peer$member" peers
  cable "m$member" clients "10.79.0.1$member" "member$member" clients
done
for client in 0 1; do cable "c$client" eth0 "10.79.0.10$client" "client$client" clients; done

echo READY
# Nothing is ever written there: the end of input is what is waited for.
while read -r _; do :; done
