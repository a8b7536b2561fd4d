package demo

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/culvertnet/culvert/lab/live"
	"github.com/culvertnet/culvert/netns"
)

var labs atomic.Int32

// story plays the story in a lab of the test's own, which must be gone afterwards.
func story(t *testing.T, tools Tools) (string, error) {
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

func TestPlay(t *testing.T) {
	out, err := story(t, Tools{Converge: live.Converge, Counters: live.Counters})
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

// TestPlayCanFail has counters that say that nothing was redirected, which the story must not pass over.
func TestPlayCanFail(t *testing.T) {
	zeros := func(*netns.NS) (map[string]uint64, error) { return map[string]uint64{"netdev/redirected": 0}, nil }
	out, err := story(t, Tools{Converge: live.Converge, Counters: zeros})
	if err == nil || !strings.Contains(err.Error(), "replies sent to hv1: hv1 received ") || !strings.Contains(err.Error(), "redirected 0 of them; want all") {
		t.Errorf("error %v, after:\n%s", err, out)
	}
	if strings.Contains(out, "Everything above was verified") {
		t.Errorf("the story says that all was verified:\n%s", out)
	}
}
