package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// Dir is where named namespaces are mounted; iproute2 uses the same folder (ip-netns(8)).
const Dir = "/run/netns"

// ErrNotExist is returned by [Open] for a name that is not mounted.
var ErrNotExist = fs.ErrNotExist

// NS is an open network namespace. It stays alive as long as it is open, also when its name is removed.
type NS struct {
	name string
	file *os.File
}

// Open opens the namespace mounted under the given name. A file that is no namespace (a half-made one) counts as absent:
// the error satisfies errors.Is(err, ErrNotExist).
func Open(name string) (*NS, error) {
	f, err := os.Open(filepath.Join(Dir, name))
	if err != nil {
		return nil, fmt.Errorf("open namespace %s: %w", name, err)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil || st.Type != unix.NSFS_MAGIC {
		return nil, errors.Join(fmt.Errorf("open namespace %s: %w", name, ErrNotExist), err, f.Close())
	}
	return &NS{name: name, file: f}, nil
}

// Current opens the namespace of the calling thread.
func Current() (*NS, error) {
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open the current namespace: %w", err)
	}
	return &NS{file: f}, nil
}

// Create makes a namespace and mounts it under the name. It is an error if the name is taken by a living namespace;
// what an interrupted Create left behind is replaced.
func Create(name string) (*NS, error) {
	if err := Share(); err != nil {
		return nil, err
	}
	if ns, err := Open(name); err == nil {
		return nil, errors.Join(fmt.Errorf("create namespace %s: %w", name, fs.ErrExist), ns.Close())
	}
	path := filepath.Join(Dir, name)
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o444)
	if err != nil {
		return nil, fmt.Errorf("create namespace %s: %w", name, err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("create namespace %s: %w", name, err)
	}
	done := make(chan error)
	go func() { done <- mountNew(path) }()
	if err := <-done; err != nil {
		return nil, errors.Join(fmt.Errorf("create namespace %s: %w", name, err), os.Remove(path))
	}
	return Open(name)
}

// mountNew makes a namespace and mounts it at the path. It must have a goroutine of its own: a thread that does not find
// home again stays locked, and the runtime ends it with the goroutine. That is no way out for the normal case, because the
// runtime never ends the process's first thread: it would keep the namespace alive, and /proc/self would be in it.
func mountNew(path string) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() { _ = home.Close() }()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
	if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}

// Remove takes the name away. A missing name is success.
func Remove(name string) error {
	path := filepath.Join(Dir, name)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove namespace %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove namespace %s: %w", name, err)
	}
	return nil
}

// List returns the names of the mounted namespaces that begin with prefix, sorted.
func List(prefix string) ([]string, error) {
	entries, err := os.ReadDir(Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	return names, nil
}

// Exists reports whether there is a file of the name, be it a namespace or a half-made one.
func Exists(name string) (bool, error) {
	_, err := os.Lstat(filepath.Join(Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for namespace %s: %w", name, err)
	}
	return true, nil
}

// Name is the name the namespace was opened by, empty for [Current].
func (n *NS) Name() string { return n.name }

// Fd is the descriptor of the namespace, valid until [NS.Close].
func (n *NS) Fd() int { return int(n.file.Fd()) }

// Close gives the descriptor back.
func (n *NS) Close() error { return n.file.Close() }

// Do runs f on a thread inside the namespace. Sockets that f opens stay in the namespace. f must not start goroutines that
// expect to be in it.
func (n *NS) Do(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter namespace %s: %w", n.name, err)
	}
	defer func() { _ = home.Close() }()
	if err := unix.Setns(n.Fd(), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter namespace %s: %w", n.name, err)
	}
	// Deferred, so that a panic in f does not leak the thread either. A thread that cannot go home stays locked: the
	// runtime ends it with this goroutine rather than let other work run in the wrong namespace.
	defer func() {
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return f()
}

// Share makes [Dir] a shared mount, as ip-netns(8) does, so that names made here show up in mount namespaces that began as copies
// of this one, and the other way round. [Create] does so by itself.
func Share() error {
	if err := os.MkdirAll(Dir, 0o755); err != nil {
		return fmt.Errorf("create %s: %w", Dir, err)
	}
	err := unix.Mount("", Dir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) {
		// Not a mount point yet: bind it onto itself.
		if err = unix.Mount(Dir, Dir, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = unix.Mount("", Dir, "none", unix.MS_SHARED|unix.MS_REC, "")
		}
	}
	if err != nil {
		return fmt.Errorf("share %s: %w", Dir, err)
	}
	return nil
}
