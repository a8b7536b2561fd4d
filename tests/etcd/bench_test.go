package etcd

import (
	"slices"
	"testing"
	"time"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/source/etcd"
)

// BenchmarkFleet pushes 10 000 hosts and 1 000 tenants with 100 interfaces each, has a host follow, and changes one interface.
// What it says: the seconds until the first push was through, until a host without anything had it, until one change was
// pushed, and from there until the host had it.
func BenchmarkFleet(b *testing.B) {
	for b.Loop() {
		c := newCluster(b, 1)
		s := c.open()
		fleet := bigFleet(10_000, 1_000, 100)
		watch := time.Now()
		lap := func(what string) {
			b.ReportMetric(time.Since(watch).Seconds(), what)
			watch = time.Now()
		}
		first := push(b, s, fleet)
		lap("s/first-push")
		h := follow(b, etcd.Config{Address: c.address(), Cache: b.TempDir() + "/fleet"})
		h.revision(first)
		lap("s/first-read")
		changed := *fleet
		changed.Tenants = slices.Clone(fleet.Tenants)
		t := &changed.Tenants[500]
		t.Interfaces = slices.Clone(t.Interfaces)
		t.Interfaces[0].MAC = config.MAC{0x52, 0, 0, 0, 0, 1}
		watch = time.Now()
		next := push(b, s, &changed)
		lap("s/one-change")
		h.revision(next)
		lap("s/until-heard")
	}
}
