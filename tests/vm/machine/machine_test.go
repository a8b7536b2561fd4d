package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/culvertnet/culvert/tests/vm/wire"
)

// TestMain makes the test binary an emulator when QEMU's arguments say so: the
// kernel's path names what it does.
func TestMain(m *testing.M) {
	for i, arg := range os.Args {
		if arg == "-kernel" {
			os.Exit(emulate(os.Args[i+1]))
		}
	}
	os.Exit(m.Run())
}

// emulate plays a guest. A second boot is one that finds the first one's mark.
func emulate(image string) int {
	behaviour, mark := filepath.Base(image), image+".booted"
	_, err := os.Stat(mark)
	first := os.IsNotExist(err)
	_ = os.WriteFile(mark, nil, 0o644)

	var socket string
	for _, arg := range os.Args {
		if path, ok := strings.CutPrefix(arg, "socket,id=frames,path="); ok {
			socket = path
		}
		if path, ok := strings.CutPrefix(arg, "file:"); ok {
			_ = os.WriteFile(path, []byte("kernel message\n"), 0o644)
		}
	}
	if behaviour == "refuse" {
		fmt.Fprintln(os.Stderr, "bad machine")
		return 1
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return 2
	}
	w := wire.NewWriter(conn)
	ack := make([]byte, 1)
	switch {
	case behaviour == "die", behaviour == "die-once" && first:
		return 3
	case behaviour == "hang":
		_, _ = conn.Read(ack) // until the other side closes
	case behaviour == "fatal":
		_ = w.Write(wire.Frame{Kind: wire.Fatal, Text: "no module x"})
		_, _ = conn.Read(ack)
	default:
		_ = w.Write(wire.Frame{Kind: wire.Hello, Text: "6.12.1"})
		_ = w.Write(wire.Frame{Kind: wire.Done})
		_, _ = conn.Read(ack)
	}
	return 0
}

func testMachine(t *testing.T, behaviour string) Machine {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Machine{
		Kernel: filepath.Join(t.TempDir(), behaviour), Initrd: "/none", MemoryMB: 64, Accel: Emulate,
		Hello: 20 * time.Second, emulator: self,
	}
}

func TestBoot(t *testing.T) {
	for _, behaviour := range []string{"work", "die-once"} {
		t.Run(behaviour, func(t *testing.T) {
			m := testMachine(t, behaviour)
			run, err := m.Boot(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if run.Release != "6.12.1" || !strings.Contains(run.Console(), "kernel message") {
				t.Errorf("release %q, console %q", run.Release, run.Console())
			}
			if frame, err := run.Read(); err != nil || frame.Kind != wire.Done {
				t.Errorf("got %+v, %v, want done", frame, err)
			}
			if err := run.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(run.dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left behind", run.dir)
			}
		})
	}
}

func TestBootFails(t *testing.T) {
	for _, tt := range []struct {
		behaviour string
		hello     time.Duration
		twice     bool
		text      string
	}{
		{"die", 20 * time.Second, true, "kernel message"},
		{"refuse", 20 * time.Second, true, "bad machine"},
		{"hang", 500 * time.Millisecond, true, "not up after 500ms"},
		{"fatal", 20 * time.Second, false, "no module x"},
	} {
		t.Run(tt.behaviour, func(t *testing.T) {
			m := testMachine(t, tt.behaviour)
			m.Hello = tt.hello
			_, err := m.Boot(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("got %v, want %q", err, tt.text)
			}
			if twice := strings.Contains(err.Error(), "boot failed twice"); twice != tt.twice {
				t.Errorf("tried twice is %v, want %v: %v", twice, tt.twice, err)
			}
		})
	}
}

func TestBootEndsWithContext(t *testing.T) {
	m := testMachine(t, "hang")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := m.Boot(ctx); err == nil || strings.Contains(err.Error(), "twice") {
		t.Errorf("got %v, want one failure", err)
	}
}

func TestBootWithoutEmulator(t *testing.T) {
	m := testMachine(t, "work")
	m.emulator = "/no/such/emulator"
	if _, err := m.Boot(t.Context()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "tests/setup.sh") {
		t.Errorf("got %v, want the remedy", err)
	}
}

func TestArguments(t *testing.T) {
	m := Machine{Kernel: "/k", Initrd: "/i", MemoryMB: 2048, Accel: Emulate}
	got := strings.Join(m.arguments("/s", "/c"), " ")
	for _, want := range []string{"-accel tcg,thread=multi -cpu max", "-m 2048", "-kernel /k -initrd /i", "-serial file:/c", "name=" + wire.Port} {
		if !strings.Contains(got, want) {
			t.Errorf("arguments lack %q: %s", want, got)
		}
	}
	m.Accel = KVM
	if got := strings.Join(m.arguments("/s", "/c"), " "); !strings.Contains(got, "-accel kvm -cpu host") {
		t.Errorf("with KVM: %s", got)
	}
}

func TestProbe(t *testing.T) {
	dir := t.TempDir()
	defer func(old string) { kvmDevice = old }(kvmDevice)
	kvmDevice = filepath.Join(dir, "kvm")
	m := testMachine(t, "work")
	if got := Probe(t.Context(), m, dir); got != Emulate {
		t.Errorf("without a device: got %s", got)
	}
	if err := os.WriteFile(kvmDevice, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Probe(t.Context(), m, dir); got != KVM {
		t.Errorf("with a boot that works: got %s", got)
	}
	broken := testMachine(t, "die")
	if got := Probe(t.Context(), broken, dir); got != KVM {
		t.Errorf("what came out before is forgotten: got %s", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "accel"), []byte("another-boot kvm"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := Probe(t.Context(), broken, dir); got != Emulate {
		t.Errorf("with a boot that fails: got %s", got)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "accel")); err != nil || !strings.HasSuffix(string(text), " tcg") {
		t.Errorf("noted %q, %v", text, err)
	}
}
