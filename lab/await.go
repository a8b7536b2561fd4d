package lab

import (
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	vishns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// patience bounds how long the kernel may take to bring a device into service, on a slow machine.
const patience = 10 * time.Second

// await waits until a condition of the node's devices holds. Kernel notifications are the trigger to look again, never the
// source of what is looked at.
func (n *node) await(what string, holds func() (bool, error)) error {
	s, err := nl.SubscribeAt(vishns.NsHandle(n.ns.Fd()), vishns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return fmt.Errorf("wait for %s in %s: %w", what, n.ns.Name(), err)
	}
	defer s.Close()
	for end := time.Now().Add(patience); ; {
		ok, err := holds()
		if err != nil {
			return fmt.Errorf("wait for %s in %s: %w", what, n.ns.Name(), err)
		}
		left := time.Until(end)
		if ok {
			return nil
		}
		if left <= 0 {
			return fmt.Errorf("wait for %s in %s: not within %s", what, n.ns.Name(), patience)
		}
		timeout := unix.NsecToTimeval(left.Nanoseconds())
		if err := s.SetReceiveTimeout(&timeout); err != nil {
			return fmt.Errorf("wait for %s in %s: %w", what, n.ns.Name(), err)
		}
		if _, _, err := s.Receive(); err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENOBUFS) {
			return fmt.Errorf("wait for %s in %s: %w", what, n.ns.Name(), err)
		}
	}
}

// inService waits until a device that has its carrier takes packets and its IPv6 addresses are answered for. The kernel does
// both in the background after the carrier came (net/core/link_watch.c, addrconf_dad_begin in net/ipv6/addrconf.c); what is
// sent before is dropped.
func (e end) inService() error {
	return e.node.await(e.device+" to come into service", func() (bool, error) {
		link, err := e.node.LinkByName(e.device)
		if err != nil || link.Attrs().OperState != netlink.OperUp {
			return false, err
		}
		addrs, err := e.node.AddrList(link, netlink.FAMILY_V6)
		for _, a := range addrs {
			if a.Flags&unix.IFA_F_TENTATIVE != 0 {
				return false, err
			}
		}
		return true, err
	})
}
