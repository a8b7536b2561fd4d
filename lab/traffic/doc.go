// Package traffic is a lab's users: servers and clients in a node's namespace that open TCP and UDP flows, move bytes that
// are checked, ping, inject crafted packets and capture what passes a device.
//
//	server, err := traffic.Serve(ns, traffic.TCP, netip.MustParseAddrPort("198.51.100.1:443"))
//	flow, err := traffic.Open(ctx, vm, traffic.TCP, server.Addr(), traffic.Options{})
//	err = flow.Exchange(ctx, 1<<20)   // both ways, every byte checked
//	seen, err := flow.Seen(ctx)       // our address and port as the server sees them: what NAT made of it
//	err = flow.Close()
//
// A flow stays open until it is closed, so it can show that a change of the fleet did not hurt it. Clients and servers of this
// package speak a small protocol of their own with each other; nothing else runs on the machine.
//
// Failures can be told apart: [ErrTimeout] (nothing came back), [ErrReset] (the other end refused or reset), [*ICMPError] (a
// router or host answered with an ICMP error, with its type and code).
//
// Be aware: sockets sit on descriptors from 2048 up where the process may have as many, so that thousands of flows leave the
// low ones to libraries that need them low.
package traffic
