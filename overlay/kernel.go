package overlay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// Kernel reads and writes the overlay of one host.
type Kernel struct {
	host *netns.NS
	// prefix goes before the names of tenant namespaces: several hosts can live on one machine.
	prefix  string
	handles map[Place]*handle
}

// Open returns a Kernel for the host whose own namespace is given. Call Close when done; the namespace is the caller's.
func Open(host *netns.NS, prefix string) *Kernel {
	nl.EnableErrorMessageReporting = true
	return &Kernel{host: host, prefix: prefix, handles: make(map[Place]*handle)}
}

// handle is a netlink socket bound to one namespace.
type handle struct {
	*netlink.Handle
	kernel *Kernel
	place  Place
	ns     *netns.NS
}

// at returns the handle of a place; errors.Is(err, netns.ErrNotExist) if there is no such namespace.
func (k *Kernel) at(place Place) (*handle, error) {
	if h := k.handles[place]; h != nil {
		return h, nil
	}
	ns := k.host
	if place != HostPlace {
		var err error
		if ns, err = netns.Open(k.prefix + string(place)); err != nil {
			return nil, err
		}
	}
	h, err := netlink.NewHandleAt(vnetns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket in %s: %w", place, err)
	}
	k.handles[place] = &handle{Handle: h, kernel: k, place: place, ns: ns}
	return k.handles[place], nil
}

// forget closes the handle of a place whose namespace goes away.
func (k *Kernel) forget(place Place) error {
	h := k.handles[place]
	if h == nil {
		return nil
	}
	delete(k.handles, place)
	h.Close()
	if place == HostPlace {
		return nil
	}
	return h.ns.Close()
}

// Close gives all sockets back.
func (k *Kernel) Close() error {
	var errs []error
	for place := range k.handles {
		errs = append(errs, k.forget(place))
	}
	return errors.Join(errs...)
}

// Failure is a step that could not be done.
type Failure struct {
	Step Step
	Err  error
}

// Error names the step, the place and the reason.
func (f Failure) Error() string {
	where := "the host's namespace"
	if f.Step.Place != HostPlace {
		where = string(f.Step.Place)
	}
	return fmt.Sprintf("%s %s in %s: %v", f.Step.Verb, f.Step.Object, where, f.Err)
}

// Unwrap returns the reason.
func (f Failure) Unwrap() error { return f.Err }

// Apply carries out the steps in order. A step that fails does not stop the others; which ones failed is returned.
func (k *Kernel) Apply(steps []Step) []Failure {
	var failures []Failure
	for _, s := range steps {
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

// sysctl reads a kernel parameter of the namespace.
func (h *handle) sysctl(path string) (string, error) {
	var value []byte
	err := h.ns.Do(func() (err error) {
		value, err = os.ReadFile(filepath.Join("/proc/sys", path))
		return err
	})
	return strings.TrimSpace(string(value)), err
}

func (o Sysctl) put(h *handle) error {
	return h.ns.Do(func() error {
		return os.WriteFile(filepath.Join("/proc/sys", o.Path), []byte(o.Value), 0)
	})
}

// drop leaves a parameter as it is: it goes with its device or its namespace.
func (o Sysctl) drop(*handle) error { return nil }
