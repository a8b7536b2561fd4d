package web

import (
	"net"
	"net/http"
	"slices"
	"sync"
)

// limited keeps no more than [connections] open: a new one takes the place of the one that has asked nothing for the longest. Who holds
// connections open keeps nobody out, and takes no answer from anybody.
type limited struct {
	mu sync.Mutex
	// open are the connections in the order in which they last became what they are.
	open []held
}

// held is an open connection.
type held struct {
	net.Conn
	// asked is true from when the head of a request is there until its answer has been sent.
	asked bool
}

// follow is told by the server what becomes of connections.
func (l *limited) follow(c net.Conn, state http.ConnState) {
	if quiet := l.enter(c, state); quiet != nil {
		_ = quiet.Close() // its end is told to whoever reads or writes there
	}
}

// enter returns the connection that has to go, nil if there is room. What is being answered goes only if all the others are, too.
func (l *limited) enter(c net.Conn, state http.ConnState) (quiet net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.IndexFunc(l.open, func(h held) bool { return h.Conn == c })
	switch {
	case at >= 0:
		l.open = slices.Delete(l.open, at, at+1)
	case state != http.StateNew:
		return nil // it had to go before
	}
	if state == http.StateClosed || state == http.StateHijacked {
		return nil
	}
	if len(l.open) >= connections {
		out := max(0, slices.IndexFunc(l.open, func(h held) bool { return !h.asked }))
		quiet = l.open[out].Conn
		l.open = slices.Delete(l.open, out, out+1)
	}
	l.open = append(l.open, held{c, state == http.StateActive})
	return quiet
}
