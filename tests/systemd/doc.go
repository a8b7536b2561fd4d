// Package systemd runs the daemon's unit as it is packaged, under a systemd of its own, and shows that what the unit leaves to the
// daemon is enough.
//
//	go test -v ./tests/systemd
//
// The service manager is the first process of namespaces of its own (mounts, processes, network, control groups), on the machine's
// kernel. Everything that is on a disk is read-only there, and none of the units that boot a machine run.
//
// Be aware: it takes root, systemd as a program, iproute2, nftables, and a control-group file system of version 2.
package systemd
