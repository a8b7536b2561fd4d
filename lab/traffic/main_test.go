package traffic_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/netns"
)

var outside *lab.Lab

// TestMain builds one lab without any host: the outside world is enough to exchange traffic in.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Geteuid() == 0 {
			name := fmt.Sprintf("tt%d", os.Getpid())
			l, err := lab.Up(&config.Fleet{Overlay: config.DefaultOverlay()}, lab.Options{Name: name})
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			defer func() {
				if err := l.Down(); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}()
			outside = l
		}
		return m.Run()
	}())
}

// open gives a test a node's namespace.
func open(t *testing.T, node string) *netns.NS {
	t.Helper()
	if outside == nil {
		t.Skip("needs root: network namespaces")
	}
	ns, err := outside.Open(node)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

func serve(t *testing.T, node string, network traffic.Network, addr string) *traffic.Server {
	t.Helper()
	s, err := traffic.Serve(open(t, node), network, netip.MustParseAddrPort(addr))
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
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
