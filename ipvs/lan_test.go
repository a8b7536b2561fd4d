package ipvs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/culvertnet/culvert/netns"
)

// lan is a client, two nodes and two backends on one segment, each in a namespace of its own. Backends answer the client
// directly, as they do behind hypervisors.
type lan struct {
	testing.TB
	prefix string
	nodes  [2]*rig
	client *netns.NS
}

const listener = "10.99.0.1:443"

func newLAN(t testing.TB) *lan {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs the program nft")
	}
	l := &lan{TB: t, nodes: [2]*rig{newRig(t), newRig(t)}}
	l.prefix = l.nodes[0].ns.Name() + "-"
	l.namespace("switch")
	l.ip(l.prefix+"switch", "link add bridge type bridge mcast_snooping 0")
	l.ip(l.prefix+"switch", "link set bridge up")
	l.client = l.namespace("client")
	l.plug(l.client.Name(), "100.64.1.1")
	for i, n := range l.nodes {
		l.ip(n.ns.Name(), "link delete in")
		l.plug(n.ns.Name(), fmt.Sprintf("100.64.2.%d", i+1))
		l.guard(n.ns.Name())
	}
	for i := range 2 {
		b := l.namespace(fmt.Sprintf("backend%d", i+1))
		l.plug(b.Name(), backend(byte(i+1)).Addr().String())
		l.ip(b.Name(), "route add local 10.99.0.1 dev lo")
		l.serve(b, fmt.Sprintf("backend%d", i+1))
	}
	l.by(0)
	return l
}

func (l *lan) namespace(name string) *netns.NS {
	l.Helper()
	ns := must(netns.Create(l.prefix + name))
	l.Cleanup(func() {
		if err := errors.Join(ns.Close(), netns.Remove(l.prefix+name)); err != nil {
			l.Error(err)
		}
	})
	l.ip(ns.Name(), "link set lo up")
	return ns
}

// plug connects the namespace to the segment.
func (l *lan) plug(ns, address string) {
	l.Helper()
	l.ip(ns, "link add lan0 type veth peer name p netns "+l.prefix+"switch")
	port := "p" + strings.ReplaceAll(address, ".", "-")
	l.ip(l.prefix+"switch", "link set p name "+port+" master bridge")
	l.ip(l.prefix+"switch", "link set "+port+" up")
	l.ip(ns, "link set lan0 up")
	l.ip(ns, "address add "+address+"/10 dev lan0")
}

// guard drops what IPVS leaves to the node itself: it would answer with a reset. The room nft does this for a tenant.
func (l *lan) guard(ns string) {
	l.Helper()
	rule := "table ip window { chain input { type filter hook input priority 110; ip daddr 10.99.0.1 drop; }; }"
	if out, err := exec.Command("ip", "netns", "exec", ns, "nft", rule).CombinedOutput(); err != nil {
		l.Fatalf("%v: %s", err, out)
	}
}

// by makes the client's packets go through the node, as an edge does that spreads them anew.
func (l *lan) by(node int) {
	l.Helper()
	l.ip(l.client.Name(), fmt.Sprintf("route replace 10.99.0.1 via 100.64.2.%d", node+1))
}

func (l *lan) ip(ns, words string) {
	l.Helper()
	cmd := exec.Command("ip", append([]string{"-n", ns}, strings.Fields(words)...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		l.Fatalf("%s: %v: %s", cmd, err, out)
	}
}

// serve answers every line with the backend's name and the line.
func (l *lan) serve(ns *netns.NS, name string) {
	l.Helper()
	var server net.Listener
	err := ns.Do(func() (err error) {
		server, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp4", listener)
		return err
	})
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = server.Close() })
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					if _, err := fmt.Fprintln(c, name, lines.Text()); err != nil {
						return
					}
				}
			}()
		}
	}()
}

// live is a TCP connection that transfers data.
type live struct {
	net.Conn
	in     *bufio.Reader
	server string
	sent   int
}

// open opens connections and has each answered once.
func (l *lan) open(count int) []*live {
	l.Helper()
	var out []*live
	for range count {
		var f live
		err := l.client.Do(func() (err error) {
			f.Conn, err = net.DialTimeout("tcp4", listener, patience)
			return err
		})
		if err != nil {
			l.Fatal(err)
		}
		l.Cleanup(func() { _ = f.Close() })
		f.in = bufio.NewReader(f)
		f.ask(l)
		f.server = f.answer(l)
		out = append(out, &f)
	}
	return out
}

func (f *live) ask(t testing.TB) {
	t.Helper()
	f.sent++
	if _, err := fmt.Fprintln(f, f.sent); err != nil {
		t.Errorf("flow from %s: %v", f.LocalAddr(), err)
	}
}

// answer waits for the answer and returns who gave it.
func (f *live) answer(t testing.TB) string {
	t.Helper()
	_ = f.SetReadDeadline(time.Now().Add(patience))
	line, err := f.in.ReadString('\n')
	name, number, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		t.Errorf("flow from %s to %s hangs", f.LocalAddr(), f.server)
	case errors.Is(err, io.EOF), err != nil:
		t.Errorf("flow from %s to %s is broken: %v", f.LocalAddr(), f.server, err)
	case number != fmt.Sprint(f.sent):
		t.Errorf("flow from %s to %s: answer %q to %d", f.LocalAddr(), f.server, line, f.sent)
	}
	return name
}
