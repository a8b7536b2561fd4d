package traffic_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/culvertnet/culvert/lab/traffic"
)

// TestWeb asks servers with and without TLS, which give the status that they were told to, and are gone when closed.
func TestWeb(t *testing.T) {
	server, far := in(t, "server"), in(t, "far")
	dial := func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = far.Do(func() (err error) {
			conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	at := netip.MustParseAddrPort("198.51.100.1:8080")
	for scheme, status := range map[string]int{"http": 204, "https": 503} {
		web, err := traffic.ServeWeb(server, at, scheme == "https", status)
		if err != nil {
			t.Fatal(err)
		}
		url := scheme + "://" + at.String() + "/any"
		answer, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil || answer.StatusCode != status {
			t.Errorf("%s: status %d, %v", url, answer.StatusCode, err)
		}
		if err := web.Close(); err != nil {
			t.Error(err)
		}
		if answer, err := client.Get(url); err == nil {
			t.Errorf("%s after its end: status %d", url, answer.StatusCode)
			_ = answer.Body.Close()
		}
	}
}
