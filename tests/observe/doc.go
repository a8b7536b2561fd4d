// Package observe compares what a daemon tells scrapers and browsers with what the kernel says when it is asked in another way: a lab of
// hosts with traffic, and conntrack(8), nft(8), ipvsadm(8) as witnesses.
//
// Be aware:
//   - It needs root, and for load balancers a kernel with IPVS.
//   - Pages in a browser are the matter of tests/page, which runs without a full kernel.
package observe
