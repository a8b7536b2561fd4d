// Package trigger tells that something in the kernel may have changed, and in which namespace.
//
//	w, err := trigger.Open(host)
//	id, err := w.ID(tenant)
//	err = w.Run(ctx, func(e trigger.Event) { queue.Add(e.Space) })
//
// One socket per netlink protocol hears all namespaces that have an id in the host's (NETLINK_LISTEN_ALL_NSID), so that
// thousands of tenants cost four descriptors. Parameters below /proc/sys that have no notification are watched like files.
//
// Be aware:
//   - An event says where to look, nothing about what is there now. Who acts on what an event says acts on the past.
//   - Other processes need CAP_NET_BROADCAST to hear other namespaces than their own; root has it.
//   - An [Event] of kind [Lost] means that anything may have changed anywhere.
//   - IPVS tells nobody of its services: [ServiceDigests] compares them. Nothing tells of its sync daemon, of a namespace that is unmounted but whose file stays, of a parameter of a single device
//     without a notification (proxy_delay), or of a watched parameter that is written through another mount of /proc. A slow look at
//     everything must find these.
package trigger
