// Package health probes the backends of load balancers and decides which of them are healthy.
//
//	open := func() (*netns.NS, error) { return netns.Open("culvert-acme") }
//	target := health.Target{Address: netip.MustParseAddr("10.0.0.12"), Port: 8443, Check: check}
//	health.Watch(ctx, open, target, true, func(healthy bool, why error) {
//		log.Info("backend", "address", target.Address, "healthy", healthy, "why", why)
//	})
//
// Probes run where the VM runs, in the tenant's namespace: they take the VM's own route, and what they see is the VM, not
// the network between two hosts.
//
// Be aware:
//   - A watch begins with the verdict that it is given, which stays until probes have spoken against it: one that starts anew, with
//     a new version or after a crash, must neither empty every load balancer nor fill in backends that are sick.
//   - At most 200 probes are under way at once in a process. Others wait.
package health
