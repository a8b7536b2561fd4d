package etcd

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Scheme begins an address of a fleet in etcd.
const Scheme = "etcd://"

// defaultPrefix is where fleets are that the address does not say otherwise of.
const defaultPrefix = "/culvert"

// Address says where a fleet is kept.
type Address struct {
	// Endpoints are the members' client addresses, host:port.
	Endpoints []string
	// Prefix begins all keys; it begins with a slash and does not end with one.
	Prefix string
}

// ParseAddress reads an address such as "etcd://a.example:2379,b.example:2379/prefix". Without a port 2379 is meant (as
// registered with IANA), without a prefix /culvert.
func ParseAddress(s string) (Address, error) {
	const remedy = "write etcd://host:2379,host:2379/prefix"
	rest, ok := strings.CutPrefix(s, Scheme)
	if !ok {
		return Address{}, fmt.Errorf("source %q does not begin with %s; %s", s, Scheme, remedy)
	}
	hosts, path, _ := strings.Cut(rest, "/")
	a := Address{Prefix: defaultPrefix}
	if path = strings.TrimSuffix(path, "/"); path != "" {
		a.Prefix = "/" + path
	}
	if strings.Contains(a.Prefix, "//") || strings.Trim(a.Prefix, prefixCharacters) != "" {
		return Address{}, fmt.Errorf("source %q: %q cannot be a prefix; use letters, digits, and - _ . / between them", s, a.Prefix)
	}
	for _, h := range strings.Split(hosts, ",") {
		if strings.Contains(h, "@") {
			return Address{}, fmt.Errorf("source etcd://...: %w", errSecret)
		}
		endpoint, err := parseEndpoint(h)
		if err != nil {
			return Address{}, fmt.Errorf("source %q: %w; %s", s, err, remedy)
		}
		a.Endpoints = append(a.Endpoints, endpoint)
	}
	return a, nil
}

const prefixCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./"

var errSecret = fmt.Errorf("a user or a password has no place in an address, which others can see; use --etcd-user and --etcd-password-file")

// parseEndpoint reads a host with or without port.
func parseEndpoint(s string) (string, error) {
	u, err := url.Parse(Scheme + s)
	if err != nil || u.Host != s || !isHost(u.Hostname()) {
		return "", fmt.Errorf("%q is not a host", s)
	}
	port := u.Port()
	if port == "" {
		port = "2379"
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// isHost reports whether a text can be a host's name or address.
func isHost(s string) bool {
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.Zone() == ""
	}
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == ""
}

// String is the address as [ParseAddress] reads it.
func (a Address) String() string { return Scheme + strings.Join(a.Endpoints, ",") + a.Prefix }

// local reports whether all members are on this machine.
func (a Address) local() bool {
	for _, e := range a.Endpoints {
		host, _, _ := net.SplitHostPort(e)
		if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}
