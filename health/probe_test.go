package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
)

// patience is the timeout of probes that are to be answered.
const patience = 10 * time.Second

func TestProbe(t *testing.T) {
	ns := namespace(t)
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			address := netip.MustParseAddr(host)
			greeter := serve(t, ns, host, func(c net.Conn) { _, _ = io.WriteString(c, "220 ready\r\n") })
			echoer := serve(t, ns, host, func(c net.Conn) { _, _ = io.CopyN(c, c, 4) })
			mute := serve(t, ns, host, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
			hasty := serve(t, ns, host, func(net.Conn) {})
			web := serveHTTP(t, ns, host, false)
			secure := serveHTTP(t, ns, host, true)
			answering := serveUDP(t, ns, host, true)
			silent := serveUDP(t, ns, host, false)
			tests := []struct {
				name  string
				port  uint16
				check config.HealthCheck
				// want is part of the error, empty for a good probe.
				want string
			}{
				{"tcp", mute, config.HealthCheck{Protocol: config.CheckTCP}, ""},
				{"tcp expects", greeter, config.HealthCheck{Protocol: config.CheckTCP, Expect: "220 "}, ""},
				{"tcp expects something else", greeter, config.HealthCheck{Protocol: config.CheckTCP, Expect: "250 "}, `answer begins with "220 ", not with "250 "`},
				{"tcp sends and expects", echoer, config.HealthCheck{Protocol: config.CheckTCP, Send: "ping", Expect: "ping"}, ""},
				{"tcp answer ends early", hasty, config.HealthCheck{Protocol: config.CheckTCP, Expect: "220 "}, `answer begins with ""`},
				{"tcp answer does not come", mute, config.HealthCheck{Protocol: config.CheckTCP, Expect: "220 ", Timeout: 50 * time.Millisecond}, "i/o timeout"},
				{"tcp refused", 9, config.HealthCheck{Protocol: config.CheckTCP}, "connection refused"},
				{"http", web, config.HealthCheck{Protocol: config.CheckHTTP, Path: "/good", Statuses: []int{200}}, ""},
				{"http wrong status", web, config.HealthCheck{Protocol: config.CheckHTTP, Path: "/bad", Statuses: []int{200, 204}}, "status 500, not one of [200 204]"},
				{"http other status", web, config.HealthCheck{Protocol: config.CheckHTTP, Path: "/bad", Statuses: []int{500}}, ""},
				{"http redirect is an answer", web, config.HealthCheck{Protocol: config.CheckHTTP, Path: "/away", Statuses: []int{302}}, ""},
				{"http to a port that says something else", greeter, config.HealthCheck{Protocol: config.CheckHTTP, Path: "/", Statuses: []int{200}}, "malformed HTTP"},
				{"http without an answer", mute, config.HealthCheck{Protocol: config.CheckHTTP, Path: "/", Statuses: []int{200}, Timeout: 50 * time.Millisecond}, "i/o timeout"},
				{"https", secure, config.HealthCheck{Protocol: config.CheckHTTPS, Path: "/good", Statuses: []int{200}}, ""},
				{"https without TLS", web, config.HealthCheck{Protocol: config.CheckHTTPS, Path: "/good", Statuses: []int{200}}, "does not look like a TLS handshake"},
				{"udp", answering, config.HealthCheck{Protocol: config.CheckUDP, Send: "ping", Expect: "pong:ping"}, ""},
				{"udp any answer", answering, config.HealthCheck{Protocol: config.CheckUDP, Send: "ping"}, ""},
				{"udp wrong answer", answering, config.HealthCheck{Protocol: config.CheckUDP, Send: "ping", Expect: "no"}, `answer begins with "po", not with "no"`},
				{"udp silence", silent, config.HealthCheck{Protocol: config.CheckUDP, Send: "ping", Timeout: 50 * time.Millisecond}, "i/o timeout"},
				{"udp refused", 9, config.HealthCheck{Protocol: config.CheckUDP, Send: "ping"}, "connection refused"},
				{"icmp", 0, config.HealthCheck{Protocol: config.CheckICMP}, ""},
			}
			for _, tt := range tests {
				t.Run(tt.name, func(t *testing.T) {
					if tt.check.Timeout == 0 {
						tt.check.Timeout = patience
					}
					err := Probe(t.Context(), ns, Target{Address: address, Port: tt.port, Check: tt.check, Source: address})
					if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
						t.Errorf("Probe: %v, want %q", err, tt.want)
					}
				})
			}
		})
	}
}

// TestLongAnswer asks a server whose status line goes on for as long as a VM likes: the error does not.
func TestLongAnswer(t *testing.T) {
	ns := namespace(t)
	port := serve(t, ns, "127.0.0.1", func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 500 \x1b[2J"+strings.Repeat("x", 60_000)+"\r\nContent-Length: 0\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	})
	check := config.HealthCheck{Protocol: config.CheckHTTP, Path: "/", Statuses: []int{200}, Timeout: patience}
	err := Probe(t.Context(), ns, Target{Address: netip.MustParseAddr("127.0.0.1"), Port: port, Check: check})
	if err == nil || !strings.HasSuffix(err.Error(), "status 500, not one of [200]") || len(err.Error()) > 100 {
		t.Errorf("error of %d bytes: %.150q", len(fmt.Sprint(err)), err)
	}
}

// TestProbeSilence asks where no route leads, which the kernel says at once, and a kernel that does not answer, which takes
// the whole timeout to know.
func TestProbeSilence(t *testing.T) {
	ns := namespace(t)
	for _, protocol := range []config.CheckProtocol{config.CheckICMP, config.CheckTCP} {
		err := Probe(t.Context(), ns, Target{Address: netip.MustParseAddr("198.51.100.1"), Port: 1, Check: config.HealthCheck{Protocol: protocol, Timeout: patience}})
		if !errors.Is(err, unix.ENETUNREACH) {
			t.Errorf("%s without a route: %v, want %v", protocol, err, unix.ENETUNREACH)
		}
	}
	if err := ns.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/icmp_echo_ignore_all", []byte("1"), 0) }); err != nil {
		t.Fatal(err)
	}
	err := Probe(t.Context(), ns, Target{Address: netip.MustParseAddr("127.0.0.1"), Check: config.HealthCheck{Protocol: config.CheckICMP, Timeout: 50 * time.Millisecond}})
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("icmp without an answer: %v, want %v", err, os.ErrDeadlineExceeded)
	}
}

// TestStop ends probes that wait for an answer, whatever their timeout is: a daemon must stop at once.
func TestStop(t *testing.T) {
	ns := namespace(t)
	address := netip.MustParseAddr("127.0.0.1")
	silent := serveUDP(t, ns, "127.0.0.1", false)
	mute := serve(t, ns, "127.0.0.1", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for name, target := range map[string]Target{
		"udp":  {Port: silent, Check: config.HealthCheck{Protocol: config.CheckUDP, Send: "ping"}},
		"http": {Port: mute, Check: config.HealthCheck{Protocol: config.CheckHTTP, Path: "/"}},
		"icmp": {Address: netip.MustParseAddr("127.0.0.2"), Check: config.HealthCheck{Protocol: config.CheckICMP}},
	} {
		if !target.Address.IsValid() {
			target.Address = address
		}
		target.Check.Timeout = time.Hour
		if target.Check.Protocol == config.CheckICMP {
			if err := quiet(ns); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer time.AfterFunc(50*time.Millisecond, cancel).Stop() // while it waits, most likely
		done := make(chan error, 1)
		go func() { done <- Probe(ctx, ns, target) }()
		select {
		case err := <-done:
			if err == nil {
				t.Errorf("%s: answered", name)
			}
		case <-time.After(patience):
			t.Errorf("%s: the probe goes on", name)
		}
	}
}

// quiet has the namespace answer no pings.
func quiet(ns *netns.NS) error {
	return ns.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/icmp_echo_ignore_all", []byte("1"), 0) })
}

// TestWatch sees a server go and come back.
func TestWatch(t *testing.T) {
	ns := namespace(t)
	listen := func(port uint16) (l net.Listener, err error) {
		err = ns.Do(func() (err error) {
			l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			return err
		})
		return l, err
	}
	first, err := listen(0)
	if err != nil {
		t.Fatal(err)
	}
	port := first.Addr().(*net.TCPAddr).AddrPort().Port()
	type change struct {
		healthy bool
		why     error
	}
	changes := make(chan change, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	absent := 3 // the namespace, for as many probes
	open := func() (*netns.NS, error) {
		if absent--; absent >= 0 {
			return nil, netns.ErrNotExist
		}
		return netns.Open(ns.Name())
	}
	go func() {
		defer close(done)
		check := config.HealthCheck{Protocol: config.CheckTCP, Interval: 10 * time.Millisecond, Timeout: patience, Rise: 2, Fall: 2}
		Watch(ctx, open, Target{Address: netip.MustParseAddr("127.0.0.1"), Port: port, Check: check}, false, func(healthy bool, why error) { changes <- change{healthy, why} })
	}()
	next := func() change {
		select {
		case c := <-changes:
			return c
		case <-time.After(patience):
			t.Fatal("no change of the verdict")
			return change{}
		}
	}
	// It begins sick, and a namespace that is not there says nothing.
	if c := next(); !c.healthy || c.why != nil {
		t.Errorf("with the server: healthy %v because of %v", c.healthy, c.why)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if c := next(); c.healthy || !errors.Is(c.why, unix.ECONNREFUSED) {
		t.Errorf("after the server went: healthy %v because of %v, want unhealthy because of %v", c.healthy, c.why, unix.ECONNREFUSED)
	}
	second, err := listen(port)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	if c := next(); !c.healthy || c.why != nil {
		t.Errorf("after the server came back: healthy %v because of %v", c.healthy, c.why)
	}
	cancel()
	<-done
	if len(changes) != 0 {
		t.Errorf("%d more changes", len(changes))
	}
}

// namespace is an empty one with loopback up.
func namespace(t *testing.T) *netns.NS {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	name := fmt.Sprintf("culvert-probe-%d-%s", os.Getpid(), strings.ToLower(t.Name()))
	ns, err := netns.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(ns.Close(), netns.Remove(name)); err != nil {
			t.Error(err)
		}
	})
	if err := ns.Do(loopbackUp); err != nil {
		t.Fatal(err)
	}
	return ns
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	request, err := unix.NewIfreq("lo")
	if err == nil {
		request.SetUint16(unix.IFF_UP)
		err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
	}
	return errors.Join(err, unix.Close(fd))
}

func serve(t *testing.T, ns *netns.NS, host string, answer func(net.Conn)) uint16 {
	t.Helper()
	l := listenIn(t, ns, host)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				answer(c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

func listenIn(t *testing.T, ns *netns.NS, host string) (l net.Listener) {
	t.Helper()
	err := ns.Do(func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func serveHTTP(t *testing.T, ns *netns.NS, host string, secure bool) uint16 {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/good":
		case "/away":
			http.Redirect(w, r, "/good", http.StatusFound)
		default:
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	_ = server.Listener.Close() // it is in the wrong namespace
	server.Listener = listenIn(t, ns, host)
	if secure {
		server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr).AddrPort().Port()
}

func serveUDP(t *testing.T, ns *netns.NS, host string, answers bool) uint16 {
	t.Helper()
	var conn net.PacketConn
	err := ns.Do(func() (err error) {
		conn, err = net.ListenPacket("udp", net.JoinHostPort(host, "0"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if answers {
				_, _ = conn.WriteTo(append([]byte("pong:"), b[:n]...), from)
			}
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}
