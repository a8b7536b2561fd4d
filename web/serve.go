package web

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/culvertnet/culvert/agent/daemon"
)

const (
	// connections are open at once at most. Each is a descriptor, and the daemon's netlink sockets need low numbers.
	connections = 64
	// requests are answered at once at most; more are told to come back. That goes for making an answer, not for sending it.
	requests = 16

	// making is how long an answer may take until its first byte, a reading of the kernel included.
	making = 30 * time.Second
	// slowest is how long a whole answer may take that says nothing else of itself.
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
		IdleTimeout: 20 * time.Second, MaxHeaderBytes: 16 << 10, ConnState: new(limited).follow,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // what clients do wrong is theirs
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	return server.Serve(listener)
}

// healthPath is answered whatever else is going on: monitoring asks there.
const healthPath = "/healthz"

// guard bounds how many requests are answered at once, and says to browsers what pages may do: nothing but show themselves.
func guard(a Address, h http.Handler) http.Handler {
	// The answer is made in memory, and its place is free again before the first byte is sent: slow readers hold none.
	whole := http.TimeoutHandler(bounded(h), making, "it took too long to find out")
	out := &deliveries{patience: delivering}
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
		if r.URL.Path == healthPath {
			h.ServeHTTP(delivery{w, out}, r)
			return
		}
		whole.ServeHTTP(delivery{w, out}, r)
	})
}

// bounded has so many requests answered at once.
func bounded(h http.Handler) http.Handler {
	room := make(chan struct{}, requests)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case room <- struct{}{}:
			defer func() { <-room }()
		default:
			w.Header().Set("Retry-After", "1")
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
