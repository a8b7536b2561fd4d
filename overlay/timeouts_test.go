package overlay

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/culvertnet/culvert/config"
)

// TestTimeoutsMeetTheRFCs holds the defaults against the least values that the fleet document accepts, which are the RFCs'.
func TestTimeoutsMeetTheRFCs(t *testing.T) {
	least := map[string]time.Duration{"tcp_timeout_established": 124 * time.Minute, "tcp": 4 * time.Minute, "udp": 2 * time.Minute, "icmp": time.Minute}
	all := timeouts(config.Timeouts{})
	if len(all) != 10 {
		t.Errorf("%d parameters, want 10", len(all))
	}
	for _, s := range all {
		name := strings.TrimPrefix(s.Path, "net/netfilter/nf_conntrack_")
		want, ok := least[name]
		if !ok {
			protocol, _, _ := strings.Cut(name, "_")
			want = least[protocol]
		}
		if got, err := strconv.Atoi(s.Value); err != nil || want == 0 || time.Duration(got)*time.Second < want {
			t.Errorf("%s is %s s, want %s at least", name, s.Value, want)
		}
	}
}

// TestTimeouts changes a tenant's timeouts, breaks one and takes them all back.
func TestTimeouts(t *testing.T) {
	r := newRig(t)
	if _, err := os.Stat("/proc/sys/net/netfilter/nf_conntrack_max"); err != nil {
		t.Skip("needs the module nf_conntrack, which the agent's rules load: ", err)
	}
	r.device("tap-a")
	h := hostOf(hypervisor())
	path := func(name string) string { return "/proc/sys/net/netfilter/nf_conntrack_" + name }
	value := func(name string) string {
		t.Helper()
		ns := must(r.k.NS("culvert-acme"))
		defer func() { _ = ns.Close() }()
		var b []byte
		if err := ns.Do(func() (err error) { b, err = os.ReadFile(filepath.Clean(path(name))); return err }); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	want := func(values map[string]string) {
		t.Helper()
		for name, want := range values {
			if got := value(name); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
	}
	defaults := map[string]string{
		"tcp_timeout_established": "7440", "tcp_timeout_syn_sent": "240", "tcp_timeout_time_wait": "240", "udp_timeout": "300", "udp_timeout_stream": "300", "icmp_timeout": "60",
	}
	r.settle(h)
	want(defaults)
	h.Tenants[0].Timeouts = config.Timeouts{TCPEstablished: 3 * time.Hour, TCPTransitory: 5 * time.Minute, UDP: 2 * time.Minute, UDPStream: 10 * time.Minute, ICMP: 90 * time.Second}
	r.settle(h)
	own := map[string]string{
		"tcp_timeout_established": "10800", "tcp_timeout_syn_recv": "300", "tcp_timeout_last_ack": "300", "udp_timeout": "120", "udp_timeout_stream": "600", "icmp_timeout": "90",
	}
	want(own)
	ns := must(r.k.NS("culvert-acme"))
	err := ns.Do(func() error { return os.WriteFile(path("udp_timeout"), []byte("7"), 0) })
	_ = ns.Close()
	if err != nil {
		t.Fatal(err)
	}
	r.settle(h)
	want(own)
	h.Tenants[0].Timeouts = config.Timeouts{}
	r.settle(h)
	want(defaults)
}
