// Package demo plays two stories on real packets. The NAT gateway's has three hypervisors, an outside server, and an edge that
// sends every reply to the wrong host. The load balancer's has downloads from VMs while nodes and backends come and go.
//
//	err := demo.Play(ctx, os.Stdout, demo.Tools{Converge: agent, Counters: read, CanBalance: try})
//
// Be aware: every sentence it prints was checked, by bytes received, packets captured or counters read; the first that does
// not hold ends the story with an error. It needs root and makes its own namespaces, which it removes.
package demo
