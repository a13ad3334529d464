#!/bin/sh
# Installs trainlock from the folder that this script is in, without root.
#
#   sh install.sh [--prefix DIR] [--group NAME]     default: ~/.local
#   sh install.sh --uninstall [--prefix DIR]
#
# Each version has a folder of its own, DIR/lib/trainlock/VERSION;
# DIR/bin/trainlock is a link to the one that was installed last. Jobs that run
# go on with the file that they have started. With --group the group may read
# and replace all of it.
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

if [ "$uninstall" = yes ]; then
  [ -d "$versions" ] || fail "there is no trainlock in $prefix"
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

mkdir -p "$versions" || fail "$versions cannot be made" "choose a folder of yours with --prefix"
unfinished=$versions/.new.$$
trap 'rm -rf "$unfinished"' EXIT
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
if [ -n "$group" ]; then
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
  for folder in "$prefix/bin" "$versions"; do
    chgrp "$group" "$folder" && chmod g+rwxs "$folder" || fail "$folder cannot be given to the group $group"
  done
fi

echo "installed trainlock $version as $prefix/bin/trainlock"
case :${PATH:-}: in
  *:"$prefix/bin":*) ;;
  *) echo "  add it to your PATH: export PATH=\"$prefix/bin:\$PATH\"" ;;
esac
