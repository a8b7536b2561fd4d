package agent

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/topology"
)

// TestRedirectSurvivesNewDevice proves with packets that the rules are rebuilt on a VXLAN device that is made anew: an edge
// sends a reply for hv2's block to hv1, and hv2 must get it.
func TestRedirectSurvivesNewDevice(t *testing.T) {
	r := newRig(t)
	s := parse(t, fleetYAML)
	r.settle(s)
	host, err := topology.For(s.fleet, s.lock, "hv1")
	if err != nil {
		t.Fatal(err)
	}
	acme := host.Tenants[0]
	owner := acme.NAT.Owners[0]
	if owner.Peer.Host != "hv2" {
		t.Fatalf("owner of %s is %s", owner.Block, owner.Peer.Host)
	}
	frame := udpFrame(acme.Self.MAC, topology.RouterMAC(s.lock.Hosts["edge1"]), owner.Block.Address, owner.Block.First)
	arrives := func(what string) {
		t.Helper()
		got := r.exchange(acme, frame)
		if want := [6]byte(owner.Peer.MAC); [6]byte(got[8:14]) != want {
			t.Errorf("%s: sent on to MAC %x, want that of hv2 %x", what, got[8:14], want)
		}
	}
	arrives("at first")
	r.ip("culvert-acme", "link del vx100")
	r.settle(s)
	arrives("with the device made anew")
	r.ip("host", "link set under0 mtu 1600")
	r.settle(s)
	arrives("with another MTU")
	// The device is there when the plan is made and another one afterwards.
	s = parse(t, "overlay: {port: 8472}\n"+fleetYAML)
	r.port = 8472
	r.settle(s)
	arrives("on another port")
}

// udpFrame is an Ethernet frame with a UDP datagram from an outside server to a public address and port.
func udpFrame(dst, src [6]byte, public netip.Addr, port uint16) []byte {
	const ethernet, ip, udp, payload = 14, 20, 8, 4
	b := make([]byte, ethernet+ip+udp+payload)
	copy(b, dst[:])
	copy(b[6:], src[:])
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	h := b[ethernet:]
	h[0], h[8], h[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(h[2:], ip+udp+payload)
	copy(h[12:], netip.MustParseAddr("198.51.100.1").AsSlice())
	copy(h[16:], public.AsSlice())
	var sum uint32
	for i := 0; i < ip; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	binary.BigEndian.PutUint16(h[10:], ^uint16(sum+sum>>16))
	binary.BigEndian.PutUint16(h[ip:], 443)
	binary.BigEndian.PutUint16(h[ip+2:], port)
	binary.BigEndian.PutUint16(h[ip+4:], udp+payload)
	return b
}

// exchange sends a frame in VXLAN from the edge's underlay address and returns the datagram that hv2's gets.
func (r *rig) exchange(t topology.Tenant, frame []byte) []byte {
	r.Helper()
	wire := must(netns.Open(r.prefix + "wire"))
	defer wire.Close()
	var at, from *net.UDPConn
	err := wire.Do(func() (err error) {
		if at, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(192, 0, 2, 2), Port: r.port}); err != nil {
			return err
		}
		from, err = net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(192, 0, 2, 254)}, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: r.port})
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
	defer at.Close()
	defer from.Close()
	packet := binary.BigEndian.AppendUint32([]byte{8, 0, 0, 0}, uint32(t.VNI)<<8)
	if _, err := from.Write(append(packet, frame...)); err != nil {
		r.Fatal(err)
	}
	buf := make([]byte, 2048)
	_ = at.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := at.Read(buf)
	if err != nil {
		r.Fatalf("nothing arrives at hv2: %v\n%s", err, r.dump())
	}
	return buf[:n]
}

func (r *rig) dump() string {
	out, _ := r.run("ip", "netns", "exec", r.prefix+"culvert-acme", "nft", "list", "table", "netdev", "culvert")
	return out
}
