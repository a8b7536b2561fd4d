package live

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// listener is a server outside that answers every datagram with the name of the VM that says it sent it. It remembers who spoke from
// which public port, and says something to all of them again when asked to.
type listener struct {
	conn *net.UDPConn

	mu       sync.Mutex
	speakers map[netip.AddrPort]string
	clashes  []string
}

// listenUDP opens a socket in a namespace.
func listenUDP(t testing.TB, ns *netns.NS, at netip.AddrPort) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	err := ns.Do(func() (err error) {
		conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
		return err
	})
	if err == nil {
		err = roomy(conn)
	}
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// roomy gives a socket room for all that may come while nobody reads.
func roomy(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) })
	return errors.Join(err, failed)
}

func listen(t testing.TB, ns *netns.NS, at netip.AddrPort) *listener {
	l := &listener{conn: listenUDP(t, ns, at), speakers: make(map[netip.AddrPort]string)}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.conn.Close(); <-done })
	go func() {
		defer close(done)
		b := make([]byte, 100)
		for {
			n, from, err := l.conn.ReadFromUDPAddrPort(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil { // else an ICMP error of an earlier answer
				l.hear(string(b[:n]), netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
			}
		}
	}()
	return l
}

// hear notes who speaks, and answers.
func (l *listener) hear(name string, from netip.AddrPort) {
	l.mu.Lock()
	if was, known := l.speakers[from]; known && was != name {
		l.clashes = append(l.clashes, fmt.Sprintf("%s is used by %s and by %s", from, was, name))
	}
	l.speakers[from] = name
	l.mu.Unlock()
	l.say(name, from)
}

func (l *listener) say(name string, to netip.AddrPort) {
	_, _ = l.conn.WriteToUDPAddrPort(fmt.Appendf(nil, "%s %d", name, to.Port()), to)
}

// repeat says something to everybody who has spoken.
func (l *listener) repeat() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for to, name := range l.speakers {
		l.say(name, to)
	}
}

// forget begins anew, and returns what was wrong.
func (l *listener) forget() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := l.clashes
	l.speakers, l.clashes = make(map[netip.AddrPort]string), nil
	return found
}

// speaker is a VM with flows to the listener, each from a port of its own.
type speaker struct {
	name  string
	to    netip.AddrPort
	flows []*flow
	group sync.WaitGroup

	mu    sync.Mutex
	heard *sync.Cond // answers have come
	wrong []string
}

// flow is one of a VM's.
type flow struct {
	conn    *net.UDPConn
	port    uint16 // of the public address, as the listener saw it last
	answers int
}

// firstFlow is the port of a VM's first flow; all VMs use the same.
const firstFlow = 40000

func speak(t testing.TB, ns *netns.NS, name string, address netip.Addr, to netip.AddrPort, flows int) *speaker {
	s := &speaker{name: name, to: to}
	s.heard = sync.NewCond(&s.mu)
	for i := range flows {
		f := &flow{conn: listenUDP(t, ns, netip.AddrPortFrom(address, firstFlow+uint16(i)))}
		s.flows = append(s.flows, f)
		s.group.Go(func() { s.hear(f) })
	}
	return s
}

// hear takes in answers. One for another VM is what must not be.
func (s *speaker) hear(f *flow) {
	b := make([]byte, 100)
	for {
		n, _, err := f.conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			continue // an ICMP error: no port, no route
		}
		name, port, _ := strings.Cut(string(b[:n]), " ")
		s.mu.Lock()
		if name != s.name {
			s.wrong = append(s.wrong, fmt.Sprintf("%s got what is for %s at port %s", s.name, name, port))
		}
		_, _ = fmt.Sscan(port, &f.port)
		f.answers++
		s.heard.Broadcast()
		s.mu.Unlock()
	}
}

// send says something on all flows. What cannot be sent is lost, as it would be further on.
func (s *speaker) send() {
	for _, f := range s.flows {
		_, _ = f.conn.WriteToUDPAddrPort([]byte(s.name), s.to)
	}
}

// answered waits until the flows have more answers than before; it returns how many have none by then. What a full buffer on the way
// lost is said once more.
func (s *speaker) answered(before []int, expected func(f *flow) bool, patience time.Duration) (missing int) {
	deadline := time.Now().Add(patience)
	again := time.AfterFunc(0, func() {})
	defer func() { again.Stop() }()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		var mute []*flow
		for i, f := range s.flows {
			if f.answers == before[i] && expected(f) {
				mute = append(mute, f)
			}
		}
		if len(mute) == 0 || time.Now().After(deadline) {
			return len(mute)
		}
		again.Stop()
		again = time.AfterFunc(100*time.Millisecond, func() {
			for _, f := range mute {
				_, _ = f.conn.WriteToUDPAddrPort([]byte(s.name), s.to)
			}
			s.heard.Broadcast()
		})
		s.heard.Wait()
	}
}

// counts are how many answers each flow has.
func (s *speaker) counts() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]int, len(s.flows))
	for i, f := range s.flows {
		out[i] = f.answers
	}
	return out
}

// end closes the flows and returns what was wrong.
func (s *speaker) end() []string {
	for _, f := range s.flows {
		_ = f.conn.Close()
	}
	s.group.Wait()
	return s.wrong
}
