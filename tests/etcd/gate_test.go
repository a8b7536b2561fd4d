package etcd

import (
	"bytes"
	"io"
	"net"
	"regexp"
	"sync"
	"testing"
)

// gate passes connections on to a member until it is shut for where they come from. Then it keeps them and passes nothing
// more, as a network does that is cut: nobody hears of it.
type gate struct {
	address, target string
	mu              sync.Mutex
	all             bool
	from            map[string]bool // by member id
	conns           map[net.Conn]string
}

func newGate(t testing.TB, target string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{address: l.Addr().String(), target: target, from: map[string]bool{}, conns: map[net.Conn]string{}}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go g.pass(in)
		}
	}()
	return g
}

// shut shuts or opens the gate for connections from a member, or from everywhere if that is empty. What was cut ends when
// the gate opens again; members then dial anew.
func (g *gate) shut(from string, shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if from == "" {
		g.all = shut
	} else {
		g.from[from] = shut
	}
	for conn, of := range g.conns {
		if !shut && (from == "" || of == from) {
			_ = conn.Close()
		}
	}
}

func (g *gate) isShut(from string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all || g.from[from]
}

// lead has connections to come lead elsewhere.
func (g *gate) lead(target string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.target = target
}

func (g *gate) leads() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.target
}

// sender is the header in which members say who they are (etcd's server/etcdserver/api/rafthttp).
var sender = regexp.MustCompile(`(?i)\r\nX-Server-From: ([0-9a-f]+)\r\n`)

func (g *gate) pass(in net.Conn) {
	defer func() { _ = in.Close() }()
	var head bytes.Buffer
	// HTTP/2, which clients speak, begins with a request, too (RFC 9113 section 3.4).
	for buf := make([]byte, 4096); !bytes.Contains(head.Bytes(), []byte("\r\n\r\n")); {
		n, err := in.Read(buf)
		if err != nil {
			return
		}
		head.Write(buf[:n])
	}
	from := ""
	if m := sender.FindSubmatch(head.Bytes()); m != nil {
		from = string(m[1])
	}
	out, err := net.Dial("tcp", g.leads())
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }()
	g.mu.Lock()
	g.conns[in] = from
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		delete(g.conns, in)
		g.mu.Unlock()
	}()
	done := make(chan struct{}, 2)
	copy := func(to io.Writer, r io.Reader) {
		buf := make([]byte, 64<<10)
		for {
			n, err := r.Read(buf)
			if err != nil {
				break
			}
			if g.isShut(from) {
				continue
			}
			if _, err := to.Write(buf[:n]); err != nil {
				break
			}
		}
		done <- struct{}{}
	}
	go copy(out, io.MultiReader(&head, in))
	go copy(in, out)
	<-done
}
