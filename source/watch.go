package source

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// watcher tells when something happens in folders (inotify(7)). It says that, not what.
type watcher struct {
	file    *os.File
	fd      int
	changed chan struct{}
	failed  chan error
}

// happenings are what can give a file another content: it was written and closed, it was renamed, made or removed. Writes
// are left out: their file is half written.
const happenings = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_CREATE | unix.IN_DELETE | unix.IN_ONLYDIR

// watch begins to watch the folders of the paths.
func watch(paths ...string) (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch files: %w; raise the sysctl fs.inotify.max_user_instances", err)
	}
	w := &watcher{file: os.NewFile(uintptr(fd), "inotify"), fd: fd, changed: make(chan struct{}, 1), failed: make(chan error, 1)}
	if err := w.add(paths...); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	go w.read()
	return w, nil
}

// add watches the folders of the paths, and where their symbolic links lead. A folder that is watched already stays so.
func (w *watcher) add(paths ...string) error {
	for _, p := range paths {
		if err := w.addFolder(filepath.Dir(p)); err != nil {
			return err
		}
		if real, err := filepath.EvalSymlinks(p); err == nil && filepath.Dir(real) != filepath.Dir(p) {
			if err := w.addFolder(filepath.Dir(real)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *watcher) addFolder(path string) error {
	if _, err := unix.InotifyAddWatch(w.fd, path, happenings); err != nil {
		if errors.Is(err, unix.ENOSPC) {
			return fmt.Errorf("watch folder %s: %w: raise the sysctl fs.inotify.max_user_watches", path, err)
		}
		return fmt.Errorf("watch folder %s: %w; it must exist before the fleet comes", path, err)
	}
	return nil
}

// read waits for events until the file is closed. What they say is thrown away: whoever is told reads the files.
func (w *watcher) read() {
	buf := make([]byte, 64<<10)
	for {
		if _, err := w.file.Read(buf); err != nil {
			w.failed <- err
			return
		}
		select {
		case w.changed <- struct{}{}:
		default: // told already
		}
	}
}

// Close ends the watch.
func (w *watcher) Close() error { return w.file.Close() }
