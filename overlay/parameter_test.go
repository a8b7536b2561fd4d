package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"github.com/culvertnet/culvert/netns"
)

// TestParameters reads and writes parameters of two namespaces by turns, from one folder and another.
func TestParameters(t *testing.T) {
	r := newRig(t)
	var spaces []*netns.NS
	folders := make([]parameters, 2)
	for i := range folders {
		spaces = append(spaces, must(netns.Create(fmt.Sprintf("%sp%d", r.prefix, i))))
	}
	paths := []string{"net/ipv4/conf/all/rp_filter", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/lo/rp_filter", "net/ipv4/ip_forward"}
	for round := range 2 {
		for i := range folders {
			err := spaces[i].Do(func() error {
				for p, path := range paths {
					want := fmt.Sprint((round + i + p) % 2)
					if err := folders[i].write(path, want); err != nil {
						return err
					}
					whole, err := os.ReadFile("/proc/sys/" + path)
					if err != nil {
						return err
					}
					if value, err := folders[i].read(path); err != nil || value != want || string(whole) != want+"\n" {
						t.Errorf("%s in %d: %q, %v; by its whole path %q; want %s", path, i, value, err, whole, want)
					}
				}
				for _, path := range []string{"net/ipv4/nothing", "net/nothing/here", "net/ipv4/conf/nothing/rp_filter"} {
					if value, err := folders[i].read(path); !errors.Is(err, fs.ErrNotExist) {
						t.Errorf("%s: %q, %v", path, value, err)
					}
					if err := folders[i].write(path, "1"); !errors.Is(err, fs.ErrNotExist) {
						t.Errorf("%s: %v", path, err)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range folders {
		for range 2 {
			if err := folders[i].Close(); err != nil {
				t.Error(err)
			}
		}
		if err := spaces[i].Close(); err != nil {
			t.Error(err)
		}
	}
}
