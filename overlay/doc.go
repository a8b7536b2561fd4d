// Package overlay keeps a host's tenant namespaces, VXLAN devices, neighbours, forwarding entries, routes and sysctls.
//
//	k := overlay.Open(ns, "")
//	observed, err := k.Observe(host.Underlay)
//	desired, err := overlay.Desired(host, observed.Facts)
//	plan := overlay.Diff(observed, desired)
//	failures := k.Apply(plan.Detach()) // then Prepare, the rules, Attach and Release
//
// Be aware:
//   - Whatever is in a namespace named culvert-* belongs to this package: routes, addresses, neighbours and forwarding
//     entries that others put there are removed. Devices are only lent: they are moved in and, when an interface or its
//     tenant leaves, moved back, down and with a random MAC. So are devices of others.
//   - In the host's namespace ours are the veth devices with the MAC of [topology.UplinkHostMAC], named cv<vni>, what is on
//     them, and the routes of protocol [Protocol]. The uplink's forwarding parameter stays set after a cleanup.
//   - Of routing rules those at our two priorities and at 0 are looked at, and no others; of tables main alone; of a device's
//     parameters those listed in a plan.
//   - A namespace that is removed by name ends a moment later. Until then the kernel may refuse a VXLAN device of its VNI.
//   - IPv6 must not be disabled in the kernel.
package overlay
