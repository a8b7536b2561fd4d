package machine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/culvertnet/culvert/tests/vm/wire"
)

// Accel is the way in which QEMU runs the guest's instructions.
type Accel string

// Emulate works everywhere. KVM is several times faster where it works, which
// Probe finds out.
const (
	Emulate Accel = "tcg"
	KVM     Accel = "kvm"
)

// program is the emulator.
const program = "qemu-system-x86_64"

// Machine is what to boot.
type Machine struct {
	Kernel   string        // path of the kernel image
	Initrd   string        // path of the initramfs
	MemoryMB int           // size of the guest's memory
	Accel    Accel         // Emulate or KVM
	Hello    time.Duration // limit from the start to the Hello frame

	emulator string // other than program, for tests
}

// kernelArgs: no wait after a panic, which an oops and a lost init are too; no
// mitigations, which cost most under emulation; no watchdogs, which take an
// emulator that waits for the host's processors for a hanging kernel.
const kernelArgs = "console=ttyS0 loglevel=5 panic=-1 oops=panic mitigations=off nokaslr " +
	"tsc=nowatchdog nowatchdog rcupdate.rcu_cpu_stall_suppress=1 audit=0 apparmor=0"

// arguments returns QEMU's command line. q35 has the HPET as a reference clock,
// without which a boot can hang on a busy host.
func (m *Machine) arguments(socket, console string) []string {
	cpu, accel := "max", "tcg,thread=multi"
	if m.Accel == KVM {
		cpu, accel = "host", "kvm"
	}
	return []string{
		"-accel", accel, "-cpu", cpu, "-M", "q35",
		"-smp", "2", "-m", strconv.Itoa(m.MemoryMB),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-serial", "file:" + console,
		"-device", "virtio-serial-pci",
		"-chardev", "socket,id=frames,path=" + socket,
		"-device", "virtserialport,chardev=frames,name=" + wire.Port,
		"-kernel", m.Kernel, "-initrd", m.Initrd, "-append", kernelArgs,
	}
}

// Run is a machine that is running.
type Run struct {
	Release string // the guest kernel's release

	frames  *wire.Reader
	conn    net.Conn
	cmd     *exec.Cmd
	exited  chan struct{} // closed when QEMU has ended
	exitErr error         // how, valid after that
	stderr  bytes.Buffer
	dir     string
}

// Boot starts the machine and returns when its init program has said Hello.
// A boot that does not get there within m.Hello is tried a second time. The
// machine ends at the latest with ctx.
func (m *Machine) Boot(ctx context.Context) (*Run, error) {
	run, err := m.bootOnce(ctx)
	if err == nil || ctx.Err() != nil || errors.As(err, new(*FatalError)) {
		return run, err
	}
	run, again := m.bootOnce(ctx)
	if again != nil {
		return nil, fmt.Errorf("boot failed twice: %w", errors.Join(err, again))
	}
	return run, nil
}

// FatalError is the guest's own word that it cannot run the plan. Trying again
// would not help.
type FatalError struct{ Text string }

func (e *FatalError) Error() string { return "guest gave up: " + e.Text }

func (m *Machine) bootOnce(ctx context.Context) (*Run, error) {
	dir, err := os.MkdirTemp("", "culvert-vm-")
	if err != nil {
		return nil, fmt.Errorf("boot: %w", err)
	}
	run := &Run{dir: dir, exited: make(chan struct{})}
	if err := run.start(ctx, m); err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("boot: %w", err)
	}
	if err := run.awaitHello(m.Hello); err != nil {
		if !errors.As(err, new(*FatalError)) {
			err = fmt.Errorf("%w\n%s", err, run.Console())
		}
		run.kill()
		return nil, errors.Join(err, run.Close())
	}
	return run, nil
}

// start launches QEMU, which connects to a socket of ours.
func (r *Run) start(ctx context.Context, m *Machine) error {
	socket := filepath.Join(r.dir, "frames")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	defer listener.Close()
	r.cmd = exec.CommandContext(ctx, cmp.Or(m.emulator, program), m.arguments(socket, r.consolePath())...)
	r.cmd.Stderr = &r.stderr
	if err := r.cmd.Start(); err != nil {
		return fmt.Errorf("start the emulator: %w; run tests/setup.sh", err)
	}
	go func() {
		r.exitErr = r.cmd.Wait()
		close(r.exited)
		_ = listener.Close() // wakes an Accept that nobody will answer
	}()
	r.conn, err = listener.Accept()
	if err != nil {
		<-r.exited
		return fmt.Errorf("the emulator did not start: %w: %s", r.exitErr, strings.TrimSpace(r.stderr.String()))
	}
	r.frames = wire.NewReader(r.conn)
	return nil
}

func (r *Run) awaitHello(limit time.Duration) error {
	if err := r.conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	frame, err := r.frames.Read()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("guest was not up after %s", limit)
	}
	if err != nil {
		return fmt.Errorf("guest died while it booted: %w", err)
	}
	if frame.Kind == wire.Fatal {
		_, _ = r.conn.Write([]byte{wire.Ack})
		return &FatalError{frame.Text}
	}
	if frame.Kind != wire.Hello {
		return fmt.Errorf("guest said %s before %s", frame.Kind, wire.Hello)
	}
	r.Release = frame.Text
	return r.conn.SetReadDeadline(time.Time{})
}

// Read returns the next frame. An error means that the guest died.
func (r *Run) Read() (wire.Frame, error) {
	frame, err := r.frames.Read()
	if err != nil {
		return frame, fmt.Errorf("guest died: %w", err)
	}
	if frame.Kind == wire.Done || frame.Kind == wire.Fatal {
		if _, err := r.conn.Write([]byte{wire.Ack}); err != nil {
			return frame, fmt.Errorf("guest died: %w", err)
		}
	}
	return frame, nil
}

// Console returns the last kernel messages.
func (r *Run) Console() string {
	const last = 8 << 10
	text, err := os.ReadFile(r.consolePath())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-last):])
}

func (r *Run) consolePath() string { return filepath.Join(r.dir, "console") }

func (r *Run) kill() { _ = r.cmd.Process.Kill() }

// Close waits for the machine to power off, which it does after Done and Fatal,
// and ends it after a while if it does not.
func (r *Run) Close() error {
	timer := time.AfterFunc(20*time.Second, r.kill)
	<-r.exited
	timer.Stop()
	return errors.Join(r.conn.Close(), os.RemoveAll(r.dir))
}
