package traffic

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/culvertnet/culvert/netns"
)

// Web is a server that gives every request of HTTP the same answer.
type Web struct {
	server *http.Server
	done   chan error
}

// ServeWeb starts one in the namespace. The address must be one of the node's. With secure it speaks TLS, with a certificate that it
// has signed itself.
func ServeWeb(ns *netns.NS, addr netip.AddrPort, secure bool, status int) (*Web, error) {
	var listener net.Listener
	err := ns.Do(func() (err error) {
		listener, err = net.Listen("tcp", addr.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("serve %s in %s: %w", addr, ns.Name(), err)
	}
	if secure {
		certificate, _, err := Certificate(addr.Addr())
		if err != nil {
			return nil, errors.Join(err, listener.Close())
		}
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}})
	}
	w := &Web{done: make(chan error, 1), server: &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }),
		ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
	}}
	go func() { w.done <- w.server.Serve(listener) }()
	return w, nil
}

// Close ends the server with all its connections.
func (w *Web) Close() error {
	err := w.server.Close()
	if ended := <-w.done; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}
