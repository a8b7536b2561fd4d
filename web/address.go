package web

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Address is where to listen: a TCP address and port, or the path of a unix socket.
type Address struct {
	// Network is "tcp" or "unix".
	Network string
	// Text is the address with its port, or the path.
	Text string
}

// ParseAddress reads "127.0.0.1:9469", "[::1]:9469", ":9469" (all addresses) or "unix:/run/culvert/web.sock".
func ParseAddress(text string) (Address, error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return Address{}, fmt.Errorf("listen on %q: want the whole path, as in unix:/run/culvert/web.sock", text)
		}
		return Address{"unix", path}, nil
	}
	host, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err == nil && host != "" && host != "localhost" {
		_, err = netip.ParseAddr(host)
	}
	if err != nil {
		return Address{}, fmt.Errorf("listen on %q: want an address and a port, as in 127.0.0.1:9469 or [::1]:9469, or unix:PATH", text)
	}
	return Address{"tcp", text}, nil
}

// String is the address as [ParseAddress] reads it.
func (a Address) String() string {
	if a.Network == "unix" {
		return "unix:" + a.Text
	}
	return a.Text
}

// Local reports whether only programs on the host can reach it.
func (a Address) Local() bool {
	if a.Network == "unix" {
		return true
	}
	host, _, _ := net.SplitHostPort(a.Text)
	return loopback(host)
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
