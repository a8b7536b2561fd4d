// Package web shows a host to browsers and scrapers: a status page, a page for each tenant, and whatever handler has the metrics.
//
//	site := web.NewSite(web.Options{Status: d.Status, Fleet: d.Fleet, Meter: meter, Metrics: handler})
//	address, err := web.ParseAddress("127.0.0.1:9469")
//	err = web.Serve(ctx, address, site, log)
//
// It only reads: there is nothing that a request could change. The pages are HTML with pictures in SVG, work without scripts, and load
// nothing from elsewhere.
//
// Be aware:
//   - Nobody is asked who he is, and names of tenants, VMs and addresses are shown. Listen on a loopback address or a unix socket, or
//     put something in front that asks.
//   - At most [connections] are open and [requests] answered at once. It is not for the public.
//   - An address that is not there yet, or is taken, is tried again until it can be had; the host is kept meanwhile.
package web
