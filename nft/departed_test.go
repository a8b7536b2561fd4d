package nft

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/topology"
)

// TestDeparted sends packets as IPVS does, unchanged to a backend's address: to one that is a destination, to one that is none any more,
// to one of which the node has not been told yet.
func TestDeparted(t *testing.T) {
	l := newLot(t, node())
	vx, err := l.link.LinkByName("vx100")
	must(t, err)
	address := func(sequence uint32) netip.Addr {
		return topology.BackendAddress(config.DefaultOverlay(), sequence, true)
	}
	for _, tt := range []struct {
		sequence uint32
		protocol byte
		payload  []byte
		want     []string
		counted  counts
	}{
		{2, tcp, segment(40000, 443, 0x10, 7, 9, 1460), []string{"vx100 02:63:76:00:00:01>06:63:76:00:00:02 ttl 60 tcp 198.51.100.1:40000>45.86.152.23:443 mss 1460"}, counts{}},
		// The reset leaves by the way out.
		{7, tcp, segment(40000, 443, 0x10, 7, 9, 1460), []string{"vx100 02:63:76:00:00:01>02:63:76:00:00:02 ttl 64 tcp 45.86.152.23:443>198.51.100.1:40000"}, counts{"ip/departed": 1}},
		{7, udp, ports(40000, 443), nil, counts{"ip/departed": 1}},
		{10, tcp, segment(40000, 443, 0x10, 7, 9, 1460), nil, counts{"ip/unbalanced": 1}},
	} {
		mac := topology.BackendMAC(tt.sequence)
		must(t, l.link.NeighSet(&netlink.Neigh{LinkIndex: vx.Attrs().Index, State: netlink.NUD_PERMANENT, IP: address(tt.sequence).AsSlice(), HardwareAddr: mac[:]}))
		must(t, l.link.RouteReplace(&netlink.Route{
			LinkIndex: vx.Attrs().Index, Dst: &net.IPNet{IP: public.AsSlice(), Mask: net.CIDRMask(32, 32)},
			Gw: address(tt.sequence).AsSlice(), Flags: int(netlink.FLAG_ONLINK),
		}))
		before := l.counts()
		l.received()
		packet := reply(0).with(func(f *frame) { f.protocol, f.payload = tt.protocol, tt.payload }).packet()
		// The sender of a packet that the rules drop is told, which IPVS does not mind.
		if err := l.ns.Do(func() error { return sendRaw(packet) }); !errors.Is(err, unix.EPERM) {
			must(t, err)
		}
		if got := l.received(); !slices.Equal(got, tt.want) {
			t.Errorf("to %s came out %q, want %q", address(tt.sequence), got, tt.want)
		}
		counted := counts{}
		for name, n := range l.counts() {
			if n != before[name] {
				counted[name] = n - before[name]
			}
		}
		if !maps.Equal(counted, tt.counted) {
			t.Errorf("to %s counted %v, want %v", address(tt.sequence), counted, tt.counted)
		}
	}
}

// sendRaw sends an IPv4 packet out of the calling thread's namespace, header and all.
func sendRaw(packet []byte) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.Sendto(fd, packet, 0, &unix.SockaddrInet4{Addr: [4]byte(packet[16:20])})
}
