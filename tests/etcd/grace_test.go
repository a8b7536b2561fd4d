package etcd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/source/etcd"
)

// TestGrace has a reader find back to etcd before a host does whose lease has ended in the meantime. The host is given time;
// one that has not come back when that is over is lost.
func TestGrace(t *testing.T) {
	c := newCluster(t, 1)
	s, raw := c.open(), c.raw()
	put := func(key string) {
		t.Helper()
		if _, err := raw.Put(t.Context(), prefix+"/v1/"+key, ""); err != nil {
			t.Fatal(err)
		}
	}
	one := push(t, s, parse(t))
	for _, host := range []string{"hv1", "hv2"} {
		put("status/" + host)
		put("live/" + host)
	}
	edge := follow(t, etcd.Config{Address: etcd.Address{Endpoints: []string{c.members[0].front.address}, Prefix: prefix}})
	edge.revision(one)
	c.members[0].front.shut("", true)
	edge.refusal("cannot be reached")
	for _, host := range []string{"hv1", "hv2"} {
		if _, err := raw.Delete(t.Context(), prefix+"/v1/live/"+host); err != nil {
			t.Fatal(err)
		}
	}
	c.members[0].front.shut("", false)
	edge.revision(one) // nothing is wrong any more, and nobody is lost yet
	put("live/hv1")
	got := edge.until("after that", func(source.Snapshot) bool { return true })
	if want := fmt.Sprintf("%d without hv2", one); got.Generation != want || strings.Contains(got.Generation, "hv1") {
		t.Errorf("generation %s, want %s", got.Generation, want)
	}
}
