package ipvs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/moby/ipvs"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// ErrNoIPVS says that a load balancer cannot run on this kernel.
var ErrNoIPVS = errors.New("this kernel has no IPVS with Maglev: load the modules ip_vs and ip_vs_mh (a distribution's own kernel has them), or take the role loadbalancer from the host")

// Load makes the kernel load IPVS where it is a module; [ErrNoIPVS] if the kernel has none.
func Load() error {
	g, err := dialGeneric(nil)
	if err != nil {
		return err
	}
	return g.close()
}

// folder holds the parameters; it is in every namespace as soon as IPVS is loaded.
const folder = "/proc/sys/net/ipv4/vs/"

// Observe reads what the namespace holds. It loads nothing: where IPVS is not loaded, the namespace holds nothing of it.
func Observe(ns *netns.NS) (State, error) {
	var s State
	loaded, groups := false, map[string]bool{}
	err := ns.Do(func() (err error) {
		if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		loaded = true
		if groups, err = listening(); err != nil {
			return err
		}
		s.Settings, err = readSettings()
		return err
	})
	if err != nil || !loaded {
		return State{}, err
	}
	c, err := dial(ns)
	if err != nil {
		return State{}, err
	}
	defer c.close()
	if s.Services, err = c.services(); err != nil {
		return State{}, fmt.Errorf("observe IPVS in %s: %w", ns.Name(), err)
	}
	if s.Daemons, err = c.generic.daemons(); err != nil {
		return State{}, fmt.Errorf("observe IPVS in %s: %w", ns.Name(), err)
	}
	for i := range s.Daemons {
		s.Daemons[i].deaf = !groups[s.Daemons[i].Device]
	}
	return s.sorted(), nil
}

// readSettings reads the parameters that we may set, in the calling thread's namespace. One that this kernel lacks is left
// out: writing it will tell.
func readSettings() ([]Setting, error) {
	var out []Setting
	for _, s := range append(settings(), syncSettings()...) {
		value, err := os.ReadFile(folder + s.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, Setting{s.Name, strings.Join(strings.Fields(string(value)), " ")})
	}
	return out, nil
}

// conn speaks to the IPVS of one namespace.
type conn struct {
	ns      *netns.NS
	handle  *ipvs.Handle
	generic *generic
}

// quiet keeps the library's words about modprobe from the program's output: by the time it runs it, IPVS is there.
var quiet = sync.OnceFunc(func() { logrus.SetOutput(io.Discard) })

func dial(ns *netns.NS) (*conn, error) {
	// First: the library looks for IPVS once in a process, and never again if it was not there.
	g, err := dialGeneric(ns)
	if err != nil {
		return nil, err
	}
	quiet()
	handle, err := ipvs.New(fmt.Sprintf("/proc/self/fd/%d", ns.Fd()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open an IPVS socket in %s: %w", ns.Name(), err), g.close())
	}
	return &conn{ns, handle, g}, nil
}

func (c *conn) close() {
	c.handle.Close()
	_ = c.generic.close()
}

// Failure is a step that could not be done.
type Failure struct {
	Step Step
	Err  error
}

// Error names the step and the reason.
func (f Failure) Error() string { return fmt.Sprintf("ipvs %s: %v", f.Step, f.Err) }

// Unwrap returns the reason.
func (f Failure) Unwrap() error { return f.Err }

// Announce carries out of the plan what all nodes should have done before the first of them changes its destinations: from
// then on they ask each other about flows that they do not know. Apply does without, at the risk of young flows that change nodes.
func Announce(ns *netns.NS, p Plan) error { return apply(ns, p.announcement()) }

// Apply carries out the plan, except for what [Settle] does later. A service with a step that failed is left as it is then, the
// others go on; the error joins all failures, each a [Failure].
func Apply(ns *netns.NS, p Plan) error { return apply(ns, p.Steps) }

// Settle carries out the end of the plan. It is due [SettleTime] after [Apply]; should nobody come to it, the next plan has
// it again.
func Settle(ns *netns.NS, p Plan) error { return apply(ns, p.Later) }

func apply(ns *netns.NS, steps []Step) error {
	if len(steps) == 0 {
		return nil
	}
	c, err := dial(ns)
	if err != nil {
		return err
	}
	defer c.close()
	var failures []error
	failed := make(map[Name]bool)
	for _, s := range steps {
		if s.Service != nil && failed[s.Service.Name] {
			continue
		}
		if err := c.do(s); err != nil {
			failures = append(failures, Failure{s, err})
			if s.Service != nil {
				failed[s.Service.Name] = true
			}
		}
	}
	return errors.Join(failures...)
}

func (c *conn) do(s Step) error {
	switch {
	case s.Setting != nil:
		return c.ns.Do(func() error { return os.WriteFile(folder+s.Setting.Name, []byte(s.Setting.Value), 0) })
	case s.Daemon != nil && s.Verb == Remove:
		return c.generic.stop(*s.Daemon)
	case s.Daemon != nil:
		return c.generic.start(*s.Daemon)
	case s.Destination != nil:
		return c.destination(s.Verb, *s.Service, *s.Destination)
	default:
		err := c.service(s.Verb, *s.Service)
		if errors.Is(err, unix.ENOENT) && s.Verb != Remove {
			return fmt.Errorf("scheduler %s: %w", s.Service.Scheduler, ErrNoIPVS) // ip_vs_scheduler_get
		}
		return err
	}
}
