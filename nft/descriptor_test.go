package nft

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// TestDialRefusesHighDescriptors fills the low descriptors up: the library would panic where it ought to wait.
func TestDialRefusesHighDescriptors(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < unix.FD_SETSIZE+64 {
		t.Skipf("needs a limit of %d open files, has %d: %v", unix.FD_SETSIZE+64, limit.Cur, err)
	}
	ns, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ns.Close() }()
	var filled []int
	defer func() {
		for _, fd := range filled {
			_ = unix.Close(fd)
		}
	}()
	for len(filled) == 0 || filled[len(filled)-1] < unix.FD_SETSIZE {
		fd, err := unix.Dup(ns.Fd())
		if err != nil {
			t.Fatal(err)
		}
		filled = append(filled, fd)
	}
	if c, err := Dial(ns); !errors.Is(err, ErrDescriptors) {
		t.Errorf("Dial: %v, %v; want ErrDescriptors", c, err)
	}
}
