#!/usr/bin/env bash
# Installs the Debian packages that tests start real programs from. Where that cannot be done (not root, no apt-get, no
# network) it says what is missing and leaves with 0: the tests that need it are skipped and say so.
set -uo pipefail
PATH="$PATH:/usr/sbin:/sbin"

# One line a package: its name, and a command that is there when it is installed, or :MODULE of Debian's own Python.
packages=(
  'python3     python3'
  'python3-ipykernel :ipykernel'
  'util-linux  flock'
  'strace      strace'
  'procps      pgrep'
  'acl         setfacl'
  'tmux        tmux'
  'glusterfs-server glusterd'
  'glusterfs-client mount.glusterfs'
  'slurm-wlm   slurmctld'
  'munge       munged'
  'openssh-server sshd'
  'openssh-client ssh'
  'etcd-server etcd'
  'etcd-client etcdctl'
  'openssl     openssl'
  'iproute2    ip'
  'bindfs      bindfs'
  'python3-fusepy :fusepy'
  'perl        perl'
  'gcc         cc'
  'libc6-dev   gencat'
  'less        less'
  'make        make'
  'parallel    parallel'
  'zsh         zsh'
  'fish        fish'
  'chromium    chromium'
  'fonts-dejavu-core fc-list'
  'shellcheck  shellcheck'
)

find_missing() {
  local name command
  missing=()
  for line in "${packages[@]}"; do
    read -r name command <<<"$line"
    if [[ $command == :* ]]; then
      # Another Python may come first on the PATH.
      /usr/bin/python3 -c "import ${command#:}" 2>/dev/null || missing+=("$name")
    else
      command -v "$command" >/dev/null || missing+=("$name")
    fi
  done
}

find_missing
((${#missing[@]} > 0)) || exit 0

policy=/usr/sbin/policy-rc.d
if ((EUID == 0)) && command -v apt-get >/dev/null; then
  echo "installing ${missing[*]}"
  # 101 keeps invoke-rc.d from starting the services of a package; a policy of the site's own is left as it is.
  if [[ ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  wait_for_others=(-o DPkg::Lock::Timeout=120)
  apt-get "${wait_for_others[@]}" -qq update
  apt-get "${wait_for_others[@]}" -qq install --yes --no-install-recommends "${missing[@]}" >/dev/null
  find_missing
  ((${#missing[@]} > 0)) || exit 0
fi

echo "NOT INSTALLED: ${missing[*]} (tests that need them are skipped)"
echo "  as root: apt-get install ${missing[*]}"
