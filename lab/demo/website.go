package demo

import (
	"context"
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

// A download sends a piece of pieceSize bytes every pieceTime, until the website is told to finish: about 80 kB/s, so that
// many run at once in an emulated machine.
const (
	pieceSize = 4096
	pieceTime = 50 * time.Millisecond
)

// Headers of an answer.
const (
	servedBy = "Served-By" // the VM
	servedTo = "Served-To" // the client's address and port, as the VM saw them
)

// website is an HTTPS server in a VM.
type website struct {
	server *http.Server
	failed chan error
}

// open begins a website in the namespace. Closing finish ends its downloads.
func open(ns *netns.NS, vm string, at netip.AddrPort, certificate tls.Certificate, finish <-chan struct{}) (*website, error) {
	var l net.Listener
	err := ns.Do(func() (err error) {
		l, err = net.Listen("tcp", at.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("serve https in %s: %w", vm, err)
	}
	w := &website{failed: make(chan error, 1)}
	w.server = &http.Server{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13},
		ErrorLog:  log.New(io.Discard, "", 0), // failed handshakes are the clients' to report
		Handler: http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
			answer.Header().Set(servedBy, vm)
			answer.Header().Set(servedTo, request.RemoteAddr)
			download(request.Context(), answer, finish)
		}),
	}
	go func() { w.failed <- w.server.ServeTLS(l, "", "") }()
	return w, nil
}

// close ends the website and every connection to it.
func (w *website) close() error {
	err := w.server.Close()
	if failed := <-w.failed; !errors.Is(failed, http.ErrServerClosed) {
		err = errors.Join(err, failed)
	}
	return err
}

// download sends pieces until it is to finish or the client goes.
func download(ctx context.Context, answer http.ResponseWriter, finish <-chan struct{}) {
	tick := time.NewTicker(pieceTime)
	defer tick.Stop()
	stream := http.NewResponseController(answer)
	for piece := byte(0); ; piece++ {
		if _, err := answer.Write(content(piece)); err != nil {
			return // the client sees an answer without its end
		}
		if err := stream.Flush(); err != nil {
			return
		}
		select {
		case <-finish:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// content is a piece of a download: no two neighbours are equal, so a lost or repeated one is seen.
func content(piece byte) []byte {
	b := make([]byte, pieceSize)
	for i := range b {
		b[i] = piece ^ byte(i*7) ^ byte(i>>8)
	}
	return b
}
