package main

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab/packet"
	"github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/topology"
)

// wires looks at every packet of the users' flows, where it is sent, on the edge's uplink, where it arrives, where it is redirected, and
// where it must not be.
type wires struct {
	*daemonRig
	captures []*traffic.Capture
	// redirected and direct are servers: replies of the one land on hv1, those of the other on hv2, which has the VM.
	redirected, direct netip.Addr

	mu sync.Mutex
	// sent, arrived and handedOn, by hv1, count by what it is, its direction and the server.
	sent, arrived, handedOn map[string]int
	// ports are the source ports, of pings the identifiers, that the servers have seen.
	ports map[flow]map[uint16]bool
	// wrong is what must not be, the first few of it.
	wrong []string
}

// flow is one of the VM's: to each server it has one of each protocol.
type flow struct {
	server   netip.Addr
	protocol packet.Protocol
}

var (
	vmB    = netip.MustParseAddr("10.0.0.47")
	public = netip.MustParseAddr("45.86.152.23")
)

func (r *daemonRig) wires() *wires {
	r.Helper()
	w := &wires{daemonRig: r, sent: map[string]int{}, arrived: map[string]int{}, handedOn: map[string]int{}, ports: map[flow]map[uint16]bool{}}
	w.redirected, w.direct = r.servers()
	for node, see := range map[string]func(*packet.Packet){
		"acme/vm-b": func(p *packet.Packet) {
			w.expect("vm-b", p, p.Outgoing, vmB)
			w.count(p)
		},
		"server": func(p *packet.Packet) {
			w.expect("server", p, !p.Outgoing, public)
			w.count(p)
			if !p.Outgoing {
				w.port(p)
			}
		},
		"edge1": func(p *packet.Packet) { w.expect("edge1's uplink", p, p.Outgoing, public) },
		"hv1/acme": func(p *packet.Packet) {
			if p.Outgoing {
				add(w.handedOn, p)
			}
		},
		"acme/vm-a": func(p *packet.Packet) { w.blame("reached vm-a", p) },
		"blue/vm-z": func(p *packet.Packet) { w.blame("reached vm-z", p) },
	} {
		device := map[string]string{"edge1": "eth1", "hv1/acme": "vx100"}[node]
		c, err := traffic.Watch(r.open(node), cmp.Or(device, "eth0"), func(p *packet.Packet) {
			if p.EtherType == packet.EtherIPv4 {
				w.mu.Lock()
				defer w.mu.Unlock()
				see(p)
			}
		})
		if err != nil {
			r.Fatal(err)
		}
		r.Cleanup(func() { _ = c.Stop() })
		w.captures = append(w.captures, c)
	}
	return w
}

// servers gives the server two more addresses: replies of one land on hv1, of the other on hv2. The edge chooses by the addresses and a
// key that the kernel makes up, so it is asked for one address after the other.
func (r *daemonRig) servers() (redirected, direct netip.Addr) {
	r.Helper()
	hv1 := topology.OverlayIPv4(config.DefaultOverlay(), r.locked.Hosts["hv1"]).String()
	for a := netip.MustParseAddr("198.51.100.10"); !redirected.IsValid() || !direct.IsValid(); a = a.Next() {
		if a == netip.MustParseAddr("198.51.100.60") {
			r.Fatalf("the edge sends the replies of 50 addresses to one host: %s, %s", redirected, direct)
		}
		way := r.ip(r.lab.HostPrefix("edge1")+"culvert-acme", "route", "get", public.String(), "from", a.String(), "iif", topology.UplinkDevice)
		lands := &direct
		if slices.Contains(strings.Fields(way), hv1) {
			lands = &redirected
		}
		if !lands.IsValid() {
			*lands = a
			r.ip(r.name+"-server", "address", "add", a.String()+"/32", "dev", "lo")
		}
	}
	return redirected, direct
}

// ip runs iproute2 in a namespace.
func (r *daemonRig) ip(namespace string, words ...string) string {
	r.Helper()
	ip := exec.Command("ip", append([]string{"-n", namespace}, words...)...)
	var said strings.Builder
	ip.Stderr = &said
	out, err := ip.Output()
	if err != nil {
		r.Fatalf("ip %q in %s: %v: %s", words, namespace, err, said.String())
	}
	return string(out)
}

// expect blames a packet that is not between a server and the address that the VM has there, and what says that one was not wanted.
func (w *wires) expect(where string, p *packet.Packet, toServer bool, vm netip.Addr) {
	from, to := p.Destination, p.Source
	if toServer {
		from, to = to, from
	}
	echo := p.Protocol != packet.ICMP || p.Type == packet.EchoRequest4 || p.Type == packet.EchoReply4
	if from != vm || to != w.redirected && to != w.direct || p.Protocol == packet.TCP && p.Flags&packet.RST != 0 || !echo {
		w.blame("at "+where, p)
	}
}

func (w *wires) blame(where string, p *packet.Packet) {
	if len(w.wrong) < 10 {
		w.wrong = append(w.wrong, fmt.Sprintf("%s: %s", where, p))
	}
}

func (w *wires) count(p *packet.Packet) {
	if p.Outgoing {
		add(w.sent, p)
	} else {
		add(w.arrived, p)
	}
}

// add counts bytes of TCP, as devices take segments together and apart, and packets of all else.
func add(tally map[string]int, p *packet.Packet) {
	what, n := p.Protocol.String()+" packets", 1
	switch {
	case p.Protocol == packet.TCP && p.Data > 0:
		what, n = "tcp bytes", p.Data
	case p.Protocol == packet.TCP:
		what = "tcp segments without data"
	}
	direction := " from " + p.Source.String()
	if p.Source == vmB || p.Source == public {
		direction = " to " + p.Destination.String()
	}
	tally[what+direction] += n
}

func (w *wires) port(p *packet.Packet) {
	f := flow{p.Destination, p.Protocol}
	if w.ports[f] == nil {
		w.ports[f] = map[uint16]bool{}
	}
	w.ports[f][p.SourcePort+p.ID] = true // one of the two is zero
}

// finish waits until all that was sent has arrived, and fails the test if it does not, if there was a packet that must not be, if replies
// were not redirected, or if a flow's translation was not one and the same, of the ports that the VM's host has, all the time.
func (w *wires) finish() {
	w.Helper()
	w.await()
	for _, c := range w.captures {
		if err := c.Stop(); err != nil {
			w.Error(err)
		}
	}
	if !maps.Equal(w.sent, w.arrived) {
		w.Errorf("not all has arrived:\nsent    %v\narrived %v", w.sent, w.arrived)
	}
	for _, wrong := range w.wrong {
		w.Errorf("a packet that must not be: %s", wrong)
	}
	for _, protocol := range []packet.Protocol{packet.TCP, packet.UDP, packet.ICMP} {
		w.finishFlow(flow{w.redirected, protocol})
		w.finishFlow(flow{w.direct, protocol})
	}
	for what, n := range w.arrived {
		// Most: the edge may choose anew when it takes hosts in another order.
		if strings.HasSuffix(what, " from "+w.redirected.String()) && 2*w.handedOn[what] < n {
			w.Errorf("hv1 has redirected %d of %d %s: the test says little about redirected packets", w.handedOn[what], n, what)
		}
	}
	w.Logf("arrived: %v\nredirected by hv1: %v", w.arrived, w.handedOn)
}

// finishFlow fails the test if a server has not seen one and the same flow.
func (w *wires) finishFlow(f flow) {
	w.Helper()
	if len(w.ports[f]) != 1 {
		w.Errorf("%s has seen %d %s flows: ports %v", f.server, len(w.ports[f]), f.protocol, w.ports[f])
	}
	for port := range w.ports[f] {
		if owner, _, _ := w.locked.Tenants["acme"].Owner(public, port); owner.Host != "hv2" {
			w.Errorf("a %s flow has port %d, which is %s's", f.protocol, port, owner)
		}
	}
}

// await waits until all that was sent has arrived, for as long as that may take.
func (w *wires) await() {
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for late := time.After(w.patience); !w.allArrived(); {
		select {
		case <-late:
			return
		case <-again.C:
		}
	}
}

func (w *wires) allArrived() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Equal(w.sent, w.arrived)
}
