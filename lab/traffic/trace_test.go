package traffic_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/culvertnet/culvert/lab/traffic"
)

// TestTrace finds the way from far to the server, which begins with a narrow link.
func TestTrace(t *testing.T) {
	echo, port := netip.MustParseAddrPort("198.51.100.1:0"), netip.MustParseAddrPort("198.51.100.1:33434")
	plain := []string{"1 198.18.0.3", "2 198.18.0.1", "3 198.51.100.1 reached"}
	narrow := []string{"1 198.18.0.3", "2 198.18.0.3 mtu 1300", "2 198.18.0.1", "3 198.51.100.1 reached"}
	server := serve(t, "server", traffic.UDP, "198.51.100.2:0")
	for _, c := range []struct {
		name  string
		trace traffic.Trace
		want  []string
	}{
		{"echo", traffic.Trace{To: echo}, plain},
		{"udp", traffic.Trace{To: port}, plain},
		{"echo with the MTU", traffic.Trace{To: echo, Size: 1400}, narrow},
		{"udp with the MTU", traffic.Trace{To: port, Size: 1400, Source: 5555}, narrow},
		// What the kernel has learned of the path does not hold.
		{"once more", traffic.Trace{To: echo, Size: 1500}, narrow},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, err := c.trace.Run(soon(t), in(t, "far"))
			var got []string
			for _, hop := range path {
				got = append(got, hop.String())
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("path %q, %v; want %q", got, err, c.want)
			}
		})
	}
	// Somebody listens there and says nothing, so the end is not found.
	path, err := traffic.Trace{To: server.Addr(), Hops: 4, Patience: 50 * time.Millisecond}.Run(soon(t), in(t, "far"))
	if !errors.Is(err, traffic.ErrTimeout) || len(path) != 4 || path[3].String() != "4 *" {
		t.Errorf("path %v, %v", path, err)
	}
	if _, err := (traffic.Trace{To: netip.MustParseAddrPort("[2001:db8:ffff::1]:0")}).Run(soon(t), in(t, "far")); err == nil {
		t.Error("traced in IPv6")
	}
}
