package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// parameters reads and writes the parameters of one namespace, which the calling thread must be in. The folder of the last one stays open,
// as /proc/sys/net/ipv4: whoever looks that name up walks past the folders of this name of all namespaces (proc_sys_compare), and a host
// has two parameters for each VM.
type parameters struct {
	folder string
	// fd is the folder's descriptor, if it has a name.
	fd int
}

// open opens a parameter by its path below /proc/sys.
func (p *parameters) open(path string, mode int) (int, error) {
	protocol, name, _ := strings.Cut(strings.TrimPrefix(path, "net/"), "/")
	folder := "/proc/sys/net/" + protocol
	if p.folder != folder {
		if err := p.Close(); err != nil {
			return 0, err
		}
		fd, err := unix.Open(folder, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return 0, err
		}
		p.folder, p.fd = folder, fd
	}
	return unix.Openat(p.fd, name, mode|unix.O_CLOEXEC, 0)
}

// read returns a parameter's value, with as few system calls as there can be.
func (p *parameters) read(path string) (string, error) {
	fd, err := p.open(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer func() { _ = unix.Close(fd) }()
	var text [128]byte // of numbers
	n, err := unix.Read(fd, text[:])
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(text[:n])), nil
}

// write sets a parameter.
func (p *parameters) write(path, value string) error {
	fd, err := p.open(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	_, err = unix.Write(fd, []byte(value))
	return errors.Join(err, unix.Close(fd))
}

// Close gives the folder back.
func (p *parameters) Close() error {
	if p.folder == "" {
		return nil
	}
	p.folder = ""
	return unix.Close(p.fd)
}

// sysctls reads kernel parameters of the namespace. One that is missing is left out: its device is on its way out, or the
// kernel lacks it and the write will tell.
func (h *handle) sysctls(wanted []Sysctl) (found []Object, err error) {
	err = h.ns.Do(func() error {
		for _, s := range wanted {
			value, err := h.parameters.read(s.Path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return fmt.Errorf("read %s: %w", s.Path, err)
			}
			s.Value = value
			found = append(found, s)
		}
		return nil
	})
	return found, err
}

func (o Sysctl) put(h *handle) error {
	return h.ns.Do(func() error { return h.parameters.write(o.Path, o.Value) })
}

// drop leaves a parameter as it is: it goes with its device or its namespace.
func (o Sysctl) drop(*handle) error { return nil }
