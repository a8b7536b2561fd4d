// Package source delivers fleets: from files, and with package etcd below it from there.
//
//	files := source.NewFile("fleet.yaml", "fleet.lock.yaml")
//	err := files.Run(ctx, func(s source.Snapshot) { apply(s.Fleet, s.Lock) }, func(err error) { slog.Error("fleet refused", "err", err) })
//
// A snapshot is proven: the lock belongs to the fleet. What is not is refused with the reason, and whoever uses the source
// goes on with the last snapshot.
//
// Be aware:
//   - Snapshots must not be changed: those from etcd share what is the same in both.
//   - deliver and refuse are called one at a time, by the goroutine that runs the source; while they run it notices nothing.
//   - Two files cannot change at once. A new fleet beside an old lock is refused only when it stays so for [Settle]. If it
//     can be proven, as when a VM gets another address, it is delivered as it is.
package source
