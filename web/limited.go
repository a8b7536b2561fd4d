package web

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// limited keeps no more connections open than [connections]: a new one takes the place of the one that has been quiet for the longest.
// Who holds connections open keeps nobody out.
type limited struct {
	net.Listener
	mu   sync.Mutex
	open map[*counted]bool
}

func (l *limited) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &counted{Conn: conn, in: l}
	c.move()
	if quiet := l.enter(c); quiet != nil {
		_ = quiet.Conn.Close() // its end is told to whoever reads or writes there
	}
	return c, nil
}

// enter returns the connection that has to go, nil if there is room.
func (l *limited) enter(c *counted) (quiet *counted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= connections {
		for o := range l.open {
			if quiet == nil || o.moved.Load() < quiet.moved.Load() {
				quiet = o
			}
		}
		delete(l.open, quiet)
	}
	l.open[c] = true
	return quiet
}

// counted is an open connection.
type counted struct {
	net.Conn
	in *limited
	// moved is when something came over it last, or a part of an answer was begun, in Unix's nanoseconds.
	moved atomic.Int64
}

func (c *counted) move() { c.moved.Store(time.Now().UnixNano()) }

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.move()
	return n, err
}

func (c *counted) Write(b []byte) (int, error) {
	c.move()
	return c.Conn.Write(b)
}

// Close gives the place back.
func (c *counted) Close() error {
	c.in.mu.Lock()
	delete(c.in.open, c)
	c.in.mu.Unlock()
	return c.Conn.Close()
}
