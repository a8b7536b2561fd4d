package traffic_test

import (
	"net/netip"
	"testing"

	"github.com/culvertnet/culvert/lab/packet"
	"github.com/culvertnet/culvert/lab/traffic"
)

// TestCaptureIsUpToDate counts packets as soon as they have left: what happened before somebody looks is seen, whoever reads the socket.
func TestCaptureIsUpToDate(t *testing.T) {
	server := in(t, "server")
	filter, err := packet.ParseFilter("out udp sport=7778")
	if err != nil {
		t.Fatal(err)
	}
	capture, err := traffic.StartCapture(server, "lo", filter) // no neighbour has to be found first
	if err != nil {
		t.Fatal(err)
	}
	spec := packet.Spec{
		Protocol: packet.UDP, TTL: 1,
		Source: netip.MustParseAddrPort("198.51.100.1:7778"), Destination: netip.MustParseAddrPort("198.51.100.1:9"),
	}
	for sent := 1; sent <= 500; sent++ {
		if err := traffic.Inject(server, spec); err != nil {
			t.Fatal(err)
		}
		if got := capture.Count(packet.Filter{}); got != sent {
			t.Fatalf("%d packets are counted of %d that have left", got, sent)
		}
	}
	if err := capture.Stop(); err != nil {
		t.Error(err)
	}
}
