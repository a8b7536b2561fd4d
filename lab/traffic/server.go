package traffic

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// Client is a flow as its server sees it.
type Client struct {
	// Remote is the source address and port that arrived here.
	Remote netip.AddrPort
	// Received counts payload bytes.
	Received int64
	// Open is true until the client ends the flow; UDP flows have no end.
	Open bool
}

// Server answers the flows of this package on one address and port of a node.
type Server struct {
	network Network
	addr    netip.AddrPort
	listen  *socket
	done    sync.WaitGroup

	mu      sync.Mutex
	clients map[netip.AddrPort]*Client
	order   []netip.AddrPort
	conns   map[*socket]bool
	closed  bool
	failed  error
}

// Serve starts a server in the namespace. The address must be one of the node's; port 0 is any free port.
func Serve(ns *netns.NS, network Network, addr netip.AddrPort) (*Server, error) {
	kind := unix.SOCK_STREAM
	if network == UDP {
		kind = unix.SOCK_DGRAM
	}
	s, err := newSocket(ns, familyOf(addr.Addr()), kind, 0)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		s.setInt([3]int{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1}),
		s.control(func(fd int) error { return unix.Bind(fd, sockaddr(addr)) }))
	if err == nil && network == TCP {
		err = s.control(func(fd int) error { return unix.Listen(fd, 4096) })
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serve %s %s in %s: %w", network, addr, ns.Name(), err), s.Close())
	}
	server := &Server{
		network: network, addr: s.local(), listen: s,
		clients: map[netip.AddrPort]*Client{}, conns: map[*socket]bool{},
	}
	loop := server.acceptAll
	if network == UDP {
		loop = server.echoAll
	}
	server.done.Go(loop)
	return server, nil
}

// Addr is where the server listens.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Clients lists the flows that have arrived, in order of arrival. A port that is used again is listed once.
func (s *Server) Clients() []Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Client, 0, len(s.order))
	for _, remote := range s.order {
		all = append(all, *s.clients[remote])
	}
	return all
}

// Close ends the server and every flow to it, and waits until nothing of it runs. It returns why the server stopped
// accepting flows, if it did.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	errs := []error{s.failed, s.listen.Close()}
	for c := range s.conns {
		_ = c.Close() // the serving goroutine may have been first
	}
	s.mu.Unlock()
	s.done.Wait()
	return errors.Join(errs...)
}

// fail records why no more flows are accepted.
func (s *Server) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = fmt.Errorf("serve %s %s: %w", s.network, s.addr, err)
}

// meet records a client.
func (s *Server) meet(remote netip.AddrPort, received int64, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[remote]
	if c == nil {
		c = &Client{Remote: remote}
		s.clients[remote] = c
		s.order = append(s.order, remote)
	}
	c.Received += received
	c.Open = open
}

func (s *Server) acceptAll() {
	for {
		fd, remote := -1, netip.AddrPort{}
		err := s.listen.receive(func(listening int) (err error) {
			var sa unix.Sockaddr
			fd, sa, err = unix.Accept4(listening, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err == nil {
				remote = addrPort(sa)
			}
			return err
		})
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case errors.Is(err, unix.ECONNABORTED): // reset before it was accepted
			continue
		case err != nil:
			s.fail(err)
			return
		}
		conn, err := adopt(fd)
		if err == nil {
			err = conn.setInt(noDelay)
		}
		if err != nil {
			s.fail(err)
			return
		}
		s.serve(conn, remote)
	}
}

func (s *Server) serve(conn *socket, remote netip.AddrPort) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		_ = conn.Close()
		return
	}
	s.conns[conn] = true
	s.mu.Unlock()
	s.meet(remote, 0, true)
	s.done.Go(func() {
		for s.answer(conn, remote) == nil {
		}
		s.meet(remote, 0, false)
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
		_ = conn.Close() // Close of the server may have been first
	})
}

// answer serves one request.
func (s *Server) answer(conn *socket, remote netip.AddrPort) error {
	r, err := readRequest(conn.File)
	if err != nil {
		return err
	}
	return s.perform(r, conn, remote)
}

// echoAll sends every datagram of this package back with the address it came from.
func (s *Server) echoAll() {
	b := make([]byte, 1<<16)
	for {
		var n int
		var from unix.Sockaddr
		err := s.listen.receive(func(fd int) (err error) {
			n, from, err = unix.Recvfrom(fd, b, 0)
			return err
		})
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case err != nil || n < datagramHeader || string(b[:4]) != datagramMark:
			continue
		}
		remote := addrPort(from)
		s.meet(remote, int64(n), true)
		putAddress(b[12:], remote)
		// A datagram that cannot be sent is lost, as it would be further on.
		_ = s.listen.transmit(func(fd int) error { return unix.Sendto(fd, b[:n], 0, from) })
	}
}

var errUnknownOperation = errors.New("unknown operation")
