// Package demo plays the NAT gateway's story on real packets: three hypervisors, an edge, an outside server, and an edge that
// sends every reply to the wrong host.
//
//	err := demo.Play(ctx, os.Stdout, demo.Tools{Converge: agent, Counters: read})
//
// Be aware: every sentence it prints was checked, by bytes received, packets captured or counters read; the first that does
// not hold ends the story with an error. It needs root and makes its own namespaces, which it removes.
package demo
