package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// LockPath is the file that keeps programs from changing a host at the same time.
const LockPath = "/run/culvert.lock"

// ErrLocked says that another program was changing the host until the context ended.
var ErrLocked = errors.New("another culvert is changing this host")

// Lock waits until nobody else changes the host; release lets others. An empty path is for a host that nobody else knows of.
func Lock(ctx context.Context, path string) (release func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("take the host's lock: %w; make %s writable", err, filepath.Dir(path))
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
