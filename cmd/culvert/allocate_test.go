package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/culvertnet/culvert/portmap"
)

// manyClaims is a lock of n hosts, each with a block of a tenant of its own that begins at the given port.
func manyClaims(n int, first uint16) *portmap.Lock {
	l := portmap.NewLock()
	for i := range n {
		host := fmt.Sprintf("hv%d", i)
		l.Hosts[host] = portmap.HostID(i + 1)
		l.Tenants[fmt.Sprintf("t%d", i)] = &portmap.Tenant{Claims: []portmap.Claim{{
			Claimant: portmap.Claimant{Host: host},
			Blocks:   []portmap.Block{{Address: netip.MustParseAddr("192.0.2.1"), First: first, Last: first + portmap.Granule - 1}},
		}}}
	}
	return l
}

func TestPrintLockChanges(t *testing.T) {
	old, lock := manyClaims(2, 1024), manyClaims(3, 1024)
	lock.Tenants["t0"].Claims[0].Blocks[0].Last += portmap.Granule
	var out bytes.Buffer
	changed, err := printLockChanges(&out, old, lock)
	want := `- tenant t0: host hv0: 192.0.2.1 1024-1087 (64 ports)
+ host hv2: id 3
+ tenant t0: host hv0: 192.0.2.1 1024-1151 (128 ports)
+ tenant t2: host hv2: 192.0.2.1 1024-1087 (64 ports)
`
	if err != nil || !changed || out.String() != want {
		t.Errorf("changed %v, error %v, printed\n%swant\n%s", changed, err, &out, want)
	}
}

// TestPrintManyLockChanges has 10 000 claims change. Comparing each line with each takes minutes.
func TestPrintManyLockChanges(t *testing.T) {
	const n = 10_000
	old, lock := manyClaims(n, 1024), manyClaims(n, 2048)
	var out bytes.Buffer
	start := time.Now()
	changed, err := printLockChanges(&out, old, lock)
	if err != nil || !changed {
		t.Fatal(changed, err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	lost, gained := strings.Count(out.String(), "- tenant"), strings.Count(out.String(), "+ tenant")
	if lost != n || gained != n || strings.Contains(out.String(), "host hv0: id") {
		t.Errorf("%d lines lost and %d gained, want %d of each and no host", lost, gained, n)
	}
}
