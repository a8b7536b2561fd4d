package script

import (
	"fmt"
	"net"
	"strconv"

	"github.com/moby/ipvs"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// balancerDamages are what ipvsadm can do to services, by what they change, with how many arguments they take. The first two of most name
// a service: tcp 45.86.152.50:443.
var balancerDamages = map[string]struct {
	args int
	do   func(h *ipvs.Handle, args []string) error
}{
	// ipvsadm --clear
	"services": {0, func(h *ipvs.Handle, _ []string) error { return h.Flush() }},
	// ipvsadm --delete-service
	"service": {2, func(h *ipvs.Handle, args []string) error { return onService(h, args, h.DelService) }},
	// ipvsadm --delete-server
	"destination": {3, func(h *ipvs.Handle, args []string) error {
		return onDestination(h, args, h.DelDestination)
	}},
	// ipvsadm --edit-server --weight
	"weight": {4, func(h *ipvs.Handle, args []string) error {
		weight, err := number(args[3])
		if err != nil {
			return err
		}
		return onDestination(h, args, func(s *ipvs.Service, d *ipvs.Destination) error {
			d.Weight = weight
			return h.UpdateDestination(s, d)
		})
	}},
	// ipvsadm --stop-daemon, for both
	"sync": {0, func(*ipvs.Handle, []string) error { return stopSync() }},
}

// damageBalancer does one of them in a node's namespace.
func damageBalancer(ns *netns.NS, what string, args []string) error {
	return ns.Do(func() error {
		h, err := ipvs.New("")
		if err != nil {
			return err
		}
		defer h.Close()
		return balancerDamages[what].do(h, args)
	})
}

// onService does something to the service that the first arguments name.
func onService(h *ipvs.Handle, args []string, do func(*ipvs.Service) error) error {
	protocol, ok := map[string]uint16{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "sctp": unix.IPPROTO_SCTP}[args[0]]
	if !ok {
		return mistakef("%q: want tcp, udp or sctp", args[0])
	}
	services, err := h.GetServices()
	if err != nil {
		return err
	}
	for _, s := range services {
		if s.Protocol == protocol && net.JoinHostPort(s.Address.String(), strconv.Itoa(int(s.Port))) == args[1] {
			return do(s)
		}
	}
	return fmt.Errorf("no service %s %s", args[0], args[1])
}

// onDestination does something to the destination of that service that has the third argument for its address.
func onDestination(h *ipvs.Handle, args []string, do func(*ipvs.Service, *ipvs.Destination) error) error {
	return onService(h, args, func(s *ipvs.Service) error {
		destinations, err := h.GetDestinations(s)
		if err != nil {
			return err
		}
		for _, d := range destinations {
			if d.Address.String() == args[2] {
				return do(s, d)
			}
		}
		return fmt.Errorf("service %s %s has no destination %s", args[0], args[1], args[2])
	})
}

// Generic netlink of IPVS (linux/ip_vs.h): moby/ipvs has no calls for its sync daemons.
const (
	cmdDelDaemon = 10 // IPVS_CMD_DEL_DAEMON
	attrDaemon   = 3  // IPVS_CMD_ATTR_DAEMON
	daemonState  = 1  // IPVS_DAEMON_ATTR_STATE: 1 is the master, 2 the backup
)

// stopSync stops the sync daemons of the calling thread's namespace.
func stopSync() error {
	family, err := netlink.GenlFamilyGet("IPVS")
	if err != nil {
		return fmt.Errorf("find IPVS in the kernel: %w", err)
	}
	for _, role := range []uint32{1, 2} {
		request := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_ACK)
		request.AddData(&nl.Genlmsg{Command: cmdDelDaemon, Version: 1})
		daemon := nl.NewRtAttr(attrDaemon|unix.NLA_F_NESTED, nil)
		daemon.AddRtAttr(daemonState, nl.Uint32Attr(role))
		request.AddData(daemon)
		if _, err := request.Execute(unix.NETLINK_GENERIC, 0); err != nil {
			return fmt.Errorf("stop sync daemon %d: %w", role, err)
		}
	}
	return nil
}
