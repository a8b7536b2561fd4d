// Package live gives a lab's hosts the real agent: what a host's daemon or `culvert apply` does, on a lab's namespaces.
//
//	l, err := lab.Up(fleet, lab.Options{Converge: live.Converge})
//	script.Run(t, live.Tools(), "testdata/redirect.txtar")
//
// Be aware: an agent here lives as long as one call; nothing watches the lab in between.
package live
