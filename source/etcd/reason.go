package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// reasonTimeout bounds the search for a reason.
const reasonTimeout = 2 * time.Second

// reason says why members cannot be reached, if err says no more than that time was up: the client goes on trying and keeps
// to itself what went wrong.
func (a Access) reason(ctx context.Context, where Address, err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	secure, tlsErr := a.tls()
	if tlsErr != nil {
		return errors.Join(err, tlsErr)
	}
	ctx, cancel := context.WithTimeout(ctx, reasonTimeout)
	defer cancel()
	var reasons []error
	for _, endpoint := range where.Endpoints {
		if why := knock(ctx, endpoint, secure); why != nil {
			reasons = append(reasons, fmt.Errorf("%s: %w", endpoint, why))
		}
	}
	if len(reasons) == 0 {
		return fmt.Errorf("no answer in time: do its members reach each other, and does it talk %s?", speech(secure))
	}
	return errors.Join(reasons...)
}

func speech(secure *tls.Config) string {
	if secure == nil {
		return "without TLS (else give --etcd-ca)"
	}
	return "with TLS (else leave out --etcd-ca)"
}

// knock connects as far as it takes for a server to refuse.
func knock(ctx context.Context, endpoint string, secure *tls.Config) error {
	if secure == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", endpoint)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	secure = secure.Clone()
	secure.NextProtos = []string{"h2"}
	conn, err := (&tls.Dialer{Config: secure}).DialContext(ctx, "tcp", endpoint)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	// The server looks at the client's certificate when the client has done (RFC 8446 section 2). If it is content, it sends
	// its settings (RFC 9113 section 3.4).
	_ = conn.SetReadDeadline(time.Now().Add(reasonTimeout / 4))
	var timeout net.Error
	if _, err := conn.Read(make([]byte, 1)); err != nil && !(errors.As(err, &timeout) && timeout.Timeout()) {
		return err
	}
	return nil
}
