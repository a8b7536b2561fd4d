package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// Options shape a lab; the zero value is a lab named "lab" with an underlay of 1550 bytes and VMs of 1500.
type Options struct {
	// Name is 1-20 lower-case letters and digits; namespaces begin with it and a dash.
	Name string `json:"name"`
	// UnderlayMTU is the MTU of the cables between hosts in bytes. VXLAN over IPv4 takes 50 of them, over IPv6 70.
	UnderlayMTU int `json:"underlayMTU"`
	// VMMTU is the MTU of the VMs' NICs in bytes.
	VMMTU int `json:"vmMTU"`
	// Unplugged are VMs that begin without a NIC; [Lab.Plug] gives them one.
	Unplugged []VM `json:"-"`
	// Converge stands for the hosts' agent in [Lab.Apply].
	Converge Converge `json:"-"`
	// Sick tells whether a host says of a backend that it runs that it fails its health check; nil is none.
	Sick func(host string, id topology.BackendID) bool `json:"-"`
}

func (o *Options) setDefaults() {
	if o.Name == "" {
		o.Name = "lab"
	}
	if o.UnderlayMTU == 0 {
		o.UnderlayMTU = 1550
	}
	if o.VMMTU == 0 {
		o.VMMTU = 1500
	}
}

// ErrNotUp is returned by [Open] for a lab that is not up.
var ErrNotUp = errors.New("lab is not up")

// Lab is a fleet's hardware that is up. Its methods may be called from several goroutines.
type Lab struct {
	prefix string
	opts   Options

	mu    sync.Mutex
	fleet *config.Fleet
	lock  *portmap.Lock
	state state
}

// Up builds the hardware of a fleet. A lab of that name must not be up. On failure nothing remains.
func Up(fleet *config.Fleet, opts Options) (*Lab, error) {
	opts.setDefaults()
	if !validName.MatchString(opts.Name) {
		return nil, fmt.Errorf("lab name %q: want 1-20 lower-case letters and digits", opts.Name)
	}
	l := newLab(opts)
	if err := errors.Join(checkNames(l.prefix, fleet), checkAddresses(fleet)); err != nil {
		return nil, err
	}
	have, err := netns.List(l.prefix)
	if err != nil {
		return nil, err
	}
	if len(have) > 0 {
		return nil, fmt.Errorf("lab %s is up or half-built, with %d namespaces: run `culvert lab down --name %s` first", opts.Name, len(have), opts.Name)
	}
	for _, vm := range opts.Unplugged {
		l.state.Unplugged[vm.String()] = true
	}
	if err := l.build(fleet); err != nil {
		return nil, errors.Join(fmt.Errorf("build lab %s: %w", opts.Name, err), Down(opts.Name))
	}
	return l, nil
}

func newLab(opts Options) *Lab {
	return &Lab{
		prefix: prefixOf(opts.Name), opts: opts, fleet: &config.Fleet{}, lock: portmap.NewLock(),
		state: state{Options: opts, Edges: map[string]byte{}, Unplugged: map[string]bool{}},
	}
}

func (l *Lab) build(fleet *config.Fleet) error {
	if err := os.MkdirAll(l.dir(), 0o755); err != nil {
		return fmt.Errorf("make the state folder: %w", err)
	}
	if err := l.buildUnderlay(); err != nil {
		return err
	}
	if err := l.buildInternet(); err != nil {
		return err
	}
	return l.Rewire(fleet)
}

// Open finds a lab that is up. Of opts, Name and Converge count; the rest is what the lab was built with.
// [ErrNotUp] says that there is none.
func Open(opts Options) (*Lab, error) {
	opts.setDefaults()
	l := newLab(opts)
	have, err := netns.List(l.prefix)
	if err != nil {
		return nil, err
	}
	err = l.load()
	if len(have) == 0 || errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: run `culvert lab up` first", opts.Name, ErrNotUp)
	}
	if err != nil {
		return nil, fmt.Errorf("open lab %s: %w", opts.Name, err)
	}
	converge := opts.Converge
	l.opts = l.state.Options
	l.opts.Converge = converge
	return l, nil
}

// Down removes the lab with every namespace that begins with its prefix, also those the agents made and what a crash left.
// A lab that is not there is success.
func Down(name string) error {
	if name == "" {
		name = "lab"
	}
	if !validName.MatchString(name) {
		return fmt.Errorf("lab name %q: want 1-20 lower-case letters and digits", name)
	}
	names, err := netns.List(prefixOf(name))
	errs := []error{err}
	for _, n := range names {
		errs = append(errs, netns.Remove(n))
	}
	errs = append(errs, os.RemoveAll(filepath.Join(StateDir, name)))
	return errors.Join(errs...)
}

// Down removes this lab; see the function [Down].
func (l *Lab) Down() error { return Down(l.opts.Name) }

// Fleet is the fleet that the hardware was last built for. It must not be changed.
func (l *Lab) Fleet() *config.Fleet {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fleet
}

// Lock is the lock that was last applied, an empty one before that. It must not be changed.
func (l *Lab) Lock() *portmap.Lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lock
}

// Open opens a node's namespace; see [Lab.Namespace] for names. The caller closes it.
func (l *Lab) Open(nodeName string) (*netns.NS, error) {
	name, err := l.Namespace(nodeName)
	if err != nil {
		return nil, err
	}
	return netns.Open(name)
}
