package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// Kernel reads and writes the overlay of one host. It is not for concurrent use.
type Kernel struct {
	host *netns.NS
	// prefix goes before the names of tenant namespaces: several hosts can live on one machine.
	prefix string
	// root is the host's handle, tenant that of the namespace in use. There is no more than one of those at a time, so
	// that thousands of tenants cost two descriptors, and none between calls, so that a namespace that somebody removes
	// is not kept alive nor taken for the one that has its name next.
	root, tenant *handle
	progress     func()
}

// OnProgress has f called for each namespace that is read and for each step that is taken: a host has thousands.
func (k *Kernel) OnProgress(f func()) { k.progress = f }

// Open returns a Kernel for the host whose own namespace is given. Call Close when done; the namespace is the caller's.
func Open(host *netns.NS, prefix string) *Kernel {
	nl.EnableErrorMessageReporting = true
	return &Kernel{host: host, prefix: prefix, progress: func() {}}
}

// handle is a netlink socket bound to one namespace.
type handle struct {
	*netlink.Handle
	kernel *Kernel
	place  Place
	ns     *netns.NS
}

// at returns the handle of a place; errors.Is(err, netns.ErrNotExist) if there is no such namespace. A tenant's handle is
// valid until at is called for another tenant.
func (k *Kernel) at(place Place) (*handle, error) {
	if place == HostPlace {
		if k.root == nil {
			h, err := k.handle(place, k.host)
			if err != nil {
				return nil, err
			}
			k.root = h
		}
		return k.root, nil
	}
	if k.tenant != nil && k.tenant.place == place {
		return k.tenant, nil
	}
	if err := k.leave(); err != nil {
		return nil, err
	}
	ns, err := netns.Open(k.prefix + string(place))
	if err != nil {
		return nil, err
	}
	h, err := k.handle(place, ns)
	if err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	k.tenant = h
	return h, nil
}

func (k *Kernel) handle(place Place, ns *netns.NS) (*handle, error) {
	h, err := netlink.NewHandleAt(vnetns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket in %s: %w", place.name(), err)
	}
	return &handle{Handle: h, kernel: k, place: place, ns: ns}, nil
}

// leave closes the tenant's handle.
func (k *Kernel) leave() error {
	h := k.tenant
	if h == nil {
		return nil
	}
	k.tenant = nil
	return errors.Join(h.Close(), h.ns.Close())
}

// Close gives all sockets back.
func (k *Kernel) Close() error {
	err := k.leave()
	if k.root != nil {
		err = errors.Join(err, k.root.Close())
		k.root = nil
	}
	return err
}

// Failure is a step that could not be done.
type Failure struct {
	Step Step
	Err  error
}

// Error names the step, the place and the reason.
func (f Failure) Error() string {
	return fmt.Sprintf("%s %s in %s: %v", f.Step.Verb, f.Step.Object, f.Step.Place.name(), f.Err)
}

// Unwrap returns the reason.
func (f Failure) Unwrap() error { return f.Err }

// Apply carries out the steps in order. A step that fails does not stop the others; which ones failed is returned.
func (k *Kernel) Apply(steps []Step) []Failure {
	defer func() { _ = k.leave() }()
	var failures []Failure
	for _, s := range steps {
		k.progress()
		if err := k.apply(s); err != nil {
			failures = append(failures, Failure{s, err})
		}
	}
	return failures
}

// NS opens a tenant's namespace; errors.Is(err, netns.ErrNotExist) if there is none.
func (k *Kernel) NS(place Place) (*netns.NS, error) { return netns.Open(k.prefix + string(place)) }

func (k *Kernel) apply(s Step) error {
	h, err := k.at(s.Place)
	if err != nil {
		// What is to be removed from a namespace that is gone, is gone.
		if s.Verb == Remove && errors.Is(err, netns.ErrNotExist) {
			return nil
		}
		return err
	}
	if s.Verb == Remove {
		return s.Object.drop(h)
	}
	return s.Object.put(h)
}

// sysctls reads kernel parameters of the namespace. One that is missing is left out: its device is on its way out, or the
// kernel lacks it and the write will tell.
func (h *handle) sysctls(wanted []Sysctl) (found []Object, err error) {
	err = h.ns.Do(func() error {
		for _, s := range wanted {
			value, err := readSysctl("/proc/sys/" + s.Path)
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

// readSysctl reads a parameter with as few system calls as there can be: a host has two for each VM.
func readSysctl(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
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

func (o Sysctl) put(h *handle) error {
	return h.ns.Do(func() error {
		return os.WriteFile(filepath.Join("/proc/sys", o.Path), []byte(o.Value), 0)
	})
}

// drop leaves a parameter as it is: it goes with its device or its namespace.
func (o Sysctl) drop(*handle) error { return nil }
