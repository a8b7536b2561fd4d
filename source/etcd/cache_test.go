package etcd

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata/cache")

// TestCacheFile has a cache as hosts have it on their disks: it is written like that, and read. tests/systemd starts from it as well.
func TestCacheFile(t *testing.T) {
	const golden = "testdata/cache"
	fleet, lock := parseFleet(t, `
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
tenants:
  - name: acme
    vni: 100
    interfaces:
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12]}
    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}
`)
	path := filepath.Join(t.TempDir(), "new", "fleet")
	if err := writeCache(path, here, 7, encodeFleet(t, fleet, lock)); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, readFile(t, path), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(readFile(t, path), readFile(t, golden)) {
		t.Errorf("%s is not what is written; if that is meant to be, hosts with a cache of before must be able to read it: run with -update", golden)
	}
	revision, i, err := readCache(golden, here)
	if err != nil || revision != 7 {
		t.Fatalf("revision %d, %v", revision, err)
	}
	l := loader{layout: here}
	got, gotLock, err := l.load(t.Context(), i.root, i.get)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fleet, got, same) + cmp.Diff(lock, gotLock, same); diff != "" {
		t.Errorf("fleet and lock (-kept +read):\n%s", diff)
	}
}
