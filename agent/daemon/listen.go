package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ListenUnix listens on a unix socket that root and its group may use. It takes the place over of a socket that a dead daemon left. Of
// several that try at once one gets it: that holds the file beside it, PATH.lock, until it closes the socket or dies. The file stays,
// as a daemon that waits to open it would hold one that nobody else sees.
func ListenUnix(path string) (net.Listener, error) {
	l, err := hold(path)
	if err != nil {
		return nil, err
	}
	return l, nil
}

func hold(path string) (*heldListener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the socket's folder: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("hold the socket: %w; make its folder writable", err)
	}
	listener, err := replaceSocket(path, lock)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &heldListener{listener, lock}, nil
}

func replaceSocket(path string, lock *os.File) (net.Listener, error) {
	switch err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, fmt.Errorf("another daemon has it (`fuser -v %s` shows which); stop that first", lock.Name())
	case err != nil:
		return nil, fmt.Errorf("hold %s: %w; its file system must support flock(2)", lock.Name(), err)
	}
	// One of a version without the file.
	if conn, err := net.Dial("unix", path); err == nil {
		return nil, errors.Join(errors.New("another daemon answers there; stop it first"), conn.Close())
	}
	switch info, err := os.Lstat(path); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().Type() != os.ModeSocket:
		return nil, fmt.Errorf("%s is there and is no socket; name another path", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// heldListener lets others take the socket once it is closed.
type heldListener struct {
	net.Listener
	lock *os.File
}

// Close removes the socket first.
func (l *heldListener) Close() error { return errors.Join(l.Listener.Close(), l.lock.Close()) }
