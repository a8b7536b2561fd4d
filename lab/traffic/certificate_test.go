package traffic_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/culvertnet/culvert/lab/traffic"
)

// TestCertificate shakes hands with who trusts the certificate, at its address and at another, and with who does not.
func TestCertificate(t *testing.T) {
	address := netip.MustParseAddr("198.51.100.1")
	certificate, trust, err := traffic.Certificate(address)
	if err != nil {
		t.Fatal(err)
	}
	shake := func(trust *x509.CertPool, name string) error {
		here, there := net.Pipe()
		defer func() { _ = here.Close() }()
		go func() {
			_ = tls.Server(there, &tls.Config{Certificates: []tls.Certificate{certificate}}).HandshakeContext(t.Context()) // the client says what is wrong
			_ = there.Close()
		}()
		return tls.Client(here, &tls.Config{RootCAs: trust, ServerName: name}).HandshakeContext(t.Context())
	}
	if err := shake(trust, address.String()); err != nil {
		t.Errorf("who trusts it: %v", err)
	}
	if err := shake(trust, "198.51.100.2"); !errors.As(err, &x509.HostnameError{}) {
		t.Errorf("at another address: %v", err)
	}
	if err := shake(x509.NewCertPool(), address.String()); !errors.As(err, &x509.UnknownAuthorityError{}) {
		t.Errorf("who does not trust it: %v", err)
	}
}
