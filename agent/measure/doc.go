// Package measure reads what the tenants of a host use: ports of the NAT gateway, conntrack entries, load balancers, counters.
//
//	meter := measure.New(measure.Options{Host: ns, Fleet: d.Fleet})
//	reading, err := meter.Read(ctx)
//	for _, t := range reading.Tenants { fmt.Println(t.Name, t.Entries) }
//
// A reading is a dump of all flows, so it is kept for a while ([Every]), all who ask get the same one, and who asks while one is under way waits for it.
// After one that took long the next is not begun before [Share] times as long: measuring takes a twentieth of a processor at most.
//
// Be aware:
//   - Only a claimant's own host knows which of its ports are used: no other has its conntrack entries.
//   - A port is in use as long as conntrack has an entry for it, also minutes after the last packet.
//   - Counters are the kernel's, and begin at 0 when their table, or the namespace, is made anew.
//   - What cannot be read of one tenant is that tenant's error, and keeps the others from nothing.
package measure
