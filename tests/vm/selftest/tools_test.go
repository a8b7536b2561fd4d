package selftest

import (
	"os/exec"
	"strings"
	"testing"
)

// ruleset uses the kinds of rules that Culvert is made of, as far as text can
// say them.
const ruleset = `
table netdev culvert {
	chain in {
		type filter hook ingress device veth0 priority 0;
		meta pkttype set host
		ip frag-off & 0x3fff == 0 fwd ip to 192.0.2.1 device veth0
	}
}
table ip routed {
	flowtable ft { hook ingress priority 0; devices = { veth0, veth1 }; }
	chain forward {
		type filter hook forward priority 0;
		ct state established flow add @ft
		fib saddr oif missing counter reject with icmp admin-prohibited
	}
	chain pre {
		type filter hook prerouting priority -290;
		ip daddr 203.0.113.9 dup to 192.0.2.1 device veth0
		ip daddr 203.0.113.8 notrack
	}
}
table ip culvert {
	map blocks { type ipv4_addr . mark : interval ipv4_addr . inet_service; flags interval; }
	chain post {
		type nat hook postrouting priority 100;
		meta l4proto { tcp, udp } snat ip to ip saddr . meta mark map @blocks
	}
}
`

func TestRuleset(t *testing.T) {
	inNamespace(t, "selftest-nft")
	command(t, "", "ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1")
	command(t, ruleset, "nft", "-f", "-")
	listing := command(t, "", "nft", "list", "ruleset")
	for _, text := range []string{"fwd ip to", "flow add @ft", "dup to", "snat", "fib saddr"} {
		if !strings.Contains(listing, text) {
			t.Errorf("listing lacks %q:\n%s", text, listing)
		}
	}
}

func TestIPVS(t *testing.T) {
	inNamespace(t, "selftest-ipvs")
	command(t, "", "ip", "link", "set", "lo", "up")
	command(t, "", "ipvsadm", "-A", "-t", "203.0.113.1:443", "-s", "mh", "-b", "mh-port,mh-fallback")
	command(t, "", "ipvsadm", "-a", "-t", "203.0.113.1:443", "-r", "100.96.0.1:443", "-g")
	if listing := command(t, "", "ipvsadm", "-Ln"); !strings.Contains(listing, "100.96.0.1:443") {
		t.Errorf("listing lacks the destination:\n%s", listing)
	}
}

func TestConntrackTool(t *testing.T) {
	inNamespace(t, "selftest-ct")
	command(t, "", "conntrack", "-I", "-p", "udp", "-s", "192.0.2.1", "-d", "192.0.2.2",
		"--sport", "1000", "--dport", "53", "-t", "60")
	if listing := command(t, "", "conntrack", "-L"); !strings.Contains(listing, "sport=1000") {
		t.Errorf("listing lacks the entry:\n%s", listing)
	}
}

func TestOtherTools(t *testing.T) {
	for _, argv := range [][]string{{"tcpdump", "--version"}, {"tc", "-Version"}, {"ss", "-Htan"}, {"bridge", "link"}} {
		command(t, "", argv...)
	}
}

// command runs a program in the test's namespace and returns its output.
func command(t *testing.T, stdin string, argv ...string) string {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}
