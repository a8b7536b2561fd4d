// Package packet reads and writes the packets that a lab looks at: Ethernet, IPv4, IPv6, TCP, UDP, ICMP, what an ICMP error
// quotes, and what VXLAN carries.
//
//	p, err := packet.Parse(frame, packet.DefaultVXLANPort)
//	f, err := packet.ParseFilter("udp dport=4789 inner.tcp inner.src=10.0.0.0/8")
//	if f.Match(p) { ... }
//	raw, err := packet.Build(packet.Spec{Protocol: packet.UDP, Source: src, Destination: dst, TTL: 3})
//
// Be aware: a packet with wrong checksums is read like any other, see [Packet].Intact. Later fragments have no ports. IPv6 extension headers other than the fragment header end the parse at the network layer.
package packet
