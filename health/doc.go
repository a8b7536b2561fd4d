// Package health probes the backends of load balancers and decides which of them are healthy.
//
//	ns, err := netns.Open("culvert-acme")
//	target := health.Target{Address: netip.MustParseAddr("10.0.0.12"), Port: 8443, Check: check}
//	err = health.Watch(ctx, ns, target, func(healthy bool, why error) {
//		log.Info("backend", "address", target.Address, "healthy", healthy, "why", why)
//	})
//
// Probes run where the VM runs, in the tenant's namespace: they take the VM's own route, and what they see is the VM, not
// the network between two hosts.
//
// Be aware: a backend is taken for healthy until probes have failed. A watch that starts anew, with a new version or after
// a crash, must not empty every load balancer.
package health
