package etcd

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/source/etcd"
)

// TestRestored has etcd come back from an old backup: its revisions begin anew below what hosts have carried out. What a host says about
// the future of that etcd must not be taken for what it says about a push to come.
func TestRestored(t *testing.T) {
	c := newCluster(t, 1)
	s := c.open()
	for i := range 3 {
		push(t, s, parse(t, "10.0.0.12", fmt.Sprintf("10.0.1.%d", i+1)))
	}
	h := follow(t, etcd.Config{Address: etcd.Address{Endpoints: []string{c.members[0].front.address}, Prefix: prefix}, Host: "hv1"})
	last := push(t, s, parse(t))
	h.revision(last)
	h.ready("hv1", last)
	converged := func(s *etcd.Store) (string, error) {
		fleet, err := s.Read(t.Context())
		if err != nil {
			return "", err
		}
		hosts, err := s.Hosts(t.Context(), fleet)
		if err != nil {
			return "", err
		}
		if !hosts[0].Live || !hosts[0].Reported {
			return "", errors.New("nothing reported yet")
		}
		return hosts[0].Converged, nil
	}
	eventually(t, func() error { _, err := converged(s); return err })
	c.members[0].front.shut("", true)
	h.refusal("cannot be reached")

	old := newCluster(t, 1)
	restored := old.open()
	one := push(t, restored, parse(t))
	if one >= last {
		t.Fatalf("the backup has revision %d, not less than %d", one, last)
	}
	c.members[0].front.lead(old.members[0].client)
	c.members[0].front.shut("", false)
	h.revision(one)
	eventually(t, func() error {
		got, err := converged(restored)
		if err == nil && strings.TrimSpace(got) != "" {
			t.Fatalf("it has converged to %s, which this etcd has never delivered", got)
		}
		return err
	})
	h.ready("hv1", one)
	eventually(t, func() error {
		got, err := converged(restored)
		if err == nil && got != fmt.Sprint(one) {
			err = fmt.Errorf("converged to %q", got)
		}
		return err
	})
}
