// Package overlay keeps a host's tenant namespaces, VXLAN devices, neighbours, forwarding entries, routes and sysctls.
//
//	k, err := overlay.Open(netns.Current, "")
//	observed, err := k.Observe()
//	plan := overlay.Diff(observed, overlay.Desired(host, observed.Facts))
//	fmt.Print(plan)
//	err = k.Apply(plan.Before()) // then the rules, then plan.After()
//
// Be aware: whatever is in a namespace named culvert-* belongs to this package, except that VM devices are only lent: they
// are moved in and, when an interface or its tenant leaves, moved back. In the host's namespace ours are the veth devices
// named cv<vni> and the routes of protocol [Protocol]. IPv6 must not be disabled in the kernel.
package overlay
