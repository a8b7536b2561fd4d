package overlay

import (
	"errors"
	"fmt"

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
	kernel     *Kernel
	place      Place
	ns         *netns.NS
	parameters parameters
}

// Close gives its sockets back; the namespace is the caller's.
func (h *handle) Close() error {
	return errors.Join(h.Handle.Close(), h.parameters.Close())
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
