package overlay

import (
	"cmp"
	"strconv"
	"time"

	"github.com/culvertnet/culvert/config"
)

// Defaults of a tenant's timeouts. The kernel's own are shorter, but for established TCP, where five days keep ports from
// others that nobody uses.
const (
	defaultTCPEstablished = 2*time.Hour + 4*time.Minute // RFC 5382 REQ-5: at least this
	defaultTCPTransitory  = 4 * time.Minute             // RFC 5382 REQ-5: at least this
	defaultUDP            = 5 * time.Minute             // RFC 4787 REQ-5: at least 2 minutes, recommended 5
	defaultICMP           = time.Minute                 // RFC 5508 REQ-2: at least this
)

// timeouts are the parameters of connection tracking that say how long an entry lives without a packet. Each namespace
// has its own. They exist once the rules use connection tracking; an entry takes a new value with its next packet.
//
// Two of TCP's timeouts are the kernel's: after a reset (10 s), about which RFC 5382 says nothing, and after SYNs that crossed
// each other (120 s), which has no parameter.
func timeouts(t config.Timeouts) []Sysctl {
	const prefix = "net/netfilter/nf_conntrack_"
	var out []Sysctl
	add := func(value, otherwise time.Duration, names ...string) {
		seconds := strconv.Itoa(int(cmp.Or(value, otherwise) / time.Second))
		for _, name := range names {
			out = append(out, Sysctl{Path: prefix + name, Value: seconds, at: stagePort})
		}
	}
	add(t.TCPEstablished, defaultTCPEstablished, "tcp_timeout_established")
	add(t.TCPTransitory, defaultTCPTransitory, "tcp_timeout_syn_sent", "tcp_timeout_syn_recv", "tcp_timeout_fin_wait",
		"tcp_timeout_close_wait", "tcp_timeout_last_ack", "tcp_timeout_time_wait")
	add(t.UDP, defaultUDP, "udp_timeout")
	add(t.UDPStream, defaultUDP, "udp_timeout_stream")
	add(t.ICMP, defaultICMP, "icmp_timeout")
	return out
}

// timeouts are for hosts that track the tenant's connections: those where its VMs are.
func (b *builder) timeouts() {
	if b.tenant.NAT != nil || len(b.tenant.Balancers) > 0 {
		b.add(sysctls(timeouts(b.tenant.Timeouts))...)
	}
}
