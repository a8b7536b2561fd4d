package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// name gives each test process names of its own.
func name(t *testing.T, suffix string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	n := fmt.Sprintf("culvert-test-%d-%s", os.Getpid(), suffix)
	t.Cleanup(func() {
		if err := Remove(n); err != nil {
			t.Error(err)
		}
	})
	return n
}

func inode(t *testing.T) string {
	t.Helper()
	s, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDoRunsInsideAndComesBack(t *testing.T) {
	ns, err := Create(name(t, "do"))
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	before := inode(t)
	var inside string
	var links []net.Interface
	boom := errors.New("boom")
	err = ns.Do(func() error {
		inside = inode(t)
		links, err = net.Interfaces()
		return errors.Join(err, boom)
	})
	if !errors.Is(err, boom) {
		t.Errorf("Do returned %v, want the function's error", err)
	}
	if inside == before {
		t.Error("the function ran in the caller's namespace")
	}
	// Some kernels put fallback tunnels (tunl0, sit0) into every namespace; all are down and lo comes first.
	if len(links) == 0 || links[0].Name != "lo" {
		t.Errorf("a fresh namespace has links %v, want lo first", links)
	}
	for _, l := range links {
		if l.Flags&net.FlagUp != 0 {
			t.Errorf("%s is up in a fresh namespace: it is somebody's", l.Name)
		}
	}
	if after := inode(t); after != before {
		t.Errorf("thread is in %s after Do, was in %s", after, before)
	}
}

func TestDoSurvivesPanic(t *testing.T) {
	ns, err := Create(name(t, "panic"))
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	before := inode(t)
	func() {
		defer func() { _ = recover() }()
		_ = ns.Do(func() error { panic("in the namespace") })
	}()
	if after := inode(t); after != before {
		t.Errorf("thread is in %s after a panic, was in %s", after, before)
	}
}

func TestCreateRefusesTakenName(t *testing.T) {
	n := name(t, "twice")
	ns, err := Create(n)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if _, err := Create(n); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second Create: %v, want fs.ErrExist", err)
	}
}

func TestHalfMadeNameCountsAsAbsent(t *testing.T) {
	n := name(t, "half")
	if err := Share(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(Dir, n), nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(n); !errors.Is(err, ErrNotExist) {
		t.Errorf("Open of a plain file: %v, want ErrNotExist", err)
	}
	ns, err := Create(n)
	if err != nil {
		t.Fatalf("Create over a leftover: %v", err)
	}
	ns.Close()
}

func TestListAndRemove(t *testing.T) {
	n := name(t, "list")
	ns, err := Create(n)
	if err != nil {
		t.Fatal(err)
	}
	ns.Close()
	if got, err := List(n); err != nil || len(got) != 1 || got[0] != n {
		t.Errorf("List = %v, %v", got, err)
	}
	for range 2 { // the second one finds nothing, which is success
		if err := Remove(n); err != nil {
			t.Error(err)
		}
	}
	if got, err := List(n); err != nil || len(got) != 0 {
		t.Errorf("List after Remove = %v, %v", got, err)
	}
}

// TestCreateLeavesNoThreadInside looks at all threads, the first one above all: the runtime never ends it.
func TestCreateLeavesNoThreadInside(t *testing.T) {
	n := name(t, "threads")
	home := inode(t)
	for range 50 {
		ns, err := Create(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(ns.Close(), Remove(n)); err != nil {
			t.Fatal(err)
		}
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		ns, err := os.Readlink(filepath.Join("/proc/self/task", task.Name(), "ns/net"))
		if err == nil && ns != home {
			t.Errorf("thread %s of process %d stayed in %s", task.Name(), os.Getpid(), ns)
		}
	}
}
