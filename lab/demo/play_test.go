package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/lab/live"
	"github.com/culvertnet/culvert/netns"
)

var labs atomic.Int32

// story plays a story in a lab of the test's own, which must be gone afterwards.
func story(t *testing.T, play func(context.Context, io.Writer, Tools, string) error, tools Tools) (string, error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	name := fmt.Sprintf("dm%dx%d", os.Getpid(), labs.Add(1))
	var out bytes.Buffer
	err := play(t.Context(), &out, tools, name)
	if left, listErr := netns.List(name + "-"); listErr != nil || len(left) != 0 {
		t.Errorf("namespaces left: %v, %v", left, listErr)
	}
	return out.String(), err
}

func TestGateway(t *testing.T) {
	out, err := story(t, playGateway, Tools{Converge: live.Converge, Counters: live.Counters})
	if err != nil {
		t.Fatalf("%v, after:\n%s", err, out)
	}
	for _, want := range []string{
		"--- The edge sends every reply to hv1 ---",
		"packets took the redirect: one lookup on hv1, no route, no conntrack entry",
		"packets took the redirect: one lookup on hv3, no route, no conntrack entry",
		"0 packets took the redirect: hv2 is the owner",
		"Everything above was verified",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the story lacks %q:\n%s", want, out)
		}
	}
}

// TestGatewayCanFail has counters that say that nothing was redirected, which the story must not pass over.
func TestGatewayCanFail(t *testing.T) {
	zeros := func(*netns.NS) (map[string]uint64, error) { return map[string]uint64{"netdev/redirected": 0}, nil }
	out, err := story(t, playGateway, Tools{Converge: live.Converge, Counters: zeros})
	if err == nil || !strings.Contains(err.Error(), "replies sent to hv1: hv1 received ") || !strings.Contains(err.Error(), "redirected 0 of them; want all") {
		t.Errorf("error %v, after:\n%s", err, out)
	}
	if strings.Contains(out, "Everything above was verified") {
		t.Errorf("the story says that all was verified:\n%s", out)
	}
}

func TestBalancer(t *testing.T) {
	needIPVS(t)
	out, err := story(t, playBalancer, Tools{Converge: live.Converge, Counters: live.Counters})
	if err != nil {
		t.Fatalf("%v, after:\n%s", err, out)
	}
	for _, want := range []string{
		"--- One load balancer, two backends ---", "--- Three load balancers ---", "--- Four backends ---", "--- Back to one load balancer ---",
		"vm-d (10.0.0.88) serves", "lb1 passed", "none dropped", "All verified",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the story lacks %q:\n%s", want, out)
		}
	}
}

// TestBalancerCanFail has a host that never hears of its VMs being backends, which the story must not pass over.
func TestBalancerCanFail(t *testing.T) {
	needIPVS(t)
	deaf := func(ctx context.Context, site lab.Site) error {
		if site.Host == "hv2" {
			return nil
		}
		return live.Converge(ctx, site)
	}
	out, err := story(t, playBalancer, Tools{Converge: deaf, Counters: live.Counters})
	if err == nil || !strings.Contains(err.Error(), "one load balancer, two backends: download from ") {
		t.Errorf("error %v, after:\n%s", err, out)
	}
	if strings.Contains(out, "All verified") {
		t.Errorf("the story says that all was verified:\n%s", out)
	}
}

// TestPlayWithoutIPVS leaves the second story out and says so on a kernel that cannot play it.
func TestPlayWithoutIPVS(t *testing.T) {
	out, err := story(t, play, Tools{Converge: live.Converge, Counters: live.Counters, CanBalance: func() error { return errors.New("no such module") }})
	if err != nil {
		t.Fatalf("%v, after:\n%s", err, out)
	}
	if !strings.Contains(out, "The load balancer's story is left out: no such module.") {
		t.Errorf("the story does not say what it leaves out:\n%s", out)
	}
}

func needIPVS(t *testing.T) {
	t.Helper()
	if err := live.CanBalance(); err != nil {
		t.Skip(err)
	}
}
