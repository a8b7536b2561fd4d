package machine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/culvertnet/culvert/tests/vm/wire"
)

// probeLimit is ten times what a boot with a working KVM takes.
const probeLimit = 20 * time.Second

// kvmDevice is how programs reach KVM.
var kvmDevice = "/dev/kvm"

// Probe returns KVM if a boot of m with it succeeds, else Emulate. A device
// node alone says little: inside virtual machines it is often there and runs
// no stock kernel. The initramfs of m should have an empty plan. What came out
// is kept in dir until the host boots again.
func Probe(ctx context.Context, m Machine, dir string) Accel {
	device, err := os.OpenFile(kvmDevice, os.O_RDWR, 0)
	if err != nil {
		return Emulate
	}
	_ = device.Close()
	// A boot has one identifier; another one may be another machine.
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Emulate
	}
	boot, note := strings.TrimSpace(string(id)), filepath.Join(dir, "accel")
	if text, err := os.ReadFile(note); err == nil {
		if known, accel, _ := strings.Cut(string(text), " "); known == boot {
			return Accel(accel)
		}
	}
	accel := Emulate
	if m.bootsWithKVM(ctx) == nil {
		accel = KVM
	}
	// Without the note the next run probes again, which is all that is lost.
	_ = os.WriteFile(note, []byte(boot+" "+string(accel)), 0o644)
	return accel
}

// bootsWithKVM boots an empty plan from Hello to Done.
func (m Machine) bootsWithKVM(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	m.Accel, m.Hello = KVM, probeLimit
	run, err := m.bootOnce(ctx)
	if err != nil {
		return err
	}
	for {
		frame, err := run.Read()
		if err != nil {
			run.kill()
			_ = run.Close()
			return err
		}
		switch frame.Kind {
		case wire.Done:
			return run.Close()
		case wire.Fatal:
			_ = run.Close()
			return fmt.Errorf("guest gave up: %s", frame.Text)
		}
	}
}
