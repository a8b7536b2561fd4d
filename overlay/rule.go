package overlay

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/topology"
)

// LocalFor are the routing rules of a family that keep the namespace's own addresses from its VMs: local are they for what comes by
// other devices. On a node that runs VMs, those shall reach the tenant's load balancers like all the world, by an edge and with a
// public address. What they say to their host itself arrives as elsewhere: answers to its health checks, neighbour discovery.
type LocalFor struct {
	IPv6 bool
	// By are the devices, To the destinations that are local by all devices, each sorted and separated by blanks.
	By, To string
	// all is true if the kernel's own rule is there, which comes first and is for everybody.
	all bool
}

func (o LocalFor) String() string {
	text := "rule local addresses of " + o.name() + " by " + o.By + ", to " + o.To + " by all"
	if o.all {
		text += ", and all by all"
	}
	return text
}
func (o LocalFor) key() key       { return key{kind: kindRule, name: o.name()} }
func (o LocalFor) device() string { return "" }
func (o LocalFor) stage() stage   { return stageRoute }

func (o LocalFor) name() string {
	if o.IPv6 {
		return "IPv6"
	}
	return "IPv4"
}

func (o LocalFor) family() int {
	if o.IPv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// Priorities of our rules. The kernel's own for local addresses has 0, that for the main table 32766 (net/ipv4/fib_rules.c).
const (
	priorityDevice = 100
	priorityScope  = 101
)

// nearby are what VMs say to their gateway itself: neighbour discovery has link-local and multicast destinations.
var nearby = []netip.Prefix{netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8")}

// rules are ours, in the library's words.
func (o LocalFor) rules() []*netlink.Rule {
	var out []*netlink.Rule
	add := func(priority int, set func(*netlink.Rule)) {
		r := o.everybody()
		r.Priority = priority
		set(r)
		out = append(out, r)
	}
	for _, device := range strings.Fields(o.By) {
		add(priorityDevice, func(r *netlink.Rule) { r.IifName = device })
	}
	for _, p := range o.to() {
		add(priorityScope, func(r *netlink.Rule) { r.Dst = ipNet(p) })
	}
	return out
}

// to are the destinations.
func (o LocalFor) to() []netip.Prefix {
	var out []netip.Prefix
	for _, text := range strings.Fields(o.To) {
		if p, err := netip.ParsePrefix(text); err == nil { // of a rule that was observed, it may be anything
			out = append(out, p)
		}
	}
	return out
}

// everybody is the kernel's own rule.
func (o LocalFor) everybody() *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Table, r.Priority = o.family(), unix.RT_TABLE_LOCAL, 0
	return r
}

func (o LocalFor) put(h *handle) error {
	if err := o.removeOurs(h); err != nil {
		return err
	}
	for _, r := range o.rules() {
		if err := h.RuleAdd(r); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	return gone(h.RuleDel(o.everybody()))
}

func (o LocalFor) drop(h *handle) error {
	if err := h.RuleAdd(o.everybody()); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return o.removeOurs(h)
}

// removeOurs removes the rules that have our priorities, with the kernel's own there meanwhile.
func (o LocalFor) removeOurs(h *handle) error {
	list, err := h.RuleList(o.family())
	if err != nil {
		return err
	}
	ours := slices.DeleteFunc(list, func(r netlink.Rule) bool { return r.Priority != priorityDevice && r.Priority != priorityScope })
	if len(ours) == 0 {
		return nil
	}
	if err := h.RuleAdd(o.everybody()); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	for _, r := range ours {
		r.Family = o.family()
		if err := gone(h.RuleDel(&r)); err != nil {
			return err
		}
	}
	return nil
}

func (o LocalFor) commands(at Place) []string {
	family := "-4"
	if o.IPv6 {
		family = "-6"
	}
	var out []string
	for _, device := range strings.Fields(o.By) {
		out = append(out, at.in("ip", "%s rule add priority %d iif %s lookup local", family, priorityDevice, device))
	}
	for _, p := range o.to() {
		out = append(out, at.in("ip", "%s rule add priority %d to %s lookup local", family, priorityScope, p))
	}
	return append(out, at.in("ip", "%s rule del priority 0", family))
}

// localFor are the rules of a node that runs VMs.
func (b *builder) localFor() {
	by := []string{"lo", b.tenant.Device()}
	if b.tenant.Edge {
		by = append(by, topology.UplinkDevice)
	}
	b.add(
		LocalFor{By: sorted(by), To: sorted([]string{host(b.tenant.Self.IPv4).String()})},
		LocalFor{IPv6: true, By: sorted(by), To: sorted(append(texts(nearby), host(b.tenant.Self.IPv6).String()))},
	)
}

func sorted(words []string) string { return strings.Join(slices.Sorted(slices.Values(words)), " ") }

func texts(prefixes []netip.Prefix) []string {
	out := make([]string, len(prefixes))
	for i, p := range prefixes {
		out[i] = p.String()
	}
	return out
}

// rules reads the routing rules of a tenant's namespace; those that the kernel begins with are nothing.
func (o *observer) rules() {
	for _, six := range []bool{false, true} {
		if o.err != nil {
			return
		}
		l := LocalFor{IPv6: six}
		list, err := again(func() ([]netlink.Rule, error) { return o.RuleList(l.family()) })
		if err != nil {
			o.err = fmt.Errorf("list routing rules: %w", err)
			return
		}
		var by, to []string
		for _, r := range list {
			switch {
			case r.Priority == priorityDevice && r.IifName != "" && r.Table == unix.RT_TABLE_LOCAL:
				by = append(by, r.IifName)
			case r.Priority == priorityScope && r.Dst != nil && r.Table == unix.RT_TABLE_LOCAL:
				to = append(to, r.Dst.String())
			case r.Priority <= 0:
				l.all = true
			}
		}
		if l.all && len(by) == 0 && len(to) == 0 {
			continue
		}
		l.By, l.To = sorted(by), sorted(to)
		o.add(l)
	}
}
