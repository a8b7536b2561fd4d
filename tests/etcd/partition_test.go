package etcd

import (
	"fmt"
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/source/etcd"
)

// TestMembersFail kills one member of three and cuts another one off, in turn and while fleets are pushed. Hosts get every
// last fleet as long as two members have each other, and keep it when none has.
func TestMembersFail(t *testing.T) {
	c := newCluster(t, 3)
	s := c.open()
	// Which member a host watches is left to chance; of so many, one will watch the one that is cut off.
	hosts := make([]*host, 6)
	for i := range hosts {
		hosts[i] = follow(t, etcd.Config{Address: c.address()})
	}
	heard := func(revision int64) {
		t.Helper()
		for _, h := range hosts {
			h.revision(revision)
		}
	}
	n := 0
	pushed := func() int64 {
		t.Helper()
		n++
		var revision int64
		// A push may meet the election.
		eventually(t, func() (err error) {
			revision, err = tryPush(t, s, parse(t, "10.0.0.12", fmt.Sprintf("10.0.1.%d", n)))
			return err
		})
		return revision
	}
	heard(pushed())

	killed := c.leader()
	c.kill(killed)
	heard(pushed())
	c.start(killed)
	c.ready(killed)

	for range 2 {
		cut := c.leader()
		c.partition(cut)
		heard(pushed())
		c.heal(cut)
	}

	// One killed and one cut off: no majority. Nothing can be pushed, the host keeps what it has.
	killed = c.leader()
	c.kill(killed)
	c.partition((killed + 1) % 3)
	if _, err := tryPush(t, s, parse(t)); err == nil {
		t.Error("a minority took a fleet")
	}
	for _, h := range hosts {
		h.refusal("cannot be reached")
	}
	c.heal((killed + 1) % 3)
	heard(pushed())
	c.start(killed)
}

// tryPush is push that may fail.
func tryPush(t *testing.T, s *etcd.Store, fleet *config.Fleet) (int64, error) {
	old, err := s.Read(t.Context())
	if err != nil {
		return 0, err
	}
	return s.Replace(t.Context(), old, fleet, allocate(t, old.Lock, fleet))
}

// TestCutOff has a host that can reach only a member which is cut off from the others.
func TestCutOff(t *testing.T) {
	c := newCluster(t, 3)
	s := c.open()
	one := push(t, s, parse(t))
	follower := (c.leader() + 1) % 3
	h := follow(t, etcd.Config{Address: c.address(follower)})
	h.revision(one)
	c.partition(follower)
	rest := c.open((follower+1)%3, (follower+2)%3)
	two := push(t, rest, parse(t, "1024", "2048"))
	h.refusal("cannot be reached")
	select {
	case got := <-h.delivered:
		t.Errorf("delivered %s", got.Generation)
	default:
	}
	c.heal(follower)
	h.revision(two)
}
