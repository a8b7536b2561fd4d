package web

import (
	"net"
	"net/http"
	"slices"
	"testing"
)

// TestLimited says which connection goes for a new one.
func TestLimited(t *testing.T) {
	var l limited
	conns := make([]net.Conn, connections)
	for i := range conns {
		conns[i] = new(net.TCPConn)
		if out := l.enter(conns[i], http.StateNew); out != nil {
			t.Fatalf("number %d takes another's place", i)
		}
	}
	comes := func(what string, want net.Conn) {
		t.Helper()
		if out := l.enter(new(net.TCPConn), http.StateNew); out != want {
			t.Errorf("%s: another one has to go", what)
		}
		if len(l.open) != connections {
			t.Errorf("%s: %d are open", what, len(l.open))
		}
	}
	l.enter(conns[0], http.StateActive)
	comes("the oldest asks", conns[1])
	l.enter(conns[0], http.StateIdle)
	comes("it has its answer", conns[2])
	l.enter(conns[2], http.StateActive)
	comes("one that had to go is heard of once more", conns[3])
	l.enter(conns[4], http.StateClosed)
	comes("one has gone by itself", nil)
	for _, h := range slices.Clone(l.open) {
		l.enter(h.Conn, http.StateActive)
	}
	comes("all ask", conns[5])
	comes("all ask but one", l.open[connections-1].Conn)
}
