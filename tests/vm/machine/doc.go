// Package machine runs a test machine: QEMU with a kernel and an initramfs, and
// a stream of frames from its init program.
//
//	m := machine.Machine{Kernel: image, Initrd: file, MemoryMB: 2048, Accel: machine.Emulate}
//	run, err := m.Boot(ctx)
//	frame, err := run.Read() // until Done or Fatal
//	err = run.Close()
//
// Be aware: emulated time is uneven, a busy host makes single steps ten times
// slower. The kernel's own messages go to a console log and never into frames.
package machine
