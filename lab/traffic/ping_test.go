package traffic_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/culvertnet/culvert/lab/packet"
	"github.com/culvertnet/culvert/lab/traffic"
)

func TestPing(t *testing.T) {
	for _, c := range []struct {
		name           string
		echo           traffic.Echo
		received       int
		kind, code     uint8
		mtu            uint32
		tooLong, error int
	}{
		{name: "v4", echo: traffic.Echo{To: netip.MustParseAddr("198.51.100.1"), Count: 5, Size: 100}, received: 5},
		{name: "v6", echo: traffic.Echo{To: netip.MustParseAddr("2001:db8:ffff::1"), Count: 5, Size: 100}, received: 5},
		{name: "id and source", echo: traffic.Echo{To: netip.MustParseAddr("198.51.100.1"), ID: 1234, Source: netip.MustParseAddr("198.51.100.67")}, received: 1},
		{name: "nowhere", echo: traffic.Echo{To: netip.MustParseAddr("203.0.113.1")}, kind: 3, code: 0, error: 1},
		{name: "nowhere v6", echo: traffic.Echo{To: netip.MustParseAddr("2001:db8:1::1")}, kind: 1, code: 0, error: 1},
		{name: "expired", echo: traffic.Echo{To: netip.MustParseAddr("198.51.100.1"), TTL: 1}, kind: 11, error: 1},
		{name: "narrow", echo: traffic.Echo{To: netip.MustParseAddr("198.51.100.3"), Size: 1400, Count: 3}, kind: 3, code: 4, mtu: 1300, error: 1, tooLong: 2},
		{name: "narrow v6", echo: traffic.Echo{To: netip.MustParseAddr("2001:db8:ffff::3"), Size: 1400, Count: 3}, kind: 2, mtu: 1300, error: 1, tooLong: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := traffic.Ping(soon(t), in(t, "far"), c.echo)
			if err != nil {
				t.Fatal(err)
			}
			if got.Received != c.received || len(got.Errors) != c.error || got.TooLong != c.tooLong {
				t.Fatalf("result %+v", got)
			}
			if c.echo.ID != 0 && got.ID != c.echo.ID {
				t.Errorf("id %d", got.ID)
			}
			for _, e := range got.Errors {
				if e.Type != c.kind || e.Code != c.code || e.MTU != c.mtu {
					t.Errorf("error %v, want %d/%d mtu %d", e, c.kind, c.code, c.mtu)
				}
			}
		})
	}
}

func TestPingLosses(t *testing.T) {
	// A server does not answer for an address it does not have; the router drops what has no neighbour.
	got, err := traffic.Ping(soon(t), in(t, "internet"), traffic.Echo{To: netip.MustParseAddr("198.51.100.30"), Patience: 50 * time.Millisecond, Count: 2})
	if err != nil || got.Received != 0 || got.Sent != 2 {
		t.Errorf("result %+v, %v", got, err)
	}
}

func TestInjectAndCapture(t *testing.T) {
	server := in(t, "server")
	all, err := traffic.StartCapture(server, "eth0", packet.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	filter, err := packet.ParseFilter("in udp src=45.86.152.23 dport=7777 ttl=3")
	if err != nil {
		t.Fatal(err)
	}
	few, err := traffic.StartCapture(server, "any", filter)
	if err != nil {
		t.Fatal(err)
	}
	spec := packet.Spec{
		Protocol: packet.UDP, TTL: 5, Payload: []byte("hello"),
		Source: netip.MustParseAddrPort("45.86.152.23:2345"), Destination: netip.MustParseAddrPort("198.51.100.1:7777"),
	}
	specs := make([]packet.Spec, 1000)
	for i := range specs {
		specs[i] = spec
	}
	six := packet.Spec{
		Protocol: packet.TCP, Flags: packet.SYN,
		Source: netip.MustParseAddrPort("[2001:db8:ffff::65]:1"), Destination: netip.MustParseAddrPort("[2001:db8:ffff::1]:9"),
	}
	if err := traffic.Inject(in(t, "far"), append(specs, six)...); err != nil {
		t.Fatal(err)
	}
	ctx := soon(t)
	reset, _ := packet.ParseFilter("out ip6 tcp rst sport=9")
	for all.Count(reset) == 0 || few.Count(packet.Filter{}) < len(specs) {
		if ctx.Err() != nil {
			t.Fatalf("captured %d of %d, %d resets", few.Count(packet.Filter{}), len(specs), all.Count(reset))
		}
	}
	for range 2 {
		for _, c := range []*traffic.Capture{all, few} {
			if err := c.Stop(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := few.Packets(); len(got) != len(specs) || got[0].SourcePort != 2345 || got[0].Length != 33 {
		t.Errorf("captured %d packets, first %v", len(got), got[0])
	}
	if last, err := packet.ParseIP(few.Last(), 0); err != nil || last.SourcePort != 2345 || last.Length != 33 {
		t.Errorf("the last packet is %v, %v", last, err)
	}
	unreachable, _ := packet.ParseFilter("out icmp type=3 code=3 quoted.src=45.86.152.23 quoted.dport=7777")
	if got := all.Count(unreachable); got == 0 {
		t.Error("the server's port unreachable was not captured")
	}
}

func TestCaptureOfMissingDevice(t *testing.T) {
	if c, err := traffic.StartCapture(in(t, "server"), "nothing0", packet.Filter{}); err == nil {
		t.Error("captured on a device that does not exist")
		_ = c.Stop()
	}
}
