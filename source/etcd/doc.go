// Package etcd keeps a fleet in etcd: pushes it, follows it, and tells which hosts live and how they are.
//
//	address, err := etcd.ParseAddress("etcd://a.example:2379,b.example:2379/culvert")
//	fleet, err := etcd.NewSource(etcd.Config{Address: address, Host: "hv1", Cache: "/var/lib/culvert/fleet"})
//	err = fleet.Run(ctx, deliver, refuse) // a [source.Source], a [source.Reloader] and a [source.Reporter]
//
//	store, err := etcd.Open(address, etcd.Access{})
//	defer store.Close()
//	old, err := store.Read(ctx)
//	revision, err := store.Replace(ctx, old, fleet, lock) // ErrChanged: somebody was faster, read again
//
// Objects never change: their keys end in a digest of their value. One key, PREFIX/v1/fleet, names the pages that list all
// objects of the fleet, and whoever writes it changes the fleet and its lock in one step. docs/etcd.md has the layout, and
// why no reader can see a mix and no object can vanish under one.
//
// Be aware:
//   - A reader proves the lock against the fleet, and that all is what was pushed; whether objects go together otherwise
//     was checked by whoever pushed. Who may write to the prefix decides about the fleet.
//   - The document's comments are not kept.
//   - The cache is written whole for each change: 10 MB for 100 000 interfaces.
//   - A lost host is one whose daemon does not renew its lease. Its kernel may still forward, so nothing more is done about
//     it than to send it no share of other hosts' traffic.
//   - An etcd that was restored from a backup knows nothing of what was handed out since then; see docs/etcd.md.
package etcd
