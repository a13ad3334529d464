#!/bin/sh
# Installs trainlock from the folder that this script is in, without root.
#
#   sh install.sh [--prefix DIR] [--group NAME]     default: ~/.local
#   sh install.sh --uninstall [--prefix DIR]
#
# Each version has a folder of its own, DIR/lib/trainlock/VERSION;
# DIR/bin/trainlock is a link to the one that was installed last. Jobs that run
# go on with the file that they have started. With --group the group may read
# and replace all of it. Outside of HOME all may read it, whatever the umask.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
prefix=${HOME:-}/.local
group=
uninstall=no

fail() {
  echo "install.sh: $1" >&2
  [ $# -lt 2 ] || echo "  $2" >&2
  exit 1
}

while [ $# -gt 0 ]; do
  case $1 in
    --prefix | --group)
      [ $# -ge 2 ] || fail "$1 needs a value"
      if [ "$1" = --prefix ]; then prefix=$2; else group=$2; fi
      shift 2
      ;;
    --prefix=*) prefix=${1#*=} && shift ;;
    --group=*) group=${1#*=} && shift ;;
    --uninstall) uninstall=yes && shift ;;
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) fail "unknown option $1" "sh install.sh --help shows what there is" ;;
  esac
done
case $prefix in
  /.local | '') fail "no folder to install into" "set HOME, or give --prefix DIR" ;;
  /*) ;;
  *) prefix=$(pwd)/$prefix ;;
esac
versions=$prefix/lib/trainlock

# The links that an installation makes: where under the prefix, and what they point to in the version's folder.
links() {
  echo "bin/trainlock bin/trainlock"
  (cd "$1" && find share -type f) | while read -r file; do
    echo "$file $file"
  done
}

# Folders below the prefix, each after the one that it is in: those above a file that is called $1 there.
above() {
  folder=
  for name in $(dirname "$1" | tr / ' '); do
    folder=$folder${folder:+/}$name
    echo "$folder"
  done
}

# The folders that the links of the version in the folder $1 are in, and those of the versions themselves.
used() {
  {
    echo lib/trainlock/any
    links "$1" | cut -d ' ' -f 1
  } | while read -r link; do above "$link"; done | sort -u
}

# Before anything is changed: what is there has to be writable, all of it.
require_writable() {
  while read -r folder; do
    [ ! -d "$folder" ] || [ -w "$folder" ] ||
      fail "$folder cannot be written; nothing was changed" "$(ls -ld "$folder" | cut -d ' ' -f 1,3,4): ask its owner, or use the same account"
  done
}

if [ "$uninstall" = yes ]; then
  [ -d "$versions" ] || fail "there is no trainlock in $prefix" "give the --prefix that it was installed with"
  {
    find "$versions" -type d
    for version in "$versions"/*/; do
      used "${version%/}" | sed "s#^#$prefix/#"
    done
  } | require_writable
  for version in "$versions"/*/; do
    links "${version%/}" | while read -r link file; do
      case $(readlink "$prefix/$link" 2>/dev/null) in
        *lib/trainlock/*) rm -f "$prefix/$link" ;;
      esac
    done
  done
  rm -rf "$versions"
  # Folders that nobody else uses go as well.
  for folder in share/man/man1 share/man share/bash-completion/completions share/bash-completion share/zsh/site-functions \
    share/zsh share/fish/vendor_completions.d share/fish share/modulefiles/trainlock share/modulefiles share/trainlock \
    share bin lib; do
    rmdir "$prefix/$folder" 2>/dev/null || :
  done
  echo "removed trainlock from $prefix"
  exit 0
fi

[ "$(uname -s)" = Linux ] || fail "trainlock runs on Linux, and this is $(uname -s)"
case $(uname -m) in
  x86_64 | amd64) name=trainlock-linux-x64 ;;
  aarch64 | arm64) name=trainlock-linux-arm64 ;;
  *) fail "there is no trainlock for a processor of the kind $(uname -m)" ;;
esac
if [ -f "$here/$name" ]; then
  packed=$name
elif [ -f "$here/$name.xz" ] && command -v xz >/dev/null 2>&1; then
  packed=$name.xz
elif [ -f "$here/$name.gz" ]; then
  packed=$name.gz
elif [ -f "$here/$name.xz" ]; then
  fail "$name.xz needs the program xz" "install xz, or put $name.gz beside this script"
else
  fail "$here has neither $name nor $name.xz nor $name.gz"
fi

# Only files whose checksum is right are used.
verify() {
  line=$(grep " [ *]$1\$" "$here/SHA256SUMS" 2>/dev/null) || fail "SHA256SUMS does not name $1" "get the release once more"
  echo "$line" | (cd "$here" && sha256sum -c - >/dev/null 2>&1) ||
    fail "$1 is not the file that was released: its checksum is another" "get it once more"
}
verify "$packed"
verify share.tar.gz

# For others to use: outside of HOME, or by a group.
for_others=yes
case $prefix/ in
  "${HOME:-/none}"/*) [ -n "$group" ] || for_others=no ;;
esac
[ "$for_others" = no ] || umask 022
[ -z "$group" ] || umask 002

mkdir -p "$versions" || fail "$versions cannot be made" "choose a folder of yours with --prefix"
echo "$versions" | require_writable
unfinished=$versions/.new.$$
trap 'rm -rf "$unfinished"; rmdir "$versions" "$prefix/lib" 2>/dev/null || :' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$unfinished/bin"
case $packed in
  *.xz) xz -dc "$here/$packed" >"$unfinished/bin/trainlock" ;;
  *.gz) gzip -dc "$here/$packed" >"$unfinished/bin/trainlock" ;;
  *) cp "$here/$packed" "$unfinished/bin/trainlock" ;;
esac
chmod 755 "$unfinished/bin/trainlock"
(cd "$unfinished" && gzip -dc "$here/share.tar.gz" | tar xf -)
version=$("$unfinished/bin/trainlock" --version | sed -n '1s/^trainlock \([^ ]*\).*/\1/p')
[ -n "$version" ] || fail "the executable does not run here" "its output: $("$unfinished/bin/trainlock" --version 2>&1 | head -n 1)"
[ "$for_others" = no ] || chmod -R a+rX "$unfinished"
{
  [ ! -d "$versions/$version" ] || find "$versions/$version" -type d
  used "$unfinished" | sed "s#^#$prefix/#"
} | require_writable

# A folder that a colleague has made for the group is the colleague's to change, and needs no change.
is_for_group() {
  [ -n "$(find "$1" -prune -group "$group" -perm -2070)" ]
}
if [ -n "$group" ]; then
  used "$unfinished" | while read -r folder; do
    [ ! -d "$prefix/$folder" ] || [ -O "$prefix/$folder" ] || [ "$(id -u)" = 0 ] || is_for_group "$prefix/$folder" ||
      fail "$prefix/$folder cannot be given to the group $group; nothing was changed" \
        "its owner can: chgrp $group $prefix/$folder && chmod g+rwxs $prefix/$folder"
  done
  chgrp -R "$group" "$unfinished" || fail "the files cannot be given to the group $group" "are you in it? groups shows yours"
  chmod -R g+rwX "$unfinished"
  find "$unfinished" -type d -exec chmod g+s {} +
fi
# A file that is being executed is not written to: the old folder is moved away, and what runs keeps its pages.
if [ -e "$versions/$version" ]; then
  mv "$versions/$version" "$versions/.old.$$"
  mv "$unfinished" "$versions/$version"
  rm -rf "$versions/.old.$$"
else
  mv "$unfinished" "$versions/$version"
fi

links "$versions/$version" | while read -r link file; do
  mkdir -p "$prefix/$(dirname "$link")"
  # Relative, so that the whole prefix may be moved or mounted elsewhere.
  up=$(dirname "$link" | sed 's#[^/][^/]*#..#g')
  rm -f "$prefix/$link.new.$$"
  ln -s "$up/lib/trainlock/$version/$file" "$prefix/$link.new.$$"
  mv -f "$prefix/$link.new.$$" "$prefix/$link"
done
if [ -n "$group" ]; then
  used "$versions/$version" | while read -r folder; do
    is_for_group "$prefix/$folder" || { chgrp "$group" "$prefix/$folder" && chmod g+rwxs "$prefix/$folder"; } ||
      fail "$prefix/$folder cannot be given to the group $group"
  done
fi

echo "installed trainlock $version as $prefix/bin/trainlock"
case :${PATH:-}: in
  *:"$prefix/bin":*) ;;
  *) echo "  add it to your PATH: export PATH=\"$prefix/bin:\$PATH\"" ;;
esac

# A folder on the way may keep others out all the same.
if [ "$for_others" = yes ]; then
  folder=$prefix/bin
  while :; do
    open=$(find "$folder" -prune -perm -001)
    [ -n "$open" ] || [ -z "$group" ] || open=$(find "$folder" -prune -group "$group" -perm -010)
    [ -n "$open" ] || echo "  others cannot run it: $folder has $(ls -ld "$folder" | cut -d ' ' -f 1,3,4)"
    [ "$folder" != / ] || break
    folder=$(dirname "$folder")
  done
fi
