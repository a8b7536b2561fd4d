package script

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	vishns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// damage does to a node what a careless hand or another program might.
func (s *stage) damage(c call) error {
	const usage = "usage: damage NODE rules | dormant | link DEVICE | down DEVICE | address PREFIX | neighbour ADDR | entry MAC | route PREFIX | rule PRIORITY | " +
		"sysctl PATH VALUE | services | service PROTOCOL ADDR:PORT | destination PROTOCOL ADDR:PORT ADDR | weight PROTOCOL ADDR:PORT ADDR N | sync | name"
	if len(c.args) < 2 {
		return mistakef(usage)
	}
	node, what, args := c.args[0], c.args[1], c.args[2:]
	s.pulse.start()
	s.damaged = moment{time.Now(), s.pulse.stood()}
	if what == "name" {
		name, err := s.lab.Namespace(node)
		if err != nil {
			return mistake{err}
		}
		return netns.Remove(name)
	}
	return s.in(node, func(ns *netns.NS) error {
		switch {
		case what == "rules" && len(args) == 0:
			return flushRules(ns)
		case what == "dormant" && len(args) == 0:
			return switchOff(ns)
		case balancerDamages[what].do != nil && len(args) == balancerDamages[what].args:
			return damageBalancer(ns, what, args)
		case what == "sysctl" && len(args) == 2:
			return ns.Do(func() error {
				return os.WriteFile(filepath.Join("/proc/sys", filepath.FromSlash(args[0])), []byte(args[1]), 0)
			})
		case len(args) == 1 && damages[what] != nil:
			h, err := netlink.NewHandleAt(vishns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
			if err != nil {
				return fmt.Errorf("open netlink in %s: %w", ns.Name(), err)
			}
			defer h.Close()
			return damages[what](h, args[0])
		}
		return mistakef(usage)
	})
}

// flushRules removes all tables of nftables, like `nft flush ruleset`.
func flushRules(ns *netns.NS) error {
	conn, err := nftables.New(nftables.WithNetNSFd(ns.Fd()))
	if err != nil {
		return err
	}
	conn.FlushRuleset()
	return conn.Flush()
}

// switchOff makes all tables of nftables dormant, like `nft add table ip NAME '{ flags dormant; }'`.
func switchOff(ns *netns.NS) error {
	conn, err := nftables.New(nftables.WithNetNSFd(ns.Fd()))
	if err != nil {
		return err
	}
	tables, err := conn.ListTables()
	if err != nil {
		return err
	}
	for _, t := range tables {
		t.Flags |= nftables.TableFlagDormant
		conn.AddTable(t)
	}
	return conn.Flush()
}

// damages are what netlink can take away, by what they take.
var damages = map[string]func(h *netlink.Handle, arg string) error{
	"link":      func(h *netlink.Handle, device string) error { return onLink(h, device, h.LinkDel) },
	"down":      func(h *netlink.Handle, device string) error { return onLink(h, device, h.LinkSetDown) },
	"address":   dropAddress,
	"neighbour": func(h *netlink.Handle, a string) error { return dropNeighbour(h, a, unix.AF_INET, unix.AF_INET6) },
	"entry":     func(h *netlink.Handle, mac string) error { return dropNeighbour(h, mac, unix.AF_BRIDGE) },
	"route":     dropRoute,
	"rule":      dropRules,
}

func onLink(h *netlink.Handle, device string, do func(netlink.Link) error) error {
	link, err := h.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %s: %w", device, err)
	}
	return do(link)
}

func dropAddress(h *netlink.Handle, prefix string) error {
	addresses, err := h.AddrList(nil, unix.AF_UNSPEC)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		if a.IPNet.String() == prefix {
			return h.AddrDel(nil, &a)
		}
	}
	return fmt.Errorf("no address %s", prefix)
}

// dropNeighbour deletes the neighbour or forwarding entry that has the text for its address.
func dropNeighbour(h *netlink.Handle, text string, families ...int) error {
	for _, f := range families {
		list, err := h.NeighList(0, f)
		if err != nil {
			return err
		}
		for _, n := range list {
			if f == unix.AF_BRIDGE && n.HardwareAddr.String() == text || f != unix.AF_BRIDGE && n.IP.String() == text {
				return h.NeighDel(&n)
			}
		}
	}
	return fmt.Errorf("no entry of %s", text)
}

func dropRoute(h *netlink.Handle, prefix string) error {
	routes, err := h.RouteList(nil, unix.AF_UNSPEC)
	if err != nil {
		return err
	}
	for _, r := range routes {
		if r.Dst != nil && r.Dst.String() == prefix {
			return h.RouteDel(&r)
		}
	}
	return fmt.Errorf("no route to %s", prefix)
}

// dropRules deletes the routing rules of both families that have the priority; the kernel's own for local addresses has 0.
func dropRules(h *netlink.Handle, text string) error {
	priority, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return mistakef("%q is no priority of routing rules; 0, for instance, is local addresses'", text)
	}
	found := false
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		rules, err := h.RuleList(family)
		if err != nil {
			return err
		}
		for _, r := range rules {
			if max(r.Priority, 0) != int(priority) { // 0 is not in the kernel's messages, which the library tells as -1
				continue
			}
			found = true
			r.Family = family
			if err := h.RuleDel(&r); err != nil {
				return err
			}
		}
	}
	if !found {
		return fmt.Errorf("no routing rule of priority %d", priority)
	}
	return nil
}
