// Package lab builds the hardware of a whole fleet out of network namespaces on one machine: the underlay, the hosts, the
// VMs, and an outside world behind the edges. What a real host gets from its agent, a lab's host gets from a [Converge].
//
//	l, err := lab.Up(fleet, lab.Options{Converge: agent})
//	defer l.Down()
//	err = l.Apply(ctx, fleet, lock)
//	code, err := l.Exec("hv1", []string{"ip", "link"}, nil, os.Stdout, os.Stderr)
//	err = lab.Down("lab")
//
// The namespaces of a lab named "lab", as `ip netns` shows them:
//
//	lab-underlay        the fabric between the hosts: one routed veth to each, no broadcast domain
//	lab-hv1             a host; underlay0 carries its underlay address, VM devices appear here
//	lab-hv1-culvert-acme  a tenant's namespace on that host, made by its agent
//	lab-edge1           a host with the role edge; its uplink leads to the internet
//	lab-internet        a router: public addresses by ECMP over the edges that are up (hash on addresses only)
//	lab-server          outside server: 198.51.100.1-4, 2001:db8:ffff::1-4
//	lab-narrow          a router behind a link with MTU 1300, so both sides' senders learn it from a router
//	lab-far             outside server behind narrow: 198.51.100.65-68, 2001:db8:ffff::65-68
//	lab-vm-acme-vm-a    a VM: eth0 with its addresses, default routes 169.254.1.1 and fe80::1
//
// Be aware: everything is veth pairs, so there is one clock, one kernel and no loss. A lab's name is a prefix: [Down] removes
// every namespace that begins with it and a dash. Routers do not rate-limit ICMP errors, which real ones do.
package lab
