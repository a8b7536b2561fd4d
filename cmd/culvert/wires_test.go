package main

import (
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/lab/packet"
	"github.com/culvertnet/culvert/lab/traffic"
)

// wires looks at every packet of the users' flows, where it is sent, on the edge's uplink, where it arrives, and where it must not.
type wires struct {
	*daemonRig
	captures []*traffic.Capture
	server   netip.Addr

	mu sync.Mutex
	// sent and arrived count by what it is and its direction.
	sent, arrived map[string]int
	// ports are the source ports, of pings the identifiers, that the server has seen.
	ports map[packet.Protocol]map[uint16]bool
	// wrong is what must not be, the first few of it.
	wrong []string
}

var (
	vmB    = netip.MustParseAddr("10.0.0.47")
	public = netip.MustParseAddr("45.86.152.23")
)

func (r *daemonRig) wires() *wires {
	r.Helper()
	w := &wires{daemonRig: r, server: lab.ServerAddresses()[0], sent: map[string]int{}, arrived: map[string]int{}, ports: map[packet.Protocol]map[uint16]bool{}}
	for node, see := range map[string]func(*packet.Packet){
		"acme/vm-b": func(p *packet.Packet) {
			w.expect("vm-b", p, p.Outgoing, vmB)
			w.count(p, p.Outgoing)
		},
		"server": func(p *packet.Packet) {
			w.expect("server", p, !p.Outgoing, public)
			w.count(p, !p.Outgoing)
			if !p.Outgoing {
				w.port(p)
			}
		},
		"edge1":     func(p *packet.Packet) { w.expect("edge1's uplink", p, p.Outgoing, public) },
		"acme/vm-a": func(p *packet.Packet) { w.blame("reached vm-a", p) },
		"blue/vm-z": func(p *packet.Packet) { w.blame("reached vm-z", p) },
	} {
		device := "eth0"
		if node == "edge1" {
			device = "eth1"
		}
		c, err := traffic.Watch(r.open(node), device, func(p *packet.Packet) {
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

// expect blames a packet that is not between the server and the address that the VM has there, and what says that one was not wanted.
func (w *wires) expect(where string, p *packet.Packet, toServer bool, vm netip.Addr) {
	source, destination := w.server, vm
	if toServer {
		source, destination = vm, w.server
	}
	echo := p.Protocol != packet.ICMP || p.Type == packet.EchoRequest4 || p.Type == packet.EchoReply4
	if p.Source != source || p.Destination != destination || p.Protocol == packet.TCP && p.Flags&packet.RST != 0 || !echo {
		w.blame("at "+where, p)
	}
}

func (w *wires) blame(where string, p *packet.Packet) {
	if len(w.wrong) < 10 {
		w.wrong = append(w.wrong, fmt.Sprintf("%s: %s", where, p))
	}
}

// count counts bytes of TCP, as devices take segments together and apart, and packets of all else.
func (w *wires) count(p *packet.Packet, toServer bool) {
	what, n := p.Protocol.String()+" packets", 1
	switch {
	case p.Protocol == packet.TCP && p.Data > 0:
		what, n = "tcp bytes", p.Data
	case p.Protocol == packet.TCP:
		what = "tcp segments without data"
	}
	direction := " to the VM"
	if toServer {
		direction = " to the server"
	}
	if p.Outgoing {
		w.sent[what+direction] += n
	} else {
		w.arrived[what+direction] += n
	}
}

func (w *wires) port(p *packet.Packet) {
	if w.ports[p.Protocol] == nil {
		w.ports[p.Protocol] = map[uint16]bool{}
	}
	w.ports[p.Protocol][p.SourcePort+p.ID] = true // one of the two is zero
}

// finish waits until all that was sent has arrived, and fails the test if it does not, if there was a packet that must not be, or if a
// flow's translation was not one and the same, of the ports that the VM's host has, all the time.
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
		if len(w.ports[protocol]) != 1 {
			w.Errorf("the server has seen %d %s flows: ports %v", len(w.ports[protocol]), protocol, w.ports[protocol])
		}
		for port := range w.ports[protocol] {
			if owner, _, _ := w.locked.Tenants["acme"].Owner(public, port); owner.Host != "hv2" {
				w.Errorf("a %s flow has port %d, which is %s's", protocol, port, owner)
			}
		}
	}
	w.Logf("arrived: %v", w.arrived)
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
