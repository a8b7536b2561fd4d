package overlay

import (
	"fmt"
	"strings"

	"github.com/culvertnet/culvert/topology"
)

// Render prints the state as a shell script of iproute2 and sysctl(8) commands for a bare host, in the order in which a
// plan makes the objects. Run in the host's namespace it leaves nothing for a plan to do. VM devices and an edge's uplink
// must exist.
func Render(s State) string {
	var b strings.Builder
	for _, c := range s.Commands() {
		fmt.Fprintln(&b, c)
	}
	return b.String()
}

// Commands returns the lines of [Render]: commands, and the comment that marks the rules' turn.
func (s State) Commands() []string {
	var steps []Step
	for place, objects := range s {
		for _, o := range objects {
			steps = append(steps, Step{Verb: Add, Place: place, Object: o})
		}
	}
	order(steps)
	var out []string
	before := true
	for _, step := range steps {
		if before && step.Object.stage() > stageRules {
			out = append(out, "# the rules come here, before anything brings traffic")
			before = false
		}
		out = append(out, step.Object.commands(step.Place)...)
	}
	return out
}

// in is a tool's call at the place.
func (p Place) in(tool, format string, args ...any) string {
	if p != HostPlace {
		tool += " -n " + string(p)
	}
	return tool + " " + fmt.Sprintf(format, args...)
}

func (o Namespace) commands(Place) []string {
	return []string{"ip netns add " + o.Name, Place(o.Name).in("ip", "link set lo up")}
}

func (o VXLAN) commands(at Place) []string {
	return []string{
		fmt.Sprintf("ip link add %s netns %s address %s mtu %d type vxlan id %d local %s dstport %d nolearning", o.Name, at, o.MAC, o.MTU, o.VNI, o.Local, o.Port),
		at.in("ip", "link set %s up", o.Name),
	}
}

func (o Uplink) commands(at Place) []string {
	return []string{
		fmt.Sprintf("ip link add %s address %s mtu %d type veth peer name %s netns %s address %s mtu %[3]d", o.Port, o.PortMAC, o.MTU, topology.UplinkDevice, at, o.MAC),
		HostPlace.in("ip", "link set %s up", o.Port),
		at.in("ip", "link set %s up", topology.UplinkDevice),
	}
}

// What is never desired has no commands.
func (Orphan) commands(Place) []string { return nil }
func (Stray) commands(Place) []string  { return nil }

func (o Port) commands(at Place) []string {
	return []string{
		HostPlace.in("ip", "link set %s netns %s", o.Device, at),
		at.in("ip", "link set %s address %s up", o.Device, o.MAC),
	}
}

func (o Address) commands(at Place) []string {
	flag := ""
	if o.Prefix.Addr().Is6() {
		flag = " nodad"
	}
	return []string{at.in("ip", "address replace %s dev %s%s", o.Prefix, o.Device, flag)}
}

func (o Neighbour) commands(at Place) []string {
	return []string{at.in("ip", "neigh replace %s lladdr %s dev %s nud permanent", o.IP, o.MAC, o.Device)}
}

func (o FDB) commands(at Place) []string {
	verb := "replace"
	if o.MAC.IsMulticast() {
		verb = "append"
	}
	return []string{at.in("bridge", "fdb "+verb+" %s dev %s dst %s self permanent", o.MAC, o.Device, o.Dst)}
}

func (o Route) commands(at Place) []string {
	_, hops, _ := strings.Cut(o.String(), o.Dst.String())
	return []string{at.in("ip", "route replace %s proto %d%s", o.Dst, Protocol, hops)}
}

func (o Fallback) commands(at Place) []string {
	return []string{at.in("ip", "route replace unreachable %s proto %d metric %d", o.Dst, Protocol, fallbackMetric)}
}

func (o Sysctl) commands(at Place) []string {
	enter := ""
	if at != HostPlace {
		enter = fmt.Sprintf("ip netns exec %s ", at)
	}
	return []string{fmt.Sprintf("%ssysctl -qw %s=%s", enter, o.Path, o.Value)}
}
