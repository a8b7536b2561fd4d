// Package daemon keeps a host converged: it plans and applies whenever the fleet changes, the kernel says that somebody else
// changed something, a device comes that was waited for, or time is up for a look or another try.
//
//	d := daemon.New(daemon.Options{Host: ns, Name: "hv1", Source: source.NewFile("fleet.yaml", "fleet.lock.yaml")})
//	err := d.Run(ctx)
//	fmt.Println(d.Status().Generation)
//
// It is a list of tasks in one group. One of them, the keeper, owns the agent and all state; the others only queue work for
// it. What the kernel says is never taken for its state: it names tenants to be looked at.
//
// Be aware:
//   - A daemon that ends leaves the kernel as it is: everything goes on forwarding, nothing is repaired.
//   - Nothing is kept between runs. The first look takes over what is there, and writes nothing if nothing differs.
//   - An error of one tenant stops no other tenant; what concerns the whole host (no device has the underlay address) stops all.
//   - What package trigger cannot hear is found by the slow check only.
package daemon
