// Package metrics tells Prometheus how a host is and what its tenants use.
//
//	handler := metrics.Handler(metrics.Options{Status: d.Status, Fleet: d.Fleet, Meter: meter, Version: version})
//	http.Handle("GET /metrics", handler)
//
// All of it comes from the daemon's status and from package measure: nothing else here knows the kernel, and nothing below knows
// Prometheus. [Families] lists what there is; docs/metrics.md is made of it.
//
// Be aware:
//   - Numbers of the kernel are as old as the meter's reading, up to 10 s and more on a host with very many flows.
//   - Counters are the kernel's own. Where a namespace or a table was made anew they begin at 0 again, which rate() and increase()
//     take for what it is; what was counted between the last scrape and then is lost.
//   - Labels are names out of the fleet and words of this package, so what the fleet has bounds the number of series.
package metrics
