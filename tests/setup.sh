#!/bin/sh
# Installs what the tests need beside Go, on Debian 12 and later, and only what
# is missing: with everything in place it asks no package server.
set -eu

PATH=$PATH:/usr/sbin:/sbin

# program:package
wanted='
qemu-system-x86_64:qemu-system-x86
xz:xz-utils
zstd:zstd
cpio:cpio
modprobe:kmod
ip:iproute2
nft:nftables
ipvsadm:ipvsadm
conntrack:conntrack
tcpdump:tcpdump
unshare:util-linux
ldd:libc-bin
systemd-analyze:systemd
chromium:chromium
'

packages=
for pair in $wanted; do
	command -v "${pair%%:*}" >/dev/null || packages="$packages ${pair#*:}"
done
[ -e /etc/protocols ] || packages="$packages netbase"
[ -n "$packages" ] || exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
	sudo='sudo -n'
	$sudo true || { echo "setup: run as root, or install:$packages" >&2; exit 1; }
fi

# $packages is a list on purpose.
install() {
	# shellcheck disable=SC2086
	$sudo env DEBIAN_FRONTEND=noninteractive \
		apt-get install -qq --yes --no-install-recommends $packages </dev/null
}

echo "setup: installing$packages"
# The package lists may be missing or old; without them the first try fails fast.
install >/dev/null 2>&1 || { $sudo apt-get -qq update </dev/null; install >/dev/null; }
