package daemon

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/topology"
	"github.com/culvertnet/culvert/trigger"
)

// TestNumber has the namespace of a tenant come, be made anew and go: what the kernel watches for the daemon goes with it.
func TestNumber(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	k := desk("hv1")
	k.opts.Prefix = fmt.Sprintf("numb%d-", os.Getpid())
	create := func(name string) (remove func()) {
		t.Helper()
		ns, err := netns.Create(name)
		if err == nil {
			err = ns.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := netns.Remove(name); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(create(k.opts.Prefix + "host"))
	host, err := netns.Open(k.opts.Prefix + "host")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Close() })
	if k.watch, err = trigger.Open(host); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.watch.Close() })
	tenant := k.opts.Prefix + topology.NamespacePrefix + "acme"
	none := watches(t)
	var some int
	for i := range 3 {
		remove := create(tenant)
		t.Cleanup(remove)
		k.number("acme")
		n := watches(t)
		if i == 0 {
			some = n
		}
		if len(k.spaces) != 1 || n != some || n == none {
			t.Errorf("round %d: spaces %v, %d watches; want one, %d", i, k.spaces, n, some)
		}
		remove()
	}
	k.forget("acme")
	if n := watches(t); len(k.spaces) != 0 || n != none || len(k.deaf) != 0 {
		t.Errorf("in the end: spaces %v, %d watches, want %d; deaf %v", k.spaces, n, none, k.deaf)
	}
	// What cannot be heard is told for as long as it is so.
	t.Cleanup(create(tenant))
	watch := k.watch
	if k.watch, err = trigger.Open(host); err != nil {
		t.Fatal(err)
	}
	if err := k.watch.Close(); err != nil {
		t.Fatal(err)
	}
	k.number("acme")
	k.publish()
	if s := k.board.read(); s.Lacking != 1 || !strings.Contains(strings.Join(s.Notes, "\n"), lateNotice+", tenants: 1, one of them acme: ") {
		t.Errorf("deaf: %d lacking, notes %q", s.Lacking, s.Notes)
	}
	k.watch = watch
	k.number("acme")
	k.publish()
	if s := k.board.read(); s.Lacking != 0 || len(s.Notes) != 0 {
		t.Errorf("not deaf any more: %d lacking, notes %q", s.Lacking, s.Notes)
	}
}

// watches counts the folders that the kernel watches for this process.
func watches(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fdinfo")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		text, _ := os.ReadFile("/proc/self/fdinfo/" + f.Name()) // the directory's own is closed by now
		n += strings.Count(string(text), "inotify wd:")
	}
	return n
}
