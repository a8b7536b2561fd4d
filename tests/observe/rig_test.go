package observe

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/culvertnet/culvert/agent/measure"
	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/lab/live"
	"github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/metrics"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/web"
)

var rigs atomic.Int32

// rig is a lab of which one host has a daemon with a site on a unix socket.
type rig struct {
	*testing.T
	name   string
	lab    *lab.Lab
	daemon *live.Daemon
	host   string
	client http.Client
}

func newRig(t *testing.T, text, host string) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	fleet, err := config.Parse("fleet.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, name: fmt.Sprintf("ob%dx%d", os.Getpid(), rigs.Add(1)), host: host}
	if r.lab, err = lab.Up(fleet, lab.Options{Name: r.name, Converge: live.Converge}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.lab.Down(); err != nil {
			t.Error(err)
		}
	})
	lock, err := portmap.Allocate(nil, fleet)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.lab.Apply(t.Context(), fleet, lock); err != nil {
		t.Fatal(err)
	}
	r.start()
	return r
}

// start runs the host's daemon and its site.
func (r *rig) start() {
	r.Helper()
	ns := r.open(r.host)
	site := lab.Site{Host: r.host, NS: ns, Prefix: r.lab.HostPrefix(r.host)}
	var err error
	if r.daemon, err = live.Start(site, func([]source.Sick) {}); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		if err := r.daemon.Stop(); err != nil {
			r.Error(err)
		}
	})
	if err := r.daemon.Push(r.Context(), r.lab.Fleet(), r.lab.Lock()); err != nil {
		r.Fatal(err)
	}
	// Every reading is a new one, but for what the kernel's own slowness forbids.
	meter := measure.New(measure.Options{Host: ns, Prefix: site.Prefix, Fleet: r.daemon.Fleet, Every: time.Nanosecond})
	status := r.daemon.Daemon.Status
	handler := metrics.Handler(metrics.Options{Status: status, Fleet: r.daemon.Fleet, Meter: meter})
	address := web.Address{Network: "unix", Text: filepath.Join(r.TempDir(), "web.sock")}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- web.Serve(ctx, address, web.NewSite(web.Options{Status: status, Fleet: r.daemon.Fleet, Meter: meter, Metrics: handler}), slog.New(slog.DiscardHandler))
	}()
	r.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.Error(err)
		}
	})
	r.client.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", address.Text)
	}}
	r.eventually("the site answers", func() error {
		_, err := r.get("/healthz")
		return err
	})
}

// open opens a node's namespace until the test ends.
func (r *rig) open(node string) *netns.NS {
	r.Helper()
	ns, err := r.lab.Open(node)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = ns.Close() })
	return ns
}

// get asks the site.
func (r *rig) get(path string) (string, error) {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://culvert"+path, nil)
	if err != nil {
		return "", err
	}
	response, err := r.client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", path, response.Status, body)
	}
	return string(body), err
}

// page looks for texts on a page.
func (r *rig) page(path string, want ...string) {
	r.Helper()
	text, err := r.get(path)
	if err != nil {
		r.Fatal(err)
	}
	for _, w := range want {
		if !strings.Contains(text, w) {
			r.Errorf("%s lacks %q:\n%s", path, w, text)
		}
	}
}

// scrape returns the values of all series, by name with labels as it is written.
func (r *rig) scrape() (map[string]float64, error) {
	text, err := r.get("/metrics")
	if err != nil {
		return nil, err
	}
	out := make(map[string]float64)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		end := strings.LastIndexByte(strings.TrimSpace(line), ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[end:]), 64)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		out[line[:end]] = value
	}
	return out, nil
}

// tool runs a program in a node's namespace and returns what it prints.
func (r *rig) tool(node string, words ...string) (string, error) {
	name, err := r.lab.Namespace(node)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(r.Context(), "ip", append([]string{"netns", "exec", name}, words...)...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s in %s: %w: %s", strings.Join(words, " "), name, err, &complaint)
	}
	return string(out), nil
}

// serve answers at an address of a node until the test ends. It returns the address with its port.
func (r *rig) serve(node string, network traffic.Network, at string) netip.AddrPort {
	r.Helper()
	server, err := traffic.Serve(r.open(node), network, netip.MustParseAddrPort(at))
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = server.Close() })
	return server.Addr()
}

// connect opens flows from a node and keeps them open until the test ends. It opens one after the other: two that look for a port at the
// same moment may choose the same, and the packet of one is lost.
func (r *rig) connect(node string, network traffic.Network, to netip.AddrPort, flows int) {
	r.Helper()
	const patience = 10 * time.Second
	filled := traffic.Fill(r.Context(), r.open(node), network, to, traffic.Attempt{Flows: flows, Parallel: 1, Patience: patience * time.Duration(live.Patience())})
	for _, f := range filled.Flows {
		r.Cleanup(func() { _ = f.Close() })
	}
	if len(filled.Flows) != flows {
		r.Fatalf("%s: %d of %d flows, %d refused, %d without an answer: %v", node, len(filled.Flows), flows, filled.Refused, filled.Timeout, filled.Other)
	}
}

// eventually repeats a check until it holds.
func (r *rig) eventually(what string, check func() error) {
	r.Helper()
	deadline := time.Now().Add(20 * time.Second * time.Duration(live.Patience()))
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			r.Fatalf("%s: never: %v", what, err)
		}
		select {
		case <-r.Context().Done():
			r.Fatalf("%s: %v", what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// same compares what is told with what the kernel says: what is told must lie between two equal words of the kernel, so that
// nothing can have moved.
func (r *rig) same(what string, kernel func() (map[string]float64, error), prefix ...string) map[string]float64 {
	r.Helper()
	var truth map[string]float64
	r.eventually(what, func() error {
		before, err := kernel()
		if err != nil {
			return err
		}
		// A reading that began before is not good enough.
		if _, err := r.scrape(); err != nil {
			return err
		}
		all, err := r.scrape()
		if err != nil {
			return err
		}
		if truth, err = kernel(); err != nil {
			return err
		}
		told := make(map[string]float64)
		for series, n := range all {
			for _, p := range prefix {
				if strings.HasPrefix(series, p) {
					told[series] = n
				}
			}
		}
		if diff := difference(told, truth); diff != "" {
			return fmt.Errorf("told and true: %s", diff)
		}
		if diff := difference(before, truth); diff != "" {
			return fmt.Errorf("moving: %s", diff)
		}
		return nil
	})
	return truth
}

// difference lists what differs. Series that are 0 on one side may lack on the other.
func difference(a, b map[string]float64) string {
	var out []string
	for series, n := range a {
		if b[series] != n {
			out = append(out, fmt.Sprintf("%s %v, %v", series, n, b[series]))
		}
	}
	for series, n := range b {
		if _, ok := a[series]; !ok && n != 0 {
			out = append(out, fmt.Sprintf("%s none, %v", series, n))
		}
	}
	return strings.Join(out, "; ")
}
