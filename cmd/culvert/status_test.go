package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	goodFleet = `
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
tenants:
  - name: acme
    vni: 100
    interfaces:
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12]}
    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}
`
	badFleet = "hosts:\n  - {name: hv1, underlay: 192.0.2.1, roles: [king]}\n"
)

// TestExitStatus holds the statuses that scripts rely on: 2 for bad input, but for plan 2 means changes and 1 everything else.
func TestExitStatus(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, bad := write("good.yaml", goodFleet), write("bad.yaml", badFleet)
	full := write("full.yaml", strings.ReplaceAll(goodFleet, "1024", "64512")+
		"    loadBalancers: [{name: web, address: 45.86.152.23, listeners: [{protocol: tcp, port: 8443}]}]\n")
	for _, test := range []struct {
		args string
		want int
	}{
		{"validate -f " + good, 0},
		{"validate -f " + bad, 2},
		{"validate -f " + filepath.Join(dir, "none.yaml"), 2},
		{"validate --nonsense", 2},
		{"validate too many", 2},
		{"nonsense", 2},
		{"lab nonsense", 2},
		{"", 0},
		{"--help", 0},
		{"allocate -f " + bad, 2},
		{"allocate -f " + full, 2},
		{"allocate -f " + good + " --check", 2},
		{"allocate -f " + good, 0},
		{"allocate -f " + good + " --check", 0},
		{"render -f " + good + " --host hv1", 0},
		{"render -f " + good + " --host hv9", 2},
		{"render -f " + good + " --lock " + filepath.Join(dir, "none"), 2},
		{"lab up -f " + filepath.Join(dir, "none.yaml"), 2},
		{"status --fleet --source etcd://127.0.0.1:1 --etcd-ca " + filepath.Join(dir, "none"), 2},
		{"status --fleet --source etcd://127.0.0.1:1 --etcd-ca " + good, 2},
		{"status --fleet --source etcd://127.0.0.1:1 --etcd-ca " + good + " --etcd-cert " + good, 2},
		{"status --fleet --source etcd://127.0.0.1:1 --etcd-user me", 2},
		{"status --fleet --source etcd://127.0.0.1:1 --etcd-user me --etcd-password-file " + filepath.Join(dir, "none"), 2},
		{"plan --source etcd://127.0.0.1:1 --etcd-user me", 1},
		{"apply --source etcd://127.0.0.1:1 -f " + good, 2},
		{"apply --source etcd://127.0.0.1:1 --lock " + good, 2},
		{"daemon --source etcd://127.0.0.1:1 -f " + good, 2},
		{"plan -f " + bad, 1},
		{"plan --nonsense", 1},
		{"plan -f " + good + " -o xml", 1},
		{"plan too many", 1},
		{"doctor --host hv1", 2},
		{"doctor --lock fleet.lock.yaml", 2},
		{"doctor --namespace x", 2},
		{"doctor --prefix x-", 2},
		{"doctor -f " + good + " -o xml", 2},
		{"counters -o xml", 2},
		{"daemon --check 1ms", 2},
		{"daemon --log-format xml", 2},
		{"daemon --listen example.net", 2},
		{"daemon too many", 2},
		{"status -o xml", 2},
		{"status --socket " + filepath.Join(dir, "none"), 1},
	} {
		var stdout, stderr bytes.Buffer
		got := run(context.Background(), strings.Fields("culvert "+test.args), &stdout, &stderr)
		if got != test.want {
			t.Errorf("culvert %s: status %d, want %d\n%s%s", test.args, got, test.want, &stdout, &stderr)
		}
		if got == 1 && stderr.Len() == 0 {
			t.Errorf("culvert %s fails without a word", test.args)
		}
	}
}
