package etcd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/source/etcd"
)

// reported waits until a host's report is as wanted.
func reported(t *testing.T, s *etcd.Store, host, converged string) {
	t.Helper()
	eventually(t, func() error {
		fleet, err := s.Read(t.Context())
		if err != nil {
			return err
		}
		hosts, err := s.Hosts(t.Context(), fleet)
		if err != nil {
			return err
		}
		for _, h := range hosts {
			if h.Host == host && h.Reported && h.Converged == converged {
				return nil
			}
		}
		return fmt.Errorf("%+v; want %s converged to %q", hosts, host, converged)
	})
}

// TestUnkept has a disk not take a fleet. The fleet is in force, nothing is refused, and it is told that a start without etcd would go
// back behind it; others do not hear that the host has it. When the disk takes it again, it is kept and told, without another push and
// without another connection.
func TestUnkept(t *testing.T) {
	c := newCluster(t, 1)
	s := c.open()
	folder := filepath.Join(t.TempDir(), "cache")
	conf := etcd.Config{Address: c.front(), Cache: filepath.Join(folder, "fleet"), Host: "hv1"}
	one := push(t, s, parse(t))
	h := follow(t, conf)
	h.revision(one)
	h.ready("hv1", one)
	reported(t, s, "hv1", fmt.Sprint(one))

	// A file in the folder's place: that stops root as well.
	aside := folder + "-aside"
	if err := errors.Join(os.Rename(folder, aside), os.WriteFile(folder, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	two := push(t, s, parse(t, "1024", "2048"))
	got := h.revision(two)
	if got.Unkept == nil || !strings.Contains(got.Unkept.Error(), "keep the fleet for a start without etcd in "+conf.Cache+": not a directory") {
		t.Fatalf("unkept: %v", got.Unkept)
	}
	h.ready("hv1", two)
	reported(t, s, "hv1", "")
	for len(h.refused) > 0 {
		if err := <-h.refused; !errors.As(err, &source.Away{}) {
			t.Errorf("refused: %v", err)
		}
	}

	// Etcd comes back with the same fleet: it is still not kept.
	c.members[0].front.shut("", true)
	h.refusal("cannot be reached")
	c.members[0].front.shut("", false)
	if back := h.revision(two); back.Unkept == nil {
		t.Error("etcd is back, and it is forgotten that the fleet is not kept")
	}
	reported(t, s, "hv1", "")

	if err := errors.Join(os.Remove(folder), os.Rename(aside, folder)); err != nil {
		t.Fatal(err)
	}
	h.until("that is kept", func(s source.Snapshot) bool { return s.Generation == fmt.Sprint(two) && s.Unkept == nil })
	reported(t, s, "hv1", fmt.Sprint(two))
	h.stop()
	c.kill(0)
	follow(t, conf).generation(fmt.Sprintf("%d (cached)", two))
}

// front is the address of the first member's gate.
func (c *cluster) front() etcd.Address {
	return etcd.Address{Endpoints: []string{c.members[0].front.address}, Prefix: prefix}
}

// TestTwin has etcd come back from a backup, and reach the number of the fleet in force with another fleet while a host does not hear it.
// The host takes that one, and what it says of the first one is not taken for what it says of the second.
func TestTwin(t *testing.T) {
	c := newCluster(t, 1)
	s := c.open()
	push(t, s, parse(t))
	last := push(t, s, parse(t, "10.0.0.12", "10.0.1.1"))
	h := follow(t, etcd.Config{Address: c.front(), Host: "hv1"})
	h.revision(last)
	h.ready("hv1", last)
	reported(t, s, "hv1", fmt.Sprint(last))
	c.members[0].front.shut("", true)
	h.refusal("cannot be reached")

	other := newCluster(t, 1)
	restored := other.open()
	push(t, restored, parse(t))
	if twin := push(t, restored, parse(t, "10.0.0.12", "10.0.1.2")); twin != last {
		t.Fatalf("the other fleet has revision %d, not %d", twin, last)
	}
	c.members[0].front.lead(other.members[0].client)
	c.members[0].front.shut("", false)
	got := h.until("of the other fleet", func(s source.Snapshot) bool {
		return s.Fleet.Tenants[0].Interfaces[0].Addresses[0].String() == "10.0.1.2"
	})
	if etcd.Revision(got.Generation) != last || got.Generation == fmt.Sprint(last) {
		t.Errorf("generation %q, want one of its own with revision %d", got.Generation, last)
	}
	reported(t, restored, "hv1", "")
	h.source.Report(source.Report{Host: "hv1", Ready: true, Generation: got.Generation, Converged: got.Generation})
	reported(t, restored, "hv1", got.Generation)
	next := push(t, restored, parse(t))
	h.revision(next)
}
