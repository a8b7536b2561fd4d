// Package maglev computes which backend the kernel's scheduler mh gives a new flow: the same table, slot for slot, and the
// same look-up, so that a choice can be told without asking a kernel.
//
//	table := maglev.New(backends, maglev.KernelSize) // in the order in which they were added
//	i, ok := table.Pick(netip.MustParseAddr("198.51.100.7"), 40000, maglev.Port|maglev.Fallback)
//	fmt.Println(backends[i].Address)
//
// The table is Maglev's (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section
// 3.4) with the hash, the weights and the fallback of net/netfilter/ipvs/ip_vs_mh.c. It replicates Linux 6.12; the kernel test
// of the room ipvs compares it with the kernel it runs on, which is how another version is tried.
//
// Be aware:
//   - The result depends on the order in which backends were added, and on weights of the past: see [Backend].
//   - The table's size is chosen when a kernel is built; [KernelSize] is what distributions take.
//   - The kernel hashes addresses and ports as a sum, so clients whose address and port sum up alike share a slot. IPv6 addresses
//     are folded to 32 bits first.
//   - Big-endian machines, connection thresholds and persistent services are left out.
package maglev
