package web

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/culvertnet/culvert/agent/daemon"
)

const (
	// connections are open at once at most, with more waiting in the kernel. Each is a descriptor, and the daemon's netlink sockets
	// need low numbers.
	connections = 64
	// requests are answered at once at most; more are told to come back.
	requests = 16

	// slowest is how long a whole answer may take, a reading of the kernel included.
	slowest = time.Minute
	again   = 5 * time.Second
)

// Serve answers until the context ends, then returns nil. While it cannot listen it says so once and tries again.
func Serve(ctx context.Context, a Address, h http.Handler, log *slog.Logger) error {
	told := false
	for ctx.Err() == nil {
		listener, err := a.listen()
		if err == nil {
			told = false
			log.Info("listening", "address", a.String())
			if !a.Local() {
				log.Warn("whoever can reach the address can read the names of tenants, VMs and addresses", "address", a.String())
			}
			err = serve(ctx, listener, guard(a, h))
		}
		if ctx.Err() != nil {
			break
		}
		if !told {
			told = true
			log.Error("status page and metrics are away", "address", a.String(), "err", err, "retry", again)
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
	return nil
}

func (a Address) listen() (net.Listener, error) {
	if a.Network == "unix" {
		return daemon.ListenUnix(a.Text)
	}
	return net.Listen("tcp", a.Text)
}

func serve(ctx context.Context, listener net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: slowest,
		IdleTimeout: 20 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // what clients do wrong is theirs
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	return server.Serve(&limited{Listener: listener, room: make(chan struct{}, connections), closed: make(chan struct{})})
}

// limited accepts no more connections than there is room for.
type limited struct {
	net.Listener
	room   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.room <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	return &counted{Conn: conn, leave: sync.OnceFunc(func() { <-l.room })}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// counted gives its place back when it is closed.
type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// guard bounds how many requests are answered at once, and says to browsers what pages may do: nothing but show themselves.
func guard(a Address, h http.Handler) http.Handler {
	room := make(chan struct{}, requests)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cache-Control", "no-store")
		if a.Network == "tcp" && a.Local() && !addressed(r.Host) {
			http.Error(w, "ask by the address or by localhost", http.StatusMisdirectedRequest)
			return
		}
		select {
		case room <- struct{}{}:
			defer func() { <-room }()
		default:
			head.Set("Retry-After", "1")
			http.Error(w, "too many requests at once", http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// addressed reports whether a request names this machine itself. A page from elsewhere whose name leads here (DNS rebinding) does not,
// so a browser on the host cannot be made to read the status for others.
func addressed(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "" || loopback(host)
}
