package ipvs

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/ipvs/maglev"
)

// State is all of IPVS in one namespace.
type State struct {
	// Services are sorted by address, protocol and port.
	Services []Service
	// Daemons of the connection sync: none, or a master and a backup.
	Daemons []Daemon
	// Settings are kernel parameters.
	Settings []Setting
}

// Empty reports whether there is nothing that needs IPVS.
func (s State) Empty() bool { return len(s.Services) == 0 && len(s.Daemons) == 0 }

// setting returns the value of a parameter, empty if it is not there.
func (s State) setting(name string) string {
	for _, p := range s.Settings {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// Name is what tells services apart.
type Name struct {
	Protocol config.Protocol
	Address  netip.AddrPort
	// mark is set instead for a service of somebody else that is found by a firewall mark, family its address family.
	mark   uint32
	family uint16
}

// String prints the name as "tcp 45.86.152.23:443".
func (n Name) String() string {
	if n.mark != 0 {
		return fmt.Sprintf("mark %d family %d", n.mark, n.family)
	}
	return fmt.Sprintf("%s %s", n.Protocol, n.Address)
}

func compareNames(a, b Name) int {
	return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.mark, b.mark), cmp.Compare(a.family, b.family))
}

// Service is a listener: an address, a protocol and a port.
type Service struct {
	Name
	// Scheduler is the kernel's name of it; we want mh.
	Scheduler string
	Flags     maglev.Flags
	// Destinations are in the order in which they were added, oldest first.
	Destinations []Destination
	// flaw is what only somebody else's service has.
	flaw string
}

// scheduling is how the service chooses, in ipvsadm's words.
func (s Service) scheduling() string {
	text := s.Scheduler
	for _, f := range []struct {
		flag maglev.Flags
		word string
	}{{maglev.Fallback, "mh-fallback"}, {maglev.Port, "mh-port"}} {
		if s.Flags&f.flag != 0 {
			text += " " + f.word
		}
	}
	if rest := s.Flags &^ (maglev.Fallback | maglev.Port); rest != 0 {
		text += fmt.Sprintf(" flags %#x", uint32(rest))
	}
	if s.flaw != "" {
		text += " " + s.flaw
	}
	return text
}

// Table returns the table by which a kernel with the usual size chooses among the destinations, indexed as they are.
func (s Service) Table() *maglev.Table {
	backends := make([]maglev.Backend, len(s.Destinations))
	for i, d := range s.Destinations {
		backends[i] = maglev.Backend{Address: d.Address.Addr(), Port: d.Address.Port(), Weight: d.Weight, LastWeight: d.Nominal}
	}
	return maglev.New(backends, maglev.KernelSize)
}

// Destination is where a service sends packets to, by direct routing.
type Destination struct {
	Address netip.AddrPort
	// Weight is the present weight, 0-65535: 0 gives the destination no new flows.
	Weight int
	// Nominal is the last weight other than 0, which its share of the scheduler's table comes from. The kernel has it as
	// last_weight and does not show it, so it is kept in the lower threshold (ip_vs_dest.l_threshold) as well, which has no effect
	// below an upper threshold of [unreached].
	Nominal int
	// flaw is what only somebody else's destination has.
	flaw string
}

// unreached is a number of connections that no destination ever has (ip_vs_dest.u_threshold), the largest that every kernel takes.
const unreached = 1<<31 - 1

// String prints the destination in ipvsadm's words.
func (d Destination) String() string {
	text := fmt.Sprintf("%s route weight %d", d.Address, d.Weight)
	if d.Weight != d.Nominal {
		text += fmt.Sprintf(" of %d", d.Nominal)
	}
	if d.flaw != "" {
		text += " " + d.flaw
	}
	return text
}

// Daemon is one of the kernel's threads that sync connections between nodes.
type Daemon struct {
	Role Role
	// Device is where the messages go out or come in, by multicast.
	Device string
	// ID is 1-255; daemons of different ids ignore each other.
	ID uint8
	// deaf is a daemon that has lost its device: one of that name was made anew.
	deaf bool
}

// Role is what a daemon does.
type Role string

// The roles. A node that is active has both.
const (
	Master Role = "master" // tells the others
	Backup Role = "backup" // listens to the others
)

// String prints the daemon.
func (d Daemon) String() string {
	text := fmt.Sprintf("sync %s %s id %d", d.Role, d.Device, d.ID)
	if d.deaf {
		text += " on a device that is gone"
	}
	return text
}

// Forget returns the state without what hangs on a device that is about to be made anew.
func Forget(s State, device string) State {
	s.Daemons = slices.Clone(s.Daemons)
	for i, d := range s.Daemons {
		s.Daemons[i].deaf = d.deaf || d.Device == device
	}
	return s
}

// Setting is a parameter below net.ipv4.vs.
type Setting struct{ Name, Value string }

// String prints the parameter as sysctl(8) does.
func (s Setting) String() string { return "net.ipv4.vs." + s.Name + "=" + s.Value }

// String prints the state, a line for each object.
func (s State) String() string {
	var b strings.Builder
	for _, d := range s.Daemons {
		fmt.Fprintln(&b, d)
	}
	for _, v := range s.Services {
		fmt.Fprintf(&b, "%s %s\n", v.Name, v.scheduling())
		for _, d := range v.Destinations {
			fmt.Fprintf(&b, "%s -> %s\n", v.Name, d)
		}
	}
	for _, p := range s.Settings {
		fmt.Fprintln(&b, p)
	}
	return b.String()
}

// sorted puts the parts that have no order of their own into one.
func (s State) sorted() State {
	slices.SortFunc(s.Services, func(a, b Service) int { return compareNames(a.Name, b.Name) })
	slices.SortFunc(s.Daemons, func(a, b Daemon) int { return cmp.Compare(a.Role, b.Role) })
	slices.SortFunc(s.Settings, func(a, b Setting) int { return cmp.Compare(a.Name, b.Name) })
	return s
}
