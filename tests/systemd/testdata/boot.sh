#!/bin/sh
# Prepares namespaces for a service manager of their own and becomes it. $1 is the folder of the test, which is /run/proof from then on.
set -eu
mount --make-rprivate /
mount -t proc proc /proc

# A service manager that boots changes and cleans files. Nothing of the machine's shall be within its reach: what is on a disk is
# read-only, and what must be written is in memory.
mount -t tmpfs tmpfs /run
mkdir -p /run/proof /run/systemd/system /run/netns
mount --bind "$1" /run/proof
for point in /tmp /var /root /home; do
	[ ! -d $point ] || mount -t tmpfs tmpfs $point
done
mkdir -p /var/lib /var/log
umount -R /sys/fs/cgroup 2>/dev/null || true
while read -r _ point _; do
	case $point in
	/proc* | /dev* | /run* | /tmp* | /var* | /root* | /home*) ;; # the kernel's own, and what is in memory
	*) mount -o remount,bind,ro "$point" ;;
	esac
done </proc/mounts
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /run/dev
for node in null zero full random urandom; do
	: >/run/dev/$node
	mount --bind /dev/$node /run/dev/$node
done
mount --rbind /run/dev /dev
for folder in debug dev fs kernel vm; do
	mount --bind /proc/sys/$folder /proc/sys/$folder
	mount -o remount,bind,ro /proc/sys/$folder
done
for point in / /usr /etc /opt /sys/kernel /proc/sys/kernel; do
	if touch $point/culvert-test 2>/dev/null; then
		rm $point/culvert-test
		echo "boot: $point is writable" >&2
		exit 1
	fi
done
for point in /tmp /run /var; do
	[ "$(stat -f -c %T $point)" = tmpfs ]
done
hostname hv1
echo hv1 >/run/hostname
mount --bind /run/hostname /etc/hostname

# The host's hardware: an underlay and a VM's device.
ip link set lo up
ip link add under0 mtu 1550 type veth peer name wire0 mtu 1550
ip address add 192.0.2.1/24 dev under0
ip link set under0 up
ip link set wire0 up
ip link add tap-a type veth peer name tap-a-vm
ip link set tap-a-vm up

# What units depend on by default, without what it does on a machine.
for target in sysinit basic shutdown sockets timers paths slices local-fs network nftables; do
	printf '[Unit]\nDefaultDependencies=no\n' >/run/systemd/system/$target.target
done
cp /run/proof/culvert.service /run/systemd/system/
cat >/run/systemd/system/proof.service <<EOF
[Unit]
DefaultDependencies=no
Wants=culvert.service
After=culvert.service
[Service]
Type=oneshot
ExecStart=/bin/sh /run/proof/proof.sh /run/proof
ExecStopPost=/bin/systemctl --force --force poweroff
EOF
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	/lib/systemd/systemd --system --unit=proof.service --log-target=console --log-level=warning --show-status=no
