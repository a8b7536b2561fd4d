package config

import "time"

// ConntrackLimit bounds a tenant's connection tracking on each host.
type ConntrackLimit struct {
	// Max is the maximum number of conntrack entries of the tenant on one host; the kernel's default when zero.
	Max int `yaml:"max,omitempty" range:"1..2147483647"`
}

// Timeouts says how long conntrack entries of a tenant live without traffic. Zero means the fabric's default. All are
// whole seconds, as that is what the kernel takes, and at most 480h: the kernel keeps them in 32 bits of milliseconds.
type Timeouts struct {
	// TCPEstablished is for established TCP connections, at least 2h4m (RFC 5382 REQ-5).
	TCPEstablished time.Duration `yaml:"tcpEstablished,omitempty" range:"2h4m..480h"`
	// TCPTransitory is for TCP connections that open or close, at least 4m (RFC 5382 REQ-5).
	TCPTransitory time.Duration `yaml:"tcpTransitory,omitempty" range:"4m..480h"`
	// UDP is for UDP flows without an answer yet, at least 2m (RFC 4787 REQ-5).
	UDP time.Duration `yaml:"udp,omitempty" range:"2m..480h"`
	// UDPStream is for UDP flows with traffic in both directions, at least 2m (RFC 4787 REQ-5).
	UDPStream time.Duration `yaml:"udpStream,omitempty" range:"2m..480h"`
	// ICMP is for ICMP queries, at least 60s (RFC 5508 REQ-2).
	ICMP time.Duration `yaml:"icmp,omitempty" range:"60s..480h"`
}
