package traffic_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/netns"
)

var (
	labs atomic.Int32
	mu   sync.Mutex
	open map[string]*lab.Lab
)

// in gives a test a node's namespace. Each test has a lab of its own, without any host: the outside world is enough to
// exchange traffic in, and what the kernel remembers of paths and rates is not that of another test.
func in(t *testing.T, node string) *netns.NS {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	ns, err := labOf(t).Open(node)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

func labOf(t *testing.T) *lab.Lab {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	if l := open[t.Name()]; l != nil {
		return l
	}
	l, err := lab.Up(&config.Fleet{Overlay: config.DefaultOverlay()}, lab.Options{Name: fmt.Sprintf("tt%dx%d", os.Getpid(), labs.Add(1))})
	if err != nil {
		t.Fatal(err)
	}
	if open == nil {
		open = map[string]*lab.Lab{}
	}
	open[t.Name()] = l
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		delete(open, t.Name())
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func serve(t *testing.T, node string, network traffic.Network, addr string) *traffic.Server {
	t.Helper()
	s, err := traffic.Serve(in(t, node), network, netip.MustParseAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// soon bounds a test's waits.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}
