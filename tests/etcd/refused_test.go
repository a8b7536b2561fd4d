package etcd

import (
	"errors"
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/source/etcd"
)

// TestWriteRefused has a host that may not say which of its backends are sick. It says what it may not, and still hears what happens:
// a fleet that is pushed, and a host that dies.
func TestWriteRefused(t *testing.T) {
	a := newAuthority(t)
	for _, name := range []string{"server", "client"} {
		a.issue(name, false)
	}
	c := newCluster(t, 1, secured(a))
	access := etcd.Access{CA: a.file("ca.pem"), Cert: a.file("client.pem"), Key: a.file("client.key")}
	setUsers(t, c, access, "live", "status")
	s, err := etcd.Open(c.address(), asUser(t, access, "pusher"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	one := push(t, s, parse(t))
	hv1 := follow(t, etcd.Config{Address: c.address(), Access: asUser(t, access, "host"), Host: "hv1"})
	hv2 := follow(t, etcd.Config{Address: c.address(), Access: asUser(t, access, "host"), Host: "hv2"})
	hv1.revision(one)
	hv2.revision(one)
	hv1.ready("hv1", one)
	hv2.ready("hv2", one)
	eventually(t, func() error { return liveHosts(s, "hv1", "hv2") })

	hv1.source.Publish([]source.Sick{{Backend: vmA}})
	hv1.away("permission denied; a host must be allowed to write under " + prefix + "/v1/health/")
	hv2.stop()
	hv1.generation(fmt.Sprintf("%d without hv2", one))
	if err := liveHosts(s, "hv1"); err != nil {
		t.Error(err)
	}
	two := push(t, s, parse(t, "1024", "2048"))
	hv1.generation(fmt.Sprintf("%d without hv2", two))
	// All well again: there is nothing to write, and nothing is wrong.
	for len(hv1.delivered) > 0 {
		<-hv1.delivered
	}
	hv1.source.Publish(nil)
	hv1.generation(fmt.Sprintf("%d without hv2", two))
}

// away waits for a refusal with the words that is not one of the fleet.
func (h *host) away(words string) {
	h.t.Helper()
	if err := h.refusal(words); !errors.As(err, new(source.Away)) {
		h.t.Errorf("it counts as a refusal of the fleet: %v", err)
	}
}

// TestNoSpace has an etcd that takes no writes any more, as it does when its quota is used up. Hosts say so, and hear who dies; when
// there is space again, what could not be written is.
func TestNoSpace(t *testing.T) {
	c := newCluster(t, 1)
	s := c.open()
	one := push(t, s, parse(t))
	hv1 := follow(t, etcd.Config{Address: c.address(), Host: "hv1"})
	hv2 := follow(t, etcd.Config{Address: c.address(), Host: "hv2"})
	hv1.revision(one)
	hv2.revision(one)
	hv1.ready("hv1", one)
	hv2.ready("hv2", one)
	eventually(t, func() error { return liveHosts(s, "hv1", "hv2") })

	alarm := func(action pb.AlarmRequest_AlarmAction) {
		t.Helper()
		server := c.members[0].server.Server
		_, err := server.Alarm(t.Context(), &pb.AlarmRequest{Action: action, MemberID: uint64(server.MemberID()), Alarm: pb.AlarmType_NOSPACE})
		if err != nil {
			t.Fatal(err)
		}
	}
	alarm(pb.AlarmRequest_ACTIVATE)
	hv1.source.Publish([]source.Sick{{Backend: vmA}})
	hv1.away("database space exceeded")
	hv2.stop()
	hv1.generation(fmt.Sprintf("%d without hv2", one))
	alarm(pb.AlarmRequest_DEACTIVATE)
	eventually(t, func() error {
		if value, _, _ := c.verdictKey("hv1"); value == "" {
			return errors.New("not written yet")
		}
		return nil
	})
}
