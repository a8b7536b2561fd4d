package main

import (
	"net/http"

	"github.com/urfave/cli/v2"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/agent/measure"
	"github.com/culvertnet/culvert/metrics"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/web"
)

var listenFlag = &cli.StringFlag{
	Name: "listen", EnvVars: []string{"CULVERT_LISTEN"},
	Usage: "show a status page and Prometheus metrics on `ADDRESS`: 127.0.0.1:9469, [::1]:9469 or unix:PATH; nobody is asked who he is",
}

// listenAddress is where the status page shall be; nil for nowhere.
func listenAddress(c *cli.Context) (*web.Address, error) {
	text := c.String(listenFlag.Name)
	if text == "" {
		return nil, nil
	}
	a, err := web.ParseAddress(text)
	if err != nil {
		return nil, inputError{err}
	}
	return &a, nil
}

// newSite has the status page and the metrics of a daemon.
func newSite(c *cli.Context, d *daemon.Daemon, host *netns.NS, fleet source.Source) http.Handler {
	meter := measure.New(measure.Options{Host: host, Prefix: c.String(prefixFlag.Name), Fleet: d.Fleet})
	o := metrics.Options{Status: d.Status, Fleet: d.Fleet, Meter: meter}
	if linked, ok := fleet.(source.Linked); ok {
		o.Link = linked.Link
	}
	return web.NewSite(web.Options{Status: d.Status, Fleet: d.Fleet, Meter: meter, Metrics: metrics.Handler(o)})
}
