package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

func TestModule(t *testing.T) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	lists := "lib/modules/" + unix.ByteSliceToString(u.Release[:]) + "/"
	for _, tt := range []struct {
		name, path, text string
		want             Level
	}{
		{"missing", "etc/none", "", Advice},
		{"loaded", "sys/module/ip_vs/refcnt", "0\n", Fine},
		{"to be loaded", lists + "modules.dep", "kernel/net/netfilter/ipvs/ip_vs.ko.xz: kernel/lib/x.ko\n", Fine},
		{"built in", lists + "modules.builtin", "kernel/net/netfilter/ipvs/ip_vs.ko\n", Fine},
		{"only a part of it", lists + "modules.dep", "kernel/net/netfilter/ipvs/ip_vs_rr.ko:\n", Advice},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			path := filepath.Join(root, tt.path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got := module(root, "ip_vs", "IPVS", "nobody needs it")
			if got.Level != tt.want || got.Check != "IPVS" || (got.Remedy == "") != (tt.want == Fine) {
				t.Errorf("found %+v, want %s", got, tt.want)
			}
		})
	}
}

// TestDoctor wants every check to say something, with a remedy for all that is not fine, and nothing to be left.
func TestDoctor(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	for _, f := range Doctor() {
		if f.Check == "" || f.Detail == "" || (f.Level == Fine) != (f.Remedy == "") {
			t.Errorf("%+v", f)
		}
	}
	if left := must(netns.List(fmt.Sprintf("doctor-%d", os.Getpid()))); len(left) != 0 {
		t.Errorf("namespaces left: %v", left)
	}
}
