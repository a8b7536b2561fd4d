// Command init is the first process of a test machine.
//
// It mounts the usual file systems, loads the modules of its plan, runs the
// plan's units one after the other, reports everything as frames on a virtio
// serial port and powers the machine off:
//
//	init  # as /init of an initramfs that tests/vm has built
//
// Be aware: it powers the machine off whatever happens, so it refuses to run
// as any process but the first.
package main
