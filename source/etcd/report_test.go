package etcd

import (
	"encoding/json"
	"testing"

	"github.com/culvertnet/culvert/source"
)

// TestHostStatusKeys holds the keys that programs find; a host that has not reported has no time.
func TestHostStatusKeys(t *testing.T) {
	text, err := json.Marshal(HostStatus{Report: source.Report{Host: "hv1", Problems: []string{}}, Sick: []source.Sick{}})
	const want = `{"host":"hv1","version":"","ready":false,"generation":"","converged":"","problems":[],"live":false,"reported":false,"sick":[]}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v; want %s", text, err, want)
	}
}
