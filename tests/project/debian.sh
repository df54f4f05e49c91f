#!/usr/bin/env bash
# debian.sh SUITE COMMAND...: runs a command on this tree in another Debian (trixie, say), which lies in build/debian-<suite> with its packages, its copy of the tree, what
# was built and a compiler cache of its own, so that the next time is short. Needs Linux, root and debootstrap (make setup-checks).
# Packages come from where this machine's own come from; BAYESFLOW_DEBIAN_MIRROR names another place.
set -euo pipefail
suite=$1; shift
cd "$(dirname "$0")/../.."
root=$PWD/build/debian-$suite
configured() { apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' 2> /dev/null | awk '$1 == "Debian" && $2 !~ /security/ && !n++ {print $2}'; }
mirror=${BAYESFLOW_DEBIAN_MIRROR:-$(configured || true)}
mirror=${mirror:-http://deb.debian.org/debian}

if [ ! -e "$root/complete" ]; then
  rm -rf "$root"
  debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror"
  touch "$root/complete"
fi
apt-config dump Acquire | grep -i '::proxy' > "$root/etc/apt/apt.conf.d/90proxy" || true
cp /etc/resolv.conf /etc/hosts "$root/etc/"

# The files that git knows or would add, with their times: what is as old as before is not built again. What was built there stays.
mkdir -p "$root/bayesflow"
find "$root/bayesflow" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
git ls-files -z --cached --others --exclude-standard | xargs -0 sh -c 'for file; do [ -e "$file" ] && printf "%s\0" "$file"; done' sh | tar -c --null -T - | tar -x -C "$root/bayesflow"

# A namespace of its own: what is mounted there is gone when the command ends.
inside=$(cat <<'END'
mount -t proc proc "$0/proc"
mount -t tmpfs tmpfs "$0/dev/shm"
exec chroot "$0" /usr/bin/env -i HOME=/root PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive JOBS="$JOBS" sh -c '
  cd /bayesflow
  cmake/install_dependencies.sh library tests
  for compiler; do  # those named among the arguments
    case $compiler in clang++-*) command -v "$compiler" > /dev/null || apt-get install -y -q --no-install-recommends "clang-${compiler#clang++-}" libomp-"${compiler#clang++-}"-dev > /dev/null ;; esac
  done
  exec "$@"' sh "$@"
END
)
export JOBS=${JOBS:-$(nproc)}
exec unshare --mount sh -ec "$inside" "$root" "$@"
