// Package topology says what one host must hold: it turns the fleet and the lock into the input of the kernel rooms.
//
//	host, err := topology.For(fleet, lock, "hv1")
//	for _, t := range host.Tenants {
//		fmt.Println(t.Namespace(), t.Device(), t.Self.IPv4, len(t.Peers))
//	}
//
// Be aware: the package is pure, it knows nothing of the kernel. Whatever is not said about a host in here (its underlay
// device, the MTU, which VM devices exist) is a fact that the kernel rooms observe.
package topology
