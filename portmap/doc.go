// Package portmap hands out what the hosts of a fleet must never disagree about: host ids, blocks of source ports and
// load-balancer backend numbers, and keeps them in the lock file.
//
//	old, err := portmap.ReadFile("fleet.lock.yaml") // a missing file is an empty lock
//	lock, err := portmap.Allocate(old, fleet)       // pure; nothing that exists moves
//	err = portmap.Prove(lock, fleet)                // nil, or a counter-example
//	err = portmap.WriteFile("fleet.lock.yaml", lock)
//	slots := portmap.Deal(lock.Tenants["acme"].Claims[0].Blocks)
//
// Be aware:
//   - [Allocate] trusts the fleet to be valid ([config.Parse] sees to it) and the old lock to be proven. Run [Prove] on
//     every result before it is written.
//   - A lock is a value: what [Allocate] and [Release] return may share memory with what they were given. Change neither.
//   - All blocks of a claimant that take new flows lie on one address. Free ports that are spread over several
//     addresses therefore do not add up.
//   - Blocks are not moved to close gaps. A fleet that shrinks and grows with different sizes may hold blocks in
//     several pieces, at most [Slots] of them.
//   - Retired blocks stay taken until somebody calls [Release]; nothing here can know whether their flows have ended.
package portmap
