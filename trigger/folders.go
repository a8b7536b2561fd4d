package trigger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// folders tells when something happens in folders (inotify(7)).
type folders struct {
	file *os.File
	fd   int
	mask uint32

	mu     sync.Mutex
	spaces map[int32]Space // by watch descriptor
}

func openFolders(mask uint32) (*folders, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch files: %w; raise the sysctl fs.inotify.max_user_instances", err)
	}
	return &folders{file: os.NewFile(uintptr(fd), "inotify"), fd: fd, mask: mask, spaces: make(map[int32]Space)}, nil
}

// add watches a folder; what happens in it is told with the space. A folder that is watched already stays so.
func (f *folders) add(path string, space Space) (int32, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	descriptor, err := unix.InotifyAddWatch(f.fd, path, f.mask|unix.IN_ONLYDIR)
	if err != nil {
		return 0, fmt.Errorf("watch folder %s (the sysctl fs.inotify.max_user_watches limits their number): %w", path, err)
	}
	f.spaces[int32(descriptor)] = space
	return int32(descriptor), nil
}

// keep ends the watches with the space but for the given ones. The kernel does not end those of a namespace's parameters with it.
func (f *folders) keep(space Space, descriptors ...int32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for d, s := range f.spaces {
		if s != space || slices.Contains(descriptors, d) {
			continue
		}
		delete(f.spaces, d)
		// EINVAL: it has ended, and its last event has not been read.
		if _, err := unix.InotifyRmWatch(f.fd, uint32(d)); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("end the watch of a folder: %w", err))
		}
	}
	return errors.Join(errs...)
}

// run hands every event to read until the context ends.
func (f *folders) run(ctx context.Context, read func(Space, string), tell func(Event)) error {
	stop := context.AfterFunc(ctx, func() { _ = f.Close() })
	defer stop()
	buf := make([]byte, 64<<10)
	for {
		n, err := f.file.Read(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch files: %w", err)
		}
		f.parse(buf[:n], read, tell)
	}
}

func (f *folders) parse(b []byte, read func(Space, string), tell func(Event)) {
	for len(b) >= unix.SizeofInotifyEvent {
		descriptor := int32(binary.NativeEndian.Uint32(b))
		mask, length := binary.NativeEndian.Uint32(b[4:]), int(binary.NativeEndian.Uint32(b[12:]))
		if unix.SizeofInotifyEvent+length > len(b) {
			return
		}
		name := strings.TrimRight(string(b[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+length]), "\x00")
		b = b[unix.SizeofInotifyEvent+length:]
		f.mu.Lock()
		space, known := f.spaces[descriptor]
		if mask&unix.IN_IGNORED != 0 {
			delete(f.spaces, descriptor)
		}
		f.mu.Unlock()
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			tell(Event{Kind: Lost})
		case known && mask&unix.IN_IGNORED == 0:
			read(space, name)
		}
	}
}

// Close ends the watch.
func (f *folders) Close() error {
	if err := f.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
