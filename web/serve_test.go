package web

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestGuard looks at what is refused, and at what pages are told that they may do.
func TestGuard(t *testing.T) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	for _, tt := range []struct {
		listen, host string
		want         int
	}{
		{"127.0.0.1:9469", "127.0.0.1:9469", http.StatusOK},
		{"127.0.0.1:9469", "localhost:8080", http.StatusOK}, // a tunnel
		{"[::1]:9469", "[::1]:9469", http.StatusOK},
		{"127.0.0.1:9469", "evil.example.net:9469", http.StatusMisdirectedRequest},
		{"192.0.2.1:9469", "hv1.example.net:9469", http.StatusOK},
		{"unix:/run/x", "culvert", http.StatusOK},
	} {
		a, err := ParseAddress(tt.listen)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Host = tt.host
		guard(a, ok).ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%s asked as %s: %d, want %d", tt.listen, tt.host, w.Code, tt.want)
		}
		if got := w.Header().Get("Content-Security-Policy"); got != "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" {
			t.Error(got)
		}
	}
}

// TestGuardBounds sends more requests at once than are answered.
func TestGuardBounds(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	h := guard(Address{"unix", "/x"}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		inside <- struct{}{}
		<-leave
	}))
	ask := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		return w.Code
	}
	codes := make(chan int)
	for range requests {
		go func() { codes <- ask() }()
		<-inside
	}
	if code := ask(); code != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d", code)
	}
	close(leave)
	for range requests {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("%d", code)
		}
	}
}

// TestServe opens more connections than there is room for: the one that has been quiet for the longest ends, the others stay. The
// socket is one that a dead program left.
func TestServe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.sock")
	left, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, Address{"unix", path}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), slog.New(slog.DiscardHandler))
	}()
	dial := func() net.Conn {
		for {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", path)
			if err == nil {
				return conn
			}
			if t.Context().Err() != nil {
				t.Fatal(err)
			}
		}
	}
	var conns []net.Conn
	ask := func(conn net.Conn) error {
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
	for i := range connections + 1 {
		if i == connections { // the second is the quiet one now
			if err := ask(conns[0]); err != nil {
				t.Errorf("again: %v", err)
			}
		}
		conns = append(conns, dial())
		if err := ask(conns[i]); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	for i, conn := range conns {
		if err := ask(conn); (err != nil) != (i == 1) {
			t.Errorf("connection %d, when there was one too many: %v", i, err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestServeTaken has the address taken: that is told, and ends nothing.
func TestServeTaken(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan string, 1)
	log := slog.New(telling{slog.DiscardHandler, errs})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, Address{"tcp", taken.Addr().String()}, http.NotFoundHandler(), log) }()
	if text := <-errs; !strings.Contains(text, "status page and metrics are away") {
		t.Error(text)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := taken.Close(); err != nil {
		t.Error(err)
	}
}

// telling hands errors on.
type telling struct {
	slog.Handler
	errs chan<- string
}

func (telling) Enabled(context.Context, slog.Level) bool { return true }

func (l telling) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelError {
		l.errs <- r.Message
	}
	return nil
}
