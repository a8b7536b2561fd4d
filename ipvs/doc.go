// Package ipvs keeps the load balancer of a tenant namespace: IPVS's services, destinations, parameters and its connection sync.
//
//	if err := ipvs.Load(); errors.Is(err, ipvs.ErrNoIPVS) { ... } // say so, and do the rest without
//	observed, err := ipvs.Observe(ns)
//	plan := ipvs.Diff(observed, ipvs.Desired(tenant))
//	err = ipvs.Announce(ns, plan) // and, if plan.Announces(), when [HeadsUp] is over:
//	err = ipvs.Apply(ns, plan)
//	// and if plan.Settles(), when [SettleTime] is over:
//	err = ipvs.Settle(ns, plan)
//
// Be aware:
//   - All of IPVS in a tenant namespace is this package's: what somebody else put there is removed.
//   - The kernel chooses by the order in which destinations were added. Each is added at the head of a list and never moves, so
//     a destination that is missing in the middle makes a plan remove and add again those after it. Their flows stay.
//   - The last weight before a drain counts too, and the kernel does not show it. It is kept in the destination's lower
//     threshold, with an upper one that is never reached: see [Destination].
//   - A flow's entry lives for 15 minutes without packets (TCP), 5 (UDP): the kernel's defaults. A flow that is idle for longer is
//     scheduled anew with its next packet, and gets the same destination unless they changed meanwhile.
//   - Nothing here limits the number of entries but memory (drop_entry in settings.go); the rules of nft bound how many TCP connections
//     begin.
//   - Parameters stay as they are when the last service goes.
//   - A sync message that gets lost is not repeated before the flow's next one.
package ipvs
