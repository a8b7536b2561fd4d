package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// LockPath is the file that keeps programs from changing a host at the same time: the machine's, or that of a host of a lab, which is
// known by the name of its namespace, empty for the machine. What is locked of a lab goes with it.
func LockPath(namespace string) string {
	if namespace == "" {
		return "/run/culvert.lock"
	}
	return filepath.Join(netns.Dir, namespace)
}

// ErrLocked says that another program was changing the host until the context ended.
var ErrLocked = errors.New("another culvert is changing this host")

// Lock waits until nobody else changes the host; release lets others. An empty path is for a host that nobody else knows of.
func Lock(ctx context.Context, path string) (release func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	file, err := openLock(path)
	if err != nil {
		return nil, fmt.Errorf("take the host's lock: %w", err)
	}
	// flock(2) that waits could not be told to stop.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = file.Close() }, nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			return nil, errors.Join(fmt.Errorf("take the host's lock %s: %w; its filesystem must support flock(2)", path, err), file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("%w (%s is held); try again when it is done: %w", ErrLocked, path, ctx.Err()), file.Close())
		case <-tick.C:
		}
	}
}

// MakeLock makes the file of a lock, for a program that soon cannot make files any more. It waits for nobody.
func MakeLock(path string) error {
	file, err := openLock(path)
	if err != nil {
		return fmt.Errorf("make the host's lock: %w", err)
	}
	return file.Close()
}

// openLock makes the file if need be, but none among the names of namespaces: that would look like one that is half made.
func openLock(path string) (*os.File, error) {
	if filepath.Dir(path) == netns.Dir {
		file, err := os.Open(path)
		if err != nil {
			err = fmt.Errorf("%w; `ip netns` lists the namespaces that there are", err)
		}
		return file, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		err = fmt.Errorf("%w; make %s writable", err, filepath.Dir(path))
	}
	return file, err
}
