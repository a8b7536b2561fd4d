package demo

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"

	"github.com/culvertnet/culvert/netns"
)

// visitor is a client outside with a download under way.
type visitor struct {
	// from is the client's own address and port, vm who answers.
	from netip.AddrPort
	vm   string

	received atomic.Int64
	done     chan error
}

// visit begins a download from the address, which must be one of the namespace's, and reads on in the background. It fails
// if the website saw another client than this one.
func visit(ctx context.Context, ns *netns.NS, from netip.Addr, site netip.AddrPort, trust *x509.CertPool) (*visitor, error) {
	v := &visitor{done: make(chan error, 1)}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}, Timeout: greeting}
	client := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (conn net.Conn, err error) {
			err = ns.Do(func() (err error) {
				conn, err = dialer.DialContext(ctx, "tcp", site.String())
				return err
			})
			if err == nil {
				v.from = conn.LocalAddr().(*net.TCPAddr).AddrPort()
			}
			return conn, err
		},
		TLSClientConfig: &tls.Config{RootCAs: trust}, DisableKeepAlives: true,
		TLSHandshakeTimeout: greeting, ResponseHeaderTimeout: greeting,
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+site.String()+"/", nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("download from %s: %w", from, err)
	}
	v.vm = answer.Header.Get(servedBy)
	if seen := answer.Header.Get(servedTo); seen != v.from.String() {
		return nil, errors.Join(fmt.Errorf("%s saw the client %s, which is %s", v.vm, seen, v.from), answer.Body.Close())
	}
	go func() { v.done <- errors.Join(v.read(answer.Body), answer.Body.Close()) }()
	return v, nil
}

// read compares every byte until the website ends the answer.
func (v *visitor) read(body io.Reader) error {
	got := make([]byte, pieceSize)
	for piece := byte(0); ; piece++ {
		n, err := io.ReadFull(body, got)
		v.received.Add(int64(n))
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("download of %s from %s after %d bytes: %w", v.from, v.vm, v.received.Load(), err)
		case !bytes.Equal(got, content(piece)):
			return fmt.Errorf("download of %s from %s: wrong bytes before byte %d", v.from, v.vm, v.received.Load())
		}
	}
}
