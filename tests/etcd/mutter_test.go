package etcd

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/lab/packet"
	"github.com/culvertnet/culvert/lab/traffic"
)

// mutter has vm-b send datagrams from one port all the time, whatever becomes of them, and watches where they leave.
type mutter struct {
	*fabric
	captures []*traffic.Capture

	mu   sync.Mutex
	sent int
	// left counts by the edge and the public source.
	left map[string]map[netip.AddrPort]int
}

// The port is one that the tests' fleets hand out.
const mutterPort, mutterTo = 4000, 9999

func (f *fabric) mutter(edges ...string) *mutter {
	f.Helper()
	m := &mutter{fabric: f, left: map[string]map[netip.AddrPort]int{}}
	for _, edge := range edges {
		m.left[edge] = map[netip.AddrPort]int{}
		c, err := traffic.Watch(f.open(edge), "eth1", func(p *packet.Packet) {
			if p.Outgoing && p.Protocol == packet.UDP && p.DestinationPort == mutterTo {
				m.mu.Lock()
				defer m.mu.Unlock()
				m.left[edge][netip.AddrPortFrom(p.Source, p.SourcePort)]++
			}
		})
		if err != nil {
			f.Fatal(err)
		}
		m.captures = append(m.captures, c)
	}
	vm, stop := f.open("acme/vm-b"), make(chan struct{})
	datagram := packet.Spec{
		Protocol: packet.UDP, Payload: []byte("still here"),
		Source: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.47"), mutterPort), Destination: netip.AddrPortFrom(lab.ServerAddresses()[0], mutterTo),
	}
	var done sync.WaitGroup
	done.Go(func() {
		next := time.NewTicker(5 * time.Millisecond)
		defer next.Stop()
		for {
			select {
			case <-stop:
				return
			case <-next.C:
			}
			if err := traffic.Inject(vm, datagram); err == nil { // the VM's own stack has learned of an ICMP error
				m.mu.Lock()
				m.sent++
				m.mu.Unlock()
			}
		}
	})
	f.Cleanup(func() {
		close(stop)
		done.Wait()
		for _, c := range m.captures {
			if err := c.Stop(); err != nil {
				f.Error(err)
			}
		}
	})
	return m
}

// seen is how many datagrams have been sent, and how many have left by an edge from an address.
func (m *mutter) seen(edge string, from netip.Addr) (sent, left int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for source, n := range m.left[edge] {
		if source.Addr() == from {
			left += n
		}
	}
	return m.sent, left
}

// leaves waits until more datagrams have left by an edge from an address.
func (m *mutter) leaves(edge string, from netip.Addr) {
	m.Helper()
	_, before := m.seen(edge, from)
	eventually(m.T, func() error {
		if sent, now := m.seen(edge, from); now < before+10 {
			return fmt.Errorf("of %d datagrams %d have left by %s from %s, %d before", sent, now, edge, from, before)
		}
		return nil
	})
}

// ends waits until many datagrams in a row have been sent of which none has left by an edge from an address, and returns how many had.
func (m *mutter) ends(edge string, from netip.Addr) int {
	m.Helper()
	sent, left := m.seen(edge, from)
	eventually(m.T, func() error {
		sentNow, leftNow := m.seen(edge, from)
		if leftNow != left {
			sent, left = sentNow, leftNow
		}
		if sentNow < sent+50 {
			return fmt.Errorf("%d datagrams have left by %s from %s, the last of them not %d ago", left, edge, from, sentNow-sent)
		}
		return nil
	})
	return left
}

// ended wants that none has left since.
func (m *mutter) ended(edge string, from netip.Addr, left int) {
	m.Helper()
	if now := m.ends(edge, from); now != left {
		m.Errorf("%d datagrams have left by %s from %s, want no more than %d", now, edge, from, left)
	}
}
