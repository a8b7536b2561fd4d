// Package live gives a lab's hosts the real agent and the real daemon, on a lab's namespaces: what `culvert apply` and `culvert
// daemon` do on a host.
//
//	l, err := lab.Up(fleet, lab.Options{Converge: live.Converge})
//	script.Run(t, live.Tools(), "testdata/redirect.txtar")
//
// Be aware:
//   - The agent of [Converge] lives as long as the call; nothing watches the host afterwards. [Start] runs a daemon, which does
//     until it is stopped.
//   - All agents and daemons of a lab are in this process, and so share its memory and processors.
package live
